# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel file and the value that it must hold, with the reason; the same data makes docs/settings.md. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One kernel file, or all that match a shell pattern; those that the kernel does not have are passed over."""

    path: str
    value: str
    reason: str
    disturbs: str = "nothing"
    disruption: str = "none"
    source: str = ""

    def holds(self, current: str) -> bool:
        """Whether the text read from the file means the wanted value."""
        return self.simplify(current) == self.value

    def simplify(self, current: str) -> str:
        """Return the value in the form in which it is written back."""
        return current
