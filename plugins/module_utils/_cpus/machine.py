# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of a machine and its running kernel that plans depend on. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """What the arguments depend on besides the partition."""

    kernel_release: str = ""
    vendor: str = ""  # as in /proc/cpuinfo: GenuineIntel, AuthenticAMD
    cpu_flags: frozenset[str] = frozenset()
    realtime_kernel: bool = False
    architecture: str = ""  # x86_64, aarch64, other; empty where nothing shows it

    @property
    def x86(self) -> bool:
        """Whether arguments of x86 may be used; no other machine is as common, so an unknown one counts as x86."""
        return self.architecture in ("", "x86_64")

    @property
    def kernel_version(self) -> tuple[int, int]:
        """Major and minor number of the kernel's release; (0, 0) when the release has none."""
        parts = self.kernel_release.replace("-", ".").split(".")
        if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
            return (0, 0)
        return (int(parts[0]), int(parts[1]))

    @property
    def tsc_invariant(self) -> bool:
        """Whether the time stamp counter ticks alike in all power states."""
        return {"constant_tsc", "nonstop_tsc"} <= self.cpu_flags


@dataclass(frozen=True)
class Kernel:
    """The running kernel."""

    release: str
    realtime: bool
    cmdline: tuple[str, ...]
    isolated: frozenset[int]
    nohz_full: frozenset[int]


CPU_ROOT = "/sys/devices/system/cpu"
