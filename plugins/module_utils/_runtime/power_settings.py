# SPDX-License-Identifier: GPL-3.0-or-later
"""Governors, turbo and idle states: their files, values and reasons. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._cpus.partition import Partition
from .settings import Setting


@dataclass(frozen=True)
class IdleLimit:
    """The deepest idle state of a CPU: its name (empty: none at all), and what ``pm_qos_resume_latency_us`` holds for it.

    In that file ``0`` means *no limit* and ``n/a`` *no latency at all*.
    """

    latency_us: str
    state: str = ""

    @property
    def reason(self) -> str:
        deepest = f" that takes longer to leave than {self.state}" if self.state else ""
        return f"this CPU enters no idle state{deepest}; the others may sleep"


#: No idle state: the CPU polls.
AWAKE = IdleLimit("n/a")


def limit_path(cpu: int) -> str:
    """Return the kernel file that limits a CPU's idle states."""
    return f"/sys/devices/system/cpu/cpu{cpu}/power/pm_qos_resume_latency_us"


def is_limit(path: str) -> bool:
    """Whether a kernel file limits a CPU's idle states."""
    return path.endswith("/pm_qos_resume_latency_us")


def power_settings(partition: Partition, *, limits: Mapping[int, IdleLimit], turbo: str, performance: bool) -> list[Setting]:
    """Return the settings that keep isolated CPUs awake and all CPUs at a steady frequency.

    ``limits`` are the idle limits of realtime and dataplane CPUs; those of CPUs without one are left alone.
    """
    settings = []
    if performance:
        settings += [
            Setting(
                "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
                "performance",
                "the frequency is not lowered when a CPU idles",
                "power draw",
                source="Documentation/core-api/real-time/hardware.rst",
            ),
            Setting(
                "/sys/devices/system/cpu/cpufreq/policy*/energy_performance_preference",
                "performance",
                "the processor's own governor prefers speed (HWP, CPPC)",
                "power draw",
                source="Documentation/admin-guide/pm/intel_pstate.rst",
            ),
            Setting(
                "/sys/devices/system/cpu/cpu[0-9]*/power/energy_perf_bias",
                "0",
                "energy-performance bias 0 is the fastest",
                "power draw",
                source="Documentation/admin-guide/pm/intel_epb.rst",
            ),
            Setting(
                "/sys/devices/system/cpu/intel_pstate/min_perf_pct",
                "100",
                "no frequency below the nominal one",
                "power draw",
                source="Documentation/admin-guide/pm/intel_pstate.rst",
            ),
        ]
    if turbo == "off":
        settings += [
            Setting(
                "/sys/devices/system/cpu/intel_pstate/no_turbo",
                "1",
                "no change of frequency with temperature and load",
                "peak speed",
            ),
            Setting(
                "/sys/devices/system/cpu/cpufreq/boost", "0", "no change of frequency with temperature and load", "peak speed"
            ),
        ]
    return settings + [
        Setting(
            limit_path(cpu),
            limits[cpu].latency_us,
            limits[cpu].reason,
            "power draw of this core; less turbo for the others",
            source="Documentation/ABI/testing/sysfs-devices-power",
        )
        for cpu in sorted((partition.sets["realtime"] | partition.sets["dataplane"]) & limits.keys())
    ]


def shallowest(states: Sequence[tuple[str, int]]) -> IdleLimit:
    """Return the limit that admits the quickest idle state and nothing deeper.

    ``states`` are cpuidle's names and exit latencies. The quickest one has another name on each processor (C1, C1_ACPI,
    C1E, WFI), so its name decides nothing; POLL does not count, since a CPU that polls takes its core's power and units. Without
    any state, 1 us admits only states as quick as C1 on every known processor.
    """
    idle = sorted((latency, name) for name, latency in states if name != "POLL")
    latency, name = idle[0] if idle else (1, "C1")
    return IdleLimit(str(max(1, latency)), f"{name} ({latency} us)" if idle else "1 us")
