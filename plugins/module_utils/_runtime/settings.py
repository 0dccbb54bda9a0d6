# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel file and the value it must hold, with the reason; docs/settings.md shows the same. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """A kernel file, or all that match a shell pattern; missing files are skipped."""

    path: str
    value: str
    reason: str
    disturbs: str = "nothing"
    disruption: str = "none"
    source: str = ""

    def holds(self, current: str) -> bool:
        """Whether the file's text means the wanted value."""
        return self.simplify(current) == self.value

    def simplify(self, current: str) -> str:
        """Return the text in the form to write."""
        return current
