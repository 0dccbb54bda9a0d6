# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a unit, as systemd reads them (systemd.unit(5)). Edge."""

from __future__ import annotations

import posixpath

from .host import Host

_FOLDERS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system", "/etc/systemd/system")


def unit_files(host: Host, name: str) -> list[str]:
    """Return a unit's file and drop-ins, the last of which wins; none where there is no unit, or it is masked (empty, or a link to /dev/null).

    Drop-ins are read by name, wherever they are: those of the unit, of all units whose name begins like it up to a dash, and of all services.
    Of two with one name, that in the more particular folder counts.
    """
    file = next((path for folder in reversed(_FOLDERS) for path in [f"{folder}/{name}"] if host.exists(path)), "")
    if not file or not (host.read(file) or "").strip():
        return []
    found = {
        posixpath.basename(path): path
        for place in _drop_in_folders(name)
        for folder in _FOLDERS
        for path in host.glob(f"{folder}/{place}.d/*.conf")
    }
    return [file, *(found[key] for key in sorted(found))]


def _drop_in_folders(name: str) -> list[str]:
    stem, _dot, kind = name.rpartition(".")
    dashes = [number for number, sign in enumerate(stem) if sign == "-"]
    return [kind, *(f"{stem[: number + 1]}.{kind}" for number in dashes), name]
