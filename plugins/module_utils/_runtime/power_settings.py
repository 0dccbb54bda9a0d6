# SPDX-License-Identifier: GPL-3.0-or-later
"""Governors, turbo and idle states: their files, values and reasons. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .._cpus.partition import Partition
from .settings import Setting


def power_settings(partition: Partition, *, latency_us: str | None, turbo: str, performance: bool) -> list[Setting]:
    """Return the settings that keep isolated CPUs awake and all CPUs at a steady frequency.

    ``latency_us`` goes into each isolated CPU's ``pm_qos_resume_latency_us``, where ``0`` means *no limit* and ``n/a``
    *no latency at all*; None leaves the file alone.
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
    if latency_us is not None:
        settings += [
            Setting(
                f"/sys/devices/system/cpu/cpu{cpu}/power/pm_qos_resume_latency_us",
                latency_us,
                "this CPU enters no idle state that takes longer to leave; the others may sleep",
                "power draw of this core; less turbo for the others",
                source="Documentation/ABI/testing/sysfs-devices-power",
            )
            for cpu in sorted(partition.sets["realtime"] | partition.sets["dataplane"])
        ]
    return settings


def c1_latency(states: Sequence[tuple[str, int]]) -> str:
    """Return the PM QoS limit in microseconds that admits C1 and nothing deeper.

    ``states`` are cpuidle's names and exit latencies. Without any, 1 us admits only states as quick as C1 on every
    known processor.
    """
    shallow = [latency for name, latency in states if name == "C1" or name.startswith(("C1_", "C1-"))]
    return str(max([1, *shallow]))
