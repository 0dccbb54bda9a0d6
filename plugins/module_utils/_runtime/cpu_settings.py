# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel files and kernel threads of a partitioned node, and what each must hold, with its reason. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._cpus.cpulist import CpuListError
from .._cpus.masks import format_mask, parse_mask
from .._cpus.partition import Partition
from .._cpus.policies import SCHED_FIFO
from .settings import RT_RUNTIME, Setting

#: How much of a realtime CPU ordinary work gets that waits behind a vCPU; the first is the default.
THROTTLING_CHOICES = ("budget", "unlimited", "kernel")
#: With ``budget``: this runtime in each period. The kernel takes a period of 100 us to 4 s and any runtime up to the period
#: (kernel/sched/debug.c). 10 us are below the limits of acceptance tests (20 us of oslat). The kernel stops a server only at a timer
#: tick, or when it changes tasks, and lets it wait until the excess is paid back (update_curr_dl_se, replenish_dl_entity): after a tick
#: of 4 ms that is 4 s with a period of 10 ms, and 40 s, which is longer than the kernel's own detectors wait, with one of 100 ms.
BUDGET_NS, PERIOD_NS = 10_000, 10_000_000
#: For kernels before 6.12, which have one limit for all CPUs and stop whether work waits or not: microseconds of each second.
RT_RUNTIME_US = 999_900
_SERVERS = "/sys/kernel/debug/sched/"
#: One for each CPU, where the kernel has fair servers and shows debugfs.
FAIR_SERVERS = f"{_SERVERS}fair_server/cpu[0-9]*/runtime"


class MaskSetting(Setting):
    """A file that holds a CPU mask: leading zeros and commas mean nothing."""

    def holds(self, current: str) -> bool:
        """Whether both are the same CPUs."""
        try:
            return parse_mask(current) == parse_mask(self.value)
        except CpuListError:
            return False


class ChoiceSetting(Setting):
    """A file that lists all choices, the chosen one in brackets."""

    def simplify(self, current: str) -> str:
        """Return the choice in brackets."""
        match = re.search(r"\[([^\]]*)\]", current)
        return match[1] if match else current


@dataclass(frozen=True)
class ThreadRule:
    """Scheduling of the kernel threads whose name matches."""

    pattern: str
    policy: int
    priority: int
    reason: str
    source: str = ""


def thread_rules(limit: int = 1) -> tuple[ThreadRule, ...]:
    """Return the scheduling of the kernel's per-CPU threads for guests whose threads have at most priority ``limit``.

    They must have higher priorities than the guests' threads; otherwise a vCPU that spins blocks timers and stalls RCU.
    """
    source = "tuned realtime-virtual-host"
    return (
        ThreadRule(r"ksoftirqd/\d+", SCHED_FIFO, limit + 1, "soft interrupts run although a vCPU spins", source),
        ThreadRule(r"ktimers(oftd|d)?/\d+", SCHED_FIFO, limit + 1, "timers expire although a vCPU spins", source),
        ThreadRule(r"rcu[bc]/\d+", SCHED_FIFO, limit + 3, "RCU ends its grace periods although a vCPU spins", source),
        ThreadRule(
            r"irq_work/\d+",
            SCHED_FIFO,
            limit + 4,
            "deferred interrupt work runs although a vCPU spins; RCU's threads wait for it (PREEMPT_RT kernels start it at FIFO 1)",
            "kernel/irq_work.c",
        ),
    )


#: For the default priorities of guests.
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


def runtime_settings(partition: Partition, throttling: str, *, servers: bool) -> list[Setting]:
    """Return the files that keep the kernel's own work off the isolated CPUs; ``servers``: the kernel has fair servers."""
    if not partition.isolated:
        return []
    ordinary = format_mask(partition.unisolated)
    settings = [
        Setting(f"/proc/sys/{name}", value, reason, disturbs, source="tuned realtime, network-latency")
        for name, value, reason, disturbs in _SYSCTLS
    ]
    settings += [
        MaskSetting(
            "/sys/devices/virtual/workqueue/cpumask",
            ordinary,
            "unbound work items run on housekeeping and shared CPUs",
            "work items move; a CPU may stall for some microseconds",
            "stall",
            "Documentation/core-api/workqueue.rst",
        ),
        MaskSetting(
            "/sys/devices/virtual/workqueue/writeback/cpumask",
            ordinary,
            "as the global mask, which bounds the masks of all queues, also of those made later (kernel/workqueue.c); "
            "writeback says the same",
            "as the global mask",
            "stall",
            "Documentation/core-api/workqueue.rst",
        ),
        Setting(
            "/sys/kernel/mm/ksm/run",
            "2",
            "no scanning for equal pages; merged ones are separated",
            "memory use grows by what was merged",
            "stall",
        ),
        ChoiceSetting(
            "/sys/kernel/mm/transparent_hugepage/enabled",
            "never",
            "no huge page is made or split behind a guest's back (PREEMPT_RT kernels lack the file)",
            "programs that profit from transparent huge pages",
        ),
        Setting(
            "/sys/devices/system/machinecheck/machinecheck0/ignore_ce",
            "1",
            "no polling for corrected memory errors (the value counts for all CPUs); uncorrected ones are still reported",
            "corrected errors are not logged",
        ),
    ]
    return settings + _throttling(partition, throttling, servers=servers)


def _throttling(partition: Partition, policy: str, *, servers: bool) -> list[Setting]:
    if policy == "kernel":
        return []
    limited = policy == "budget"
    settings = [_limit_of_old_kernels(servers=servers) if limited else _NO_LIMIT]
    for server in ("fair_server", "ext_server"):
        for cpu in sorted(partition.sets["realtime"]):
            settings += _server(f"{_SERVERS}{server}/cpu{cpu}", limited=limited)
    return settings


_NO_LIMIT = Setting(
    RT_RUNTIME,
    "-1",
    "real-time threads are not stopped for 50 ms of every second",
    "a run-away FIFO thread holds its CPU for ever (kernels before 6.12)",
    source="Documentation/scheduler/sched-rt-group.rst",
)


def _limit_of_old_kernels(*, servers: bool) -> Setting:
    """Return the limit of a kernel without fair servers. It comes before the servers', which may need it."""
    if servers:
        return Setting(
            RT_RUNTIME,
            "-1",
            "kernels from 6.12 accept smaller fair servers: they forget what the servers reserve when a scheduling domain is made again, "
            "and with any limit here they then refuse to reserve less (EBUSY)",
            "what SCHED_DEADLINE threads reserve is not bounded",
            source="kernel/sched/deadline.c",
        )
    return Setting(
        RT_RUNTIME,
        str(RT_RUNTIME_US),
        "kernels before 6.12 stop real-time threads for 100 us of every second, not for 50 ms",
        "a vCPU that never sleeps loses up to a timer tick every 10 to 40 s (kernels before 6.12)",
        source="Documentation/scheduler/sched-rt-group.rst",
    )


def _server(folder: str, *, limited: bool) -> list[Setting]:
    source = "kernel/sched/deadline.c"
    if not limited:
        reason = "kernels from 6.12 give ordinary tasks 50 ms of every second above FIFO unless this is 0"
        disturbs = "ordinary work queued on a realtime CPU, the kernel's own too, waits until the vCPU sleeps"
        return [Setting(f"{folder}/runtime", "0", reason, disturbs, source=source)]
    return [  # the runtime first: it is smaller than any period
        Setting(
            f"{folder}/runtime",
            str(BUDGET_NS),
            "ordinary work that waits on a realtime CPU runs for 10 us of every 10 ms above FIFO, not for 50 ms of every second",
            "a vCPU that never sleeps is interrupted so, while ordinary work waits there",
            source=source,
        ),
        Setting(f"{folder}/period", str(PERIOD_NS), "waiting work has its turn after 10 ms", "nothing", source=source),
    ]


def uncore_setting(folder: str, most: str) -> Setting:
    """Return the setting that keeps the uncore of a die, or of a part of one, at its highest frequency."""
    return Setting(
        f"{folder}/min_freq_khz",
        most,
        "L3 cache, mesh and memory controllers keep their frequency while cores are idle",
        "power draw; less turbo for the cores",
        source="Documentation/admin-guide/pm/intel_uncore_frequency_scaling.rst",
    )


def thread_rule(name: str, limit: int = 1) -> ThreadRule | None:
    """Return the rule for a kernel thread's name, None where it is left alone."""
    return next((rule for rule in thread_rules(limit) if re.fullmatch(rule.pattern, name)), None)
