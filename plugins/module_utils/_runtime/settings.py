# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel files and kernel threads must hold what at run time, each with its reason.

Pure. A path may be a shell pattern; a file that the kernel does not have is passed over, since features
differ by kernel and processor. The same table makes docs/settings.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._cpus.cpulist import CpuListError, format_mask, parse_mask
from .._cpus.errors import RefusalError
from .._cpus.partition import Partition
from .._cpus.policies import SCHED_FIFO

THROTTLING_CHOICES = ("unlimited", "kernel")


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


class SettingError(RefusalError):
    """A setting cannot be had; the message names the variable."""


@dataclass(frozen=True)
class ThreadRule:
    """Scheduling of the kernel threads whose name matches."""

    pattern: str
    policy: int
    priority: int
    reason: str
    source: str = ""


#: What the highest real-time priority of guests' threads may be; interrupt threads (FIFO 50) stay above all of these.
PRIORITY_LIMITS = tuple(range(1, 41))


def check_priority_limit(limit: int) -> None:
    """Raise ``SettingError`` for a limit that leaves no room below the interrupt threads."""
    if limit not in PRIORITY_LIMITS:
        raise SettingError(
            f"realtime_priority_limit: {limit} is not in {PRIORITY_LIMITS[0]}-{PRIORITY_LIMITS[-1]}; the kernel's threads must fit between "
            "the guests' threads and interrupt threads (50)"
        )


def thread_rules(limit: int = 1) -> tuple[ThreadRule, ...]:
    """Return the scheduling of the kernel's per-CPU threads for guests whose threads have at most priority ``limit``.

    They must stand above the guests' threads: else a vCPU that spins keeps timers from expiring and stalls RCU.
    """
    source = "tuned realtime-virtual-host"
    return (
        ThreadRule(r"ksoftirqd/\d+", SCHED_FIFO, limit + 1, "soft interrupts run although a vCPU spins", source),
        ThreadRule(r"ktimers(oftd|d)?/\d+", SCHED_FIFO, limit + 1, "timers expire although a vCPU spins", source),
        ThreadRule(r"rcu[bc]/\d+", SCHED_FIFO, limit + 3, "RCU ends its grace periods although a vCPU spins", source),
    )


#: With the priorities that guests have unless told otherwise.
THREAD_RULES = thread_rules()

_SYSCTLS = (
    ("kernel/timer_migration", "0", "timers stay on the CPU that set them", "idle housekeeping CPUs wake more often"),
    (
        "kernel/numa_balancing",
        "0",
        "no page faults made to sample memory placement",
        "unpinned programs are not moved to their memory",
    ),
    (
        "kernel/hung_task_timeout_secs",
        "600",
        "a thread that waits behind a vCPU is not reported at once",
        "hung tasks are reported later",
    ),
    ("vm/stat_interval", "10", "per-CPU memory counters are folded every 10 s, not every second", "counters lag"),
    ("vm/swappiness", "10", "memory of management programs is kept rather than swapped", "page cache shrinks sooner"),
)


def runtime_settings(partition: Partition, throttling: str) -> list[Setting]:
    """Return the files that keep the kernel's own work off the isolated CPUs."""
    if not partition.isolated:
        return []
    ordinary = format_mask(partition.unisolated)
    settings = [
        Setting(f"/proc/sys/{name}", value, reason, disturbs, source="tuned realtime, network-latency")
        for name, value, reason, disturbs in _SYSCTLS
    ]
    settings += [
        Setting(
            "/sys/devices/virtual/workqueue/cpumask",
            ordinary,
            "unbound work items run on housekeeping and shared CPUs",
            "work items move; a CPU may stall for some microseconds",
            "stall",
            "mask",
            "Documentation/core-api/workqueue.rst",
        ),
        Setting(
            "/sys/devices/virtual/workqueue/writeback/cpumask",
            ordinary,
            "as the global mask, which bounds the masks of all queues, also of those made later (kernel/workqueue.c); writeback says the same",
            "as the global mask",
            "stall",
            "mask",
            "Documentation/core-api/workqueue.rst",
        ),
        Setting(
            "/sys/kernel/mm/ksm/run",
            "2",
            "no scanning for equal pages; merged ones are separated",
            "memory use grows by what was merged",
            "stall",
        ),
        Setting(
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "never",
            "no huge page is made or split behind a guest's back (PREEMPT_RT kernels lack the file)",
            "programs that profit from transparent huge pages",
            form="choice",
        ),
        Setting(
            "/sys/devices/system/machinecheck/machinecheck0/ignore_ce",
            "1",
            "no polling for corrected memory errors (the value counts for all CPUs); uncorrected ones are still reported",
            "corrected errors are not logged",
        ),
    ]
    if throttling == "unlimited":
        settings += _unlimited(partition)
    return settings


def _unlimited(partition: Partition) -> list[Setting]:
    settings = [
        Setting(
            "/proc/sys/kernel/sched_rt_runtime_us",
            "-1",
            "real-time threads are not stopped for 50 ms of every second",
            "a run-away FIFO thread holds its CPU for ever",
            source="Documentation/scheduler/sched-rt-group.rst",
        )
    ]
    for server in ("fair_server", "ext_server"):
        settings += [
            Setting(
                f"/sys/kernel/debug/sched/{server}/cpu{cpu}/runtime",
                "0",
                "kernels from 6.12 give ordinary tasks 50 ms of every second above FIFO unless this is 0",
                "ordinary tasks queued on an isolated CPU may starve",
                source="kernel/sched/deadline.c",
            )
            for cpu in sorted(partition.sets["realtime"] | partition.sets["dataplane"])
        ]
    return settings


def power_settings(partition: Partition, *, latency_us: str | None, turbo: str, performance: bool) -> list[Setting]:
    """Return the files that keep isolated CPUs awake and all CPUs at a steady frequency.

    ``latency_us`` is written to each isolated CPU's ``pm_qos_resume_latency_us``. In that file ``0`` means *no
    limit* and ``n/a`` *no latency at all* (Documentation/ABI/testing/sysfs-devices-power); None leaves it alone.
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


def kvm_settings(nx_huge_pages: str, halt_poll_ns: int) -> list[Setting]:
    """Return the parameters of KVM that an operator chose; ``keep`` and -1 leave them alone."""
    settings = []
    if nx_huge_pages == "off":
        settings.append(
            Setting(
                "/sys/module/kvm/parameters/nx_huge_pages",
                "N",
                "huge pages of guests are not split when code in them runs, and no recovery thread runs on the CPU of vCPU 0",
                "guests are trusted not to use the iTLB multihit erratum of older Intel processors to stop the host",
                "stall",
                source="Documentation/admin-guide/hw-vuln/multihit.rst",
            )
        )
    if halt_poll_ns >= 0:
        settings.append(
            Setting(
                "/sys/module/kvm/parameters/halt_poll_ns",
                str(halt_poll_ns),
                "how long a CPU spins for an idle vCPU before it sleeps",
                "0 saves power and wakes later; more wakes sooner and keeps others off the CPU",
                source="Documentation/virt/kvm/halt-polling.rst",
            )
        )
    return settings


def thread_rule(name: str, limit: int = 1) -> ThreadRule | None:
    """Return the rule for a kernel thread's name, None where it is left alone."""
    return next((rule for rule in thread_rules(limit) if re.fullmatch(rule.pattern, name)), None)


def c1_latency(states: Sequence[tuple[str, int]]) -> str:
    """Return the PM QoS limit in microseconds that admits C1 and nothing deeper.

    ``states`` are the names and exit latencies that cpuidle tells. Without any, 1 us admits only what is as
    quick as C1 on every processor known.
    """
    shallow = [latency for name, latency in states if name == "C1" or name.startswith(("C1_", "C1-"))]
    return str(max([1, *shallow]))
