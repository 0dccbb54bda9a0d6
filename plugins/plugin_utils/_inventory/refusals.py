# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of many hosts as one text: those that hosts share once, in the natural order of the hosts, and not too many. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import BEFORE_TEXT, few, natural

#: Of one run; whoever mends these is told the rest by the next.
MOST = 40
#: Names before a line.
_MOST_HOSTS = 3
_MOST_TEXT = 500


class Refusals:
    """Collects what is wrong, by host."""

    def __init__(self) -> None:
        self._hosts: dict[str, list[str]] = {}

    def add(self, host: str, text: str) -> None:
        """Add a refusal; hosts come in their natural order."""
        hosts = self._hosts.setdefault(text, [])
        if not hosts or hosts[-1] != host:
            hosts.append(host)

    def __bool__(self) -> bool:
        return bool(self._hosts)

    def lines(self, most: int = MOST) -> list[str]:
        """Return at most so many lines, and one that counts the others."""
        found = sorted(self._hosts.items(), key=lambda item: natural(item[1][0]))
        lines = [plain(f"{named(hosts)}: {text}", _MOST_TEXT) for text, hosts in found[:most]]
        more = len(self._hosts) - most
        return [*lines, *([f"... and {more} more"] if more > 0 else [])]


def named(hosts: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    return few(hosts, BEFORE_TEXT, _MOST_HOSTS)
