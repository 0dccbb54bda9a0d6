# SPDX-License-Identifier: GPL-3.0-or-later
"""Drop-ins of a unit that win over ours, and what its user may read. Edge."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping

from .._host.host import Host
from .launch import Unit, parse_unit


def later_commands(texts: Mapping[str, str], ours: str) -> list[str]:
    """Return the drop-ins that are read after ours and say how the service is started; ``texts``: its file, then its drop-ins."""
    later = [path for path in list(texts)[1:] if posixpath.basename(path) > posixpath.basename(ours)]
    return [path for path in later if parse_unit("", [texts[path]]).starts]


def may(host: Host, unit: Unit, found: os.stat_result, bit: int) -> bool:
    """Whether the user of a unit may read (4), write (2) or search (1) a file."""
    rows = [line.split(":") for line in (host.read("/etc/passwd") or "").split("\n")]
    uid, gid = next(((row[2], row[3]) for row in rows if len(row) > 3 and row[0] == unit.user), ("", ""))
    rows = [line.split(":") for line in (host.read("/etc/group") or "").split("\n")]
    groups = {row[2] for row in rows if len(row) > 3 and (unit.user in row[3].split(",") or row[0] in unit.groups)} | {gid}
    if unit.user == "root":
        return True
    if uid == str(found.st_uid):
        return bool(found.st_mode & bit << 6)
    return bool(found.st_mode & (bit << 3 if str(found.st_gid) in groups else bit))


def unreadable(host: Host, unit: Unit, path: str) -> str:
    """Return the folder or file that keeps the user of a unit from reading a file; empty for none, and where the user is not this node's."""
    if host.captured or not any(line.startswith(f"{unit.user}:") for line in (host.read("/etc/passwd") or "").split("\n")):
        return ""
    for one, bits in ((posixpath.dirname(path), (4, 1)), (path, (4,))):
        try:
            found = os.stat(host.path(one))
        except OSError:
            continue  # it will be made
        if not all(may(host, unit, found, bit) for bit in bits):
            return one
    return ""
