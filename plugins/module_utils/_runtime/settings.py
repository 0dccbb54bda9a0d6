# Copyright: (c) 2026, realtime.kvm contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel files and kernel threads must hold what at run time, each with its reason.

Pure. A path may be a shell pattern; a file that the kernel does not have is passed over, since features
differ by kernel and processor. The same table makes docs/settings.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._cpus.cpulist import CpuListError, parse_mask


@dataclass(frozen=True)
class Setting:
    """One kernel file (or all that match a pattern) and the value it must hold."""

    path: str
    value: str
    reason: str
    disturbs: str = "nothing"
    disruption: str = "none"
    form: str = "text"  # text | mask (a CPU mask) | choice (the kernel shows all choices, the chosen one in brackets)
    source: str = ""

    def holds(self, current: str) -> bool:
        """Whether the text read from the file means the wanted value."""
        if self.form == "mask":
            try:
                return parse_mask(current) == parse_mask(self.value)
            except CpuListError:
                return False
        return self.simplify(current) == self.value

    def simplify(self, current: str) -> str:
        """Return the value in the form in which it is written back."""
        if self.form == "choice":
            match = re.search(r"\[([^\]]*)\]", current)
            return match[1] if match else current
        return current
