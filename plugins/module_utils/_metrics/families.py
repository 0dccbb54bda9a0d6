# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of a node: name, kind, unit, meaning, labels, and how many there can be. Pure.

Names and units follow https://prometheus.io/docs/practices/naming/. What a rate can be made of is a counter, with the reset of its source.
"""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "realtime_kvm_"
#: So many guests, vCPUs and ports have series of their own; the rest is only counted.
MOST_GUESTS, MOST_VCPUS, MOST_PORTS = 256, 1024, 256
#: Severities of findings, the worst first.
SEVERITIES = ("error", "warning", "info")
#: What an isolated CPU's owner can be.
OWNERS = ("vcpu", "pmd", "held", "program", "none")

GAUGE, COUNTER, INFO = "gauge", "counter", "info"
_CPU = "one per isolated CPU"
_SET = "one per set"
_GUEST = f"one per guest, at most {MOST_GUESTS}"
_VCPU = f"one per vCPU of a running guest, at most {MOST_VCPUS}"
_PORT = f"one per port, at most {MOST_PORTS}"
_POOL = "one per NUMA node and page size"
_STATE = "one per set and idle state"


class Family(NamedTuple):
    """One metric."""

    short: str  # without prefix and without _total
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    bound: str = "one"

    @property
    def name(self) -> str:
        """The name of its samples."""
        return f"{PREFIX}{self.short}{'_total' if self.kind == COUNTER else ''}"


_TABLE = (
    # -- the partition
    Family("info", INFO, "The tool that wrote these metrics, and how the node is divided.", ("release", "isolation", "smt")),
    Family(
        "partition_valid",
        GAUGE,
        "1 if the partition file can be read and names exactly the CPUs that are online, in their NUMA nodes.",
    ),
    Family("set_cpus", GAUGE, "CPUs of a set.", ("set",), bound=_SET),
    Family(
        "cpu_owner_info",
        INFO,
        "Who owns an isolated CPU: a vCPU, a poll-mode thread, a program, the holder of free CPUs, or nobody.",
        ("cpu", "set", "owner", "kind"),
        bound=_CPU,
    ),
    Family(
        "realtime_cpus_free",
        GAUGE,
        "CPUs of the realtime set that no defined guest is pinned to and no thread owns.",
        ("node",),
        bound="one per NUMA node",
    ),
    Family(
        "largest_guest_vcpus",
        GAUGE,
        "vCPUs of the largest new real-time guest for which one NUMA node has free cores; memory is not looked at.",
    ),
    # -- the node's own audit
    Family(
        "audit_findings",
        GAUGE,
        "Findings of the node's last audit of itself, by rule.",
        ("rule", "severity"),
        bound="one per rule that is broken",
    ),
    Family(
        "audit_severity_findings",
        GAUGE,
        "Findings of the node's last audit of itself, by severity.",
        ("severity",),
        bound="three",
    ),
    Family("audit_success", GAUGE, "1 if the node's last audit of itself came to its end, 0 if the node could not audit itself."),
    Family("audit_interval_seconds", GAUGE, "How long the node waits from the end of an audit to the next.", unit="seconds"),
    Family("audit_timestamp_seconds", GAUGE, "When the node's last audit of itself ended.", unit="seconds"),
    Family("audit_duration_seconds", GAUGE, "How long the node's last audit of itself took.", unit="seconds"),
    # -- the kernel
    Family("kernel_info", INFO, "The running kernel.", ("release", "realtime")),
    Family(
        "kernel_as_documented",
        GAUGE,
        "1 if the running kernel, its arguments and its isolated CPUs are those that the node's files ask for.",
    ),
    Family(
        "kernel_isolates",
        GAUGE,
        "1 if the running kernel isolates CPUs and is a real-time kernel where the node's files ask for it, be they the planned CPUs and kernel or not.",
    ),
    Family(
        "rt_throttling_enabled",
        GAUGE,
        "1 if the kernel limits the time of real-time tasks (sched_rt_runtime_us); from Linux 6.12 on only together with group scheduling.",
    ),
    Family("fair_server_cpus", GAUGE, "Isolated CPUs whose fair server takes time from real-time tasks when ordinary ones wait."),
    Family(
        "smi",
        COUNTER,
        "System management interrupts since the reset, as an Intel processor counts them (MSR 0x34, read on the boot CPU alone).",
    ),
    Family("uptime_seconds", GAUGE, "How long the node had run when these metrics were read.", unit="seconds"),
    # -- what reaches isolated CPUs
    Family(
        "isolated_interrupts",
        COUNTER,
        "Interrupts of devices on an isolated CPU; its timer and messages of other CPUs are not among them.",
        ("cpu",),
        bound=_CPU,
    ),
    Family("timer_interrupts", COUNTER, "Interrupts of an isolated CPU's own timer.", ("cpu",), bound=_CPU),
    Family(
        "vcpu_involuntary_switches",
        COUNTER,
        "How often another task took the CPU from a vCPU that has isolated CPUs alone.",
        ("guest", "vcpu", "policy"),
        bound=_VCPU,
    ),
    Family(
        "pmd_involuntary_switches", COUNTER, "How often another task took the CPU from a poll-mode thread.", ("cpu",), bound=_CPU
    ),
    Family(
        "vcpu_run_delay_seconds",
        COUNTER,
        "How long a vCPU waited for its CPU while it could have run; the guest sees it as steal.",
        ("guest", "vcpu", "policy"),
        "seconds",
        _VCPU,
    ),
    Family("vcpu_run_seconds", COUNTER, "How long a vCPU ran.", ("guest", "vcpu", "policy"), "seconds", _VCPU),
    Family(
        "cpu_frequency_hertz",
        GAUGE,
        "Frequency of an isolated CPU, as the kernel last sampled it; not read before Linux 5.18.",
        ("cpu",),
        "hertz",
        _CPU,
    ),
    Family("idle_state_entries", COUNTER, "How often the CPUs of a set entered an idle state.", ("set", "state"), bound=_STATE),
    Family(
        "idle_state_seconds", COUNTER, "How long the CPUs of a set were in an idle state.", ("set", "state"), "seconds", _STATE
    ),
    # -- memory
    Family(
        "hugepages_configured",
        GAUGE,
        "Huge pages of a NUMA node, without those that go when their user ends.",
        ("node", "page_size"),
        bound=_POOL,
    ),
    Family("hugepages_free", GAUGE, "Huge pages of a NUMA node that nobody uses.", ("node", "page_size"), bound=_POOL),
    # -- the switch
    Family("pmd_busy_cycles", COUNTER, "Cycles in which a poll-mode thread processed packets.", ("cpu",), bound=_CPU),
    Family("pmd_idle_cycles", COUNTER, "Cycles in which a poll-mode thread found no packet.", ("cpu",), bound=_CPU),
    Family("port_rx_dropped", COUNTER, "Packets that the switch dropped as they came in.", ("port", "kind"), bound=_PORT),
    Family(
        "port_tx_dropped",
        COUNTER,
        "Packets that the switch could not send, such as to a guest that does not fetch them.",
        ("port", "kind"),
        bound=_PORT,
    ),
    Family(
        "port_rx_missed", COUNTER, "Packets that a NIC dropped because its receive queue was full.", ("port", "kind"), bound=_PORT
    ),
    Family(
        "port_up",
        GAUGE,
        "1 if a port's link is up; of vhost-user: if a guest is at its other end.",
        ("port", "kind"),
        bound=_PORT,
    ),
    Family("ports_omitted", GAUGE, "Ports without series of their own."),
    # -- the guests
    Family("guest_info", INFO, "Whose guest it is.", ("guest", "owner", "project", "class"), bound=_GUEST),
    Family("guest_running", GAUGE, "1 if a guest runs, 0 if it is off or paused.", ("guest",), bound=_GUEST),
    Family("guest_autostart", GAUGE, "1 if a guest starts with the node.", ("guest",), bound=_GUEST),
    Family("guest_realtime_vcpus", GAUGE, "vCPUs of a guest with a real-time policy.", ("guest",), bound=_GUEST),
    Family("guests_omitted", GAUGE, "Guests without series of their own."),
    # -- measurements and clock
    Family(
        "latency_max_seconds",
        GAUGE,
        "Maximum of the last latency measurement of a place: the host, or a guest.",
        ("place",),
        "seconds",
        "one per measured place",
    ),
    Family(
        "latency_passed",
        GAUGE,
        "1 if the last latency measurement of a place passed, 0 if it failed; absent if it proves nothing.",
        ("place",),
        bound="one per measured place",
    ),
    Family(
        "latency_timestamp_seconds",
        GAUGE,
        "When the last latency measurement of a place ended.",
        ("place",),
        "seconds",
        "one per measured place",
    ),
    Family(
        "clock_offset_seconds",
        GAUGE,
        "How far the clock is off: chrony's estimate, or the NIC's clock from its PTP master; only on nodes of the role time_sync.",
        unit="seconds",
    ),
    Family("clock_synchronised", GAUGE, "1 if the node's clock follows its source; only on nodes of the role time_sync."),
    # -- what keeps the node
    Family(
        "program_up",
        GAUGE,
        "1 if a program of the collection does its work: the boot service of this boot, the watcher of interrupts, libvirt's hook.",
        ("program",),
        bound="three",
    ),
    Family(
        "last_run_timestamp_seconds",
        GAUGE,
        "When a playbook last came to its end on the node.",
        ("playbook",),
        "seconds",
        "one per playbook",
    ),
    Family("source_up", GAUGE, "1 if a source of these metrics answered.", ("source",), bound="one per source"),
    Family(
        "source_duration_seconds", GAUGE, "How long a source of these metrics took.", ("source",), "seconds", "one per source"
    ),
    Family("pass_cpu_seconds", GAUGE, "CPU time that these metrics took, from the start of the program.", unit="seconds"),
    Family("pass_timestamp_seconds", GAUGE, "When these metrics were read.", unit="seconds"),
)

#: By their short names, in the order in which they are written.
FAMILIES: dict[str, Family] = {family.short: family for family in _TABLE}
