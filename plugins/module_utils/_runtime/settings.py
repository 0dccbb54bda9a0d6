# SPDX-License-Identifier: GPL-3.0-or-later
"""A kernel file and the value it must hold, with the reason; docs/settings.md shows the same. Pure."""

from __future__ import annotations

from dataclasses import dataclass

#: Microseconds of each second that real-time threads may have; the kernel refuses a limit below what its fair servers reserve, and,
#: under a limit, servers that reserve more. So it is taken back after the servers.
RT_RUNTIME = "/proc/sys/kernel/sched_rt_runtime_us"


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
