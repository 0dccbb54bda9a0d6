# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that an installation would bring, from what apt and dnf answered in check mode. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._host.updates import parse_apt

#: No node installs so many packages; bounds what an answer can put on the controller.
_MOST, _MOST_NAME = 2000, 200
_DNF = re.compile(
    r"(?P<what>Installed|Upgraded|Removed|Obsoleted|Replaced): (?P<name>\S{1,200})-(?P<version>[^\s-]{1,100}-[^\s-]{1,100})"
)


def planned_packages(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the packages of a result of ansible.builtin.apt or dnf in check mode: name, present and new version.

    apt-get prints its simulation (``Inst NAME [OLD] (NEW ...)``), dnf lists ``Installed: NAME-VERSION-RELEASE.ARCH``. A package without a new
    version is removed. The dependencies are among them.
    """
    if not isinstance(result, Mapping):
        return []
    rows: list[tuple[str, str, str]] = []
    if isinstance(result.get("stdout"), str):
        rows = [(name, before or "", after or "") for name, before, after in parse_apt(result["stdout"][: 1 << 20])]
    listed = result.get("results")
    for line in listed[:_MOST] if isinstance(listed, list) else ():
        found = _DNF.fullmatch(line) if isinstance(line, str) else None
        if found:
            gone = found["what"] not in ("Installed", "Upgraded")
            rows.append((found["name"], found["version"] if gone else "", "" if gone else found["version"]))
    return [dict(zip(("name", "before", "after"), (text[:_MOST_NAME] for text in row))) for row in rows[:_MOST]]
