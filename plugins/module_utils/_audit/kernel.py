# SPDX-License-Identifier: GPL-3.0-or-later
"""Known conflicts of CPU sets, kernel arguments and platform, on any tuned machine. Pure: values in, findings out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._boot.arguments import is_list_key
from .._cpus.answers import counted
from .._cpus.cmdline import canonical, key_of
from .._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist, parse_or_empty
from .._cpus.masks import parse_mask
from .._cpus.partition import ISOLATED_SETS, SETS, Partition
from .._cpus.topology import Topology
from .._runtime.cpu_settings import BUDGET_NS, RT_RUNTIME_US
from .findings import Finding

_ARGUMENT = "remove it from the boot configuration and reboot"
_SITE = "run the site playbook, which plans the CPU sets and reboots the node into its arguments"


def presumed_partition(topology: Topology, isolated: frozenset[int]) -> Partition:
    """Return the partition of a machine without a partition file: the CPUs that its kernel isolates count as realtime CPUs."""
    own = isolated & topology.online
    sets = {name: frozenset[int]() for name in SETS}
    sets.update(housekeeping=topology.online - own, realtime=own)
    nodes = {node: cpus for node, cpus in topology.nodes.items() if cpus}
    return Partition("boot", "together", topology.digest(), sets, frozenset(), nodes, topology.boot_cpu)


# -- CPU sets --------------------------------------------------------------------------------------


def check_sets(partition: Partition, topology: Topology, *, documented: bool) -> list[Finding]:
    """The boot CPU and a CPU of every NUMA node are housekeeping CPUs, and no core is split between two sets."""
    isolated, findings = partition.isolated, []
    remedy = "correct cpu_partition_cpus, then run the site playbook" if documented else _SITE
    if topology.boot_cpu in isolated:
        findings.append(
            Finding("boot-cpu-isolated", f"CPU {topology.boot_cpu}", "housekeeping, as the boot CPU", "isolated", remedy)
        )
    if partition.guest is not None:  # its node decides what runs beside its vCPUs, and it has no emulator threads
        return findings
    findings += _split_cores(partition, topology, remedy, {} if documented else {"realtime": "isolated"})
    for node in topology.nodes_of(isolated & topology.online):
        if not partition.housekeeping & topology.nodes[node]:
            findings.append(
                Finding(
                    "numa-housekeeping",
                    f"NUMA node {node}",
                    "at least one housekeeping CPU, for emulator threads and interrupts",
                    f"CPUs {format_cpulist(topology.nodes[node])}, of which isolated "
                    f"{format_cpulist(isolated & topology.nodes[node])}",
                    remedy,
                )
            )
    return findings


def _split_cores(partition: Partition, topology: Topology, remedy: str, called: Mapping[str, str]) -> Iterator[Finding]:
    owner = {cpu: name for name, cpus in partition.sets.items() for cpu in cpus}
    split: dict[tuple[str, str], tuple[set[int], set[int]]] = {}
    for core in topology.cores:
        names = sorted({owner[cpu] for cpu in core if cpu in owner}, key=lambda name: name not in ISOLATED_SETS)
        if len(names) > 1:
            mine, theirs = split.setdefault((names[0], names[1]), (set(), set()))
            mine |= {cpu for cpu in core if owner.get(cpu) == names[0]}
            theirs |= {cpu for cpu in core if owner.get(cpu) == names[1]}
    for (first, second), (mine, theirs) in split.items():
        yield Finding(
            "smt-split",
            f"CPUs {format_cpulist(mine | theirs)}",
            "all threads of a core in one set",
            f"CPUs {format_cpulist(mine)} {called.get(first, first)}, their siblings {format_cpulist(theirs)} {second}",
            remedy,
        )


# -- kernel arguments ------------------------------------------------------------------------------


def isolated_by(tokens: Iterable[str]) -> frozenset[int]:
    """Return the CPUs that isolcpus= names, whatever its flags."""
    return _cpus_of(_values(tokens, "isolcpus"))


def _values(tokens: Iterable[str], key: str) -> list[str]:
    return [canonical(token).partition("=")[2] for token in tokens if key_of(token) == key]


def _flags_of(value: str) -> tuple[str, ...]:
    """Return the flags that isolcpus= starts with; no flag means domain."""
    return tuple(part for part in value.split(",") if re.match("[a-z]", part))


def _cpus_of(values: Iterable[str]) -> frozenset[int]:
    return frozenset().union(*map(_cpus, values))


def _cpus(value: str) -> frozenset[int]:
    """Return the CPUs of a list after its flags; no CPUs for a list that the kernel cannot read and so ignores."""
    return parse_or_empty(",".join(part for part in value.split(",") if not re.match("[a-z]", part)))


def check_arguments(
    tokens: Sequence[str],
    isolated: frozenset[int],
    *,
    threads_per_core: int = 1,
    realtime: bool = False,
    limited: bool = False,
    pstate_written: bool = False,
) -> list[Finding]:
    """Arguments on the running kernel's command line that contradict others or have no effect.

    ``isolated`` are the CPUs that must be quiet. ``limited``: CPUs have their own limits on idle states.
    ``pstate_written``: a user sets the hardware's own governor (energy preference, least performance).
    """
    findings = [*_isolation_arguments(tokens, isolated), *_redundant(tokens, realtime=realtime, limited=limited)]
    if pstate_written:
        findings += [
            Finding(
                "argument-redundant",
                key_of(token),
                "nothing, or power_governor: keep",
                f"{token}, without which energy_performance_preference and min_perf_pct would have an effect",
                f"{_ARGUMENT}, or leave it: the governor is set even so",
            )
            for token in tokens
            if token in ("intel_pstate=disable", "amd_pstate=disable")
        ]
    if "idle=poll" in tokens and threads_per_core > 1:
        findings.append(
            Finding(
                "idle-poll",
                "idle=poll",
                "per-CPU limits (pm_qos_resume_latency_us)",
                f"{threads_per_core} threads per core, of which an idle one takes half of the core from the other",
                f"{_ARGUMENT}; power_cstates keeps isolated CPUs awake",
            )
        )
    if "mce=off" in tokens:
        findings.append(
            Finding("mce-off", "mce", "reports of uncorrected errors (mce=ignore_ce is quiet too)", "mce=off", _ARGUMENT)
        )
    for token in dict.fromkeys(token for token in tokens if key_of(token) == "kthread_cpus"):
        findings.append(Finding("argument-unknown", "kthread_cpus", "irqaffinity= and isolcpus=", token, _ARGUMENT))
    counts = Counter(canonical(token) for token in tokens if not is_list_key(key_of(token)))
    for token, count in counts.items():
        # flags without a value and init's arguments (rw) may come from several places
        if count > 1 and "=" in token:
            findings.append(Finding("argument-duplicate", key_of(token), "once", f"{token}, {count} times", _ARGUMENT))
    return findings


def _isolation_arguments(tokens: Sequence[str], isolated: frozenset[int]) -> Iterator[Finding]:
    isolcpus = _values(tokens, "isolcpus")
    if isolcpus and not any("managed_irq" in _flags_of(value) for value in isolcpus):
        yield Finding("isolcpus-flags", "isolcpus", "the flag managed_irq", f"isolcpus={isolcpus[-1]}", "run the rt_kernel role")
    nohz_full, by_flag = _cpus_of(_values(tokens, "nohz_full")), _cpus_of(v for v in isolcpus if "nohz" in _flags_of(v))
    if nohz_full and by_flag and nohz_full != by_flag:
        yield Finding(
            "nohz-mismatch",
            "nohz_full",
            f"CPUs {format_cpulist(by_flag)}, as isolcpus=nohz",
            f"CPUs {format_cpulist(nohz_full)}",
            "run the rt_kernel role; the kernel drops the later of the two",
        )
    for key in ("irqaffinity", "systemd.cpu_affinity", "workqueue.unbound_cpus"):
        both = _cpus_of(_values(tokens, key)) & isolated
        if both:
            yield Finding(
                "housekeeping-overlap", key, "housekeeping CPUs alone", f"isolated CPUs {format_cpulist(both)} too", _ARGUMENT
            )


def _redundant(tokens: Sequence[str], *, realtime: bool, limited: bool) -> Iterator[Finding]:
    known = {canonical(token) for token in tokens}
    keys = {key_of(token) for token in tokens}
    if "idle=poll" in known:
        for key in ("processor.max_cstate", "intel_idle.max_cstate"):
            if key in keys:
                yield _without_effect(key, "idle=poll, with which no idle state is entered")
        if limited:
            yield Finding(
                "argument-redundant", "idle", "nothing", "idle=poll beside limits for each CPU, which suffice", _ARGUMENT
            )
    if realtime:
        for token in ("rcupdate.rcu_normal_after_boot=1", "rcutree.use_softirq=0"):
            if token in known:
                yield _without_effect(key_of(token), "a PREEMPT_RT kernel, which always does so")
    if "nowatchdog" in known:
        for token in ("nosoftlockup", "nmi_watchdog=0"):
            if token in known:
                yield _without_effect(key_of(token), "nowatchdog, which means both")


def _without_effect(key: str, beside: str) -> Finding:
    return Finding("argument-redundant", key, "nothing", f"given beside {beside}", _ARGUMENT)


# -- platform --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IdleState:
    """One idle state of one CPU, and how often the CPU entered it during the audit."""

    cpu: int
    name: str
    latency_us: int
    entered: int = 0
    disabled: bool = False


@dataclass(frozen=True)
class Platform:
    """A machine's facts beside topology and arguments; unknown facts are None or absent."""

    kernel_version: tuple[int, int] = (0, 0)
    rt_group_sched: bool | None = None  # kernel's configuration
    lockdown: str = ""  # none, integrity, confidentiality
    fair_servers: Mapping[int, str] = field(default_factory=dict)  # CPU to runtime in ns
    rt_runtime_us: str | None = None
    governors: Mapping[int, str] = field(default_factory=dict)
    idle_states: tuple[IdleState, ...] = ()
    latency_limits: Mapping[int, str] = field(default_factory=dict)  # CPU to pm_qos_resume_latency_us
    default_affinity: str | None = None
    cpusets: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # cgroup to partition state and CPUs
    isolated_at_boot: frozenset[int] = frozenset()


def check_platform(platform: Platform, tokens: Iterable[str]) -> list[Finding]:
    """Kernels that do not support a real-time node, and invalid cpuset partitions."""
    findings = []
    if platform.rt_group_sched and "rt_group_sched=0" not in map(canonical, tokens):
        findings.append(
            Finding(
                "rt-group-sched",
                "CONFIG_RT_GROUP_SCHED",
                "not set",
                "set, so that real-time policies are refused in cgroups without a share",
                "boot a kernel without it, or with rt_group_sched=0 if the kernel knows that argument",
            )
        )
    if platform.lockdown not in ("", "none") and platform.kernel_version >= (6, 12):
        findings.append(
            Finding(
                "lockdown",
                "/sys/kernel/security/lockdown",
                "none",
                f"{platform.lockdown}, which hides debugfs, so fair servers stay on",
                "boot without Secure Boot or lockdown=, or accept 50 ms of every second for ordinary tasks that wait",
            )
        )
    for path, (state, cpus) in platform.cpusets.items():
        boot = _cpus_of([cpus]) & platform.isolated_at_boot
        if state.endswith(")") or "invalid" in state:
            remedy = f"repair what the reason names, or echo member > {path}/cpuset.cpus.partition"
            findings.append(Finding("cpuset", path, "a valid partition, or member", state, remedy))
        elif state == "root" and boot:
            remedy = f"run echo isolated (or member) > {path}/cpuset.cpus.partition"
            findings.append(Finding("cpuset-root", path, "isolated", f"root, with CPUs {format_cpulist(boot)}", remedy))
    return findings


def check_untended(
    platform: Platform, partition: Partition, *, deepest_us: int = 2, polling: frozenset[int] = frozenset()
) -> list[Finding]:
    """Kernel defaults that disturb the isolated CPUs of a machine that this collection does not manage.

    ``polling`` are the CPUs of poll-mode threads, which are ordinary tasks.
    """
    isolated, findings = partition.isolated, []
    if not isolated:
        return []
    served = [
        cpu
        for cpu, runtime in sorted(platform.fair_servers.items())
        if cpu in isolated - polling and not (runtime.isdecimal() and int(runtime) <= BUDGET_NS)
    ]
    if served:
        findings.append(
            Finding(
                "fair-server",
                f"CPUs {format_cpulist(served)}",
                f"runtime {BUDGET_NS} ns at most",
                f"{platform.fair_servers[served[0]]} ns",
                "run the cpu_partition role",
            )
        )
    if platform.rt_runtime_us not in (None, "-1", str(RT_RUNTIME_US)) and (0, 0) < platform.kernel_version < (6, 12):
        findings.append(
            Finding(
                "rt-throttling",
                "/proc/sys/kernel/sched_rt_runtime_us",
                str(RT_RUNTIME_US),
                str(platform.rt_runtime_us),
                "run the cpu_partition role",
            )
        )
    slow = {cpu: name for cpu, name in platform.governors.items() if cpu in isolated and name != "performance"}
    if slow:
        names = ", ".join(sorted(set(slow.values())))
        findings.append(Finding("governor", f"CPUs {format_cpulist(slow)}", "performance", names, "run the power role"))
    deep = [
        state for state in platform.idle_states if state.cpu in isolated and state.latency_us > deepest_us and not state.disabled
    ]
    unlimited = {state.cpu for state in deep if _limit_us(platform.latency_limits.get(state.cpu, "0")) is None}
    if unlimited:
        worst = max((state for state in deep if state.cpu in unlimited), key=lambda state: state.latency_us)
        findings.append(
            Finding(
                "cstate-depth",
                f"CPUs {format_cpulist(unlimited)}",
                "a limit in pm_qos_resume_latency_us, or C1 at most",
                f"{worst.name}, which takes {worst.latency_us} us to leave",
                "power role",
            )
        )
    findings += _default_affinity(platform, partition)
    return findings


def _default_affinity(platform: Platform, partition: Partition) -> Iterator[Finding]:
    try:
        both = parse_mask(platform.default_affinity or "0") & partition.isolated
    except CpuListError:
        both = frozenset()
    if both:
        yield Finding(
            "interrupt-default",
            "/proc/irq/default_smp_affinity",
            f"CPUs {format_cpulist(partition.unisolated)}",
            f"isolated CPUs {format_cpulist(both)} too",
            "run the irq_affinity role",
        )


def _limit_us(text: str) -> int | None:
    """Return the latency that pm_qos_resume_latency_us allows; None: any. In the file, 0 is no limit and n/a no latency."""
    if text == "n/a":
        return 0
    return int(text) if text.isdecimal() and int(text) > 0 else None


def check_idle(platform: Platform, partition: Partition) -> list[Finding]:
    """No isolated CPU entered a state that takes longer to leave than its limit allows."""
    findings = []
    for state in platform.idle_states:
        limit = _limit_us(platform.latency_limits.get(state.cpu, "0"))
        if state.cpu in partition.isolated and state.entered and limit is not None and state.latency_us > limit:
            findings.append(
                Finding(
                    "cstate-entered",
                    f"CPU {state.cpu}",
                    f"states of at most {limit} us",
                    f"{state.name} ({state.latency_us} us), {counted(state.entered, 'time')} during the audit",
                    "run the power role; a driver that ignores the limit needs power_boot_cstates",
                )
            )
    return findings


# -- Nova ------------------------------------------------------------------------------------------


def check_nova(dedicated: str, shared: str, polling: frozenset[int]) -> list[Finding]:
    """Only pinned guests use Nova's CPUs for pinned guests. Lists are those of nova.conf."""
    try:
        own, others = parse_cpulist(dedicated), parse_cpulist(shared)
    except CpuListError as error:
        return [Finding("nova-sets", "[compute]", "CPU lists", str(error), "correct nova.conf and restart nova-compute")]
    rivals = {"cpu_shared_set": own & others, "the switch's poll-mode threads": own & polling}
    return [
        Finding(
            "nova-sets",
            "[compute] cpu_dedicated_set",
            "CPUs of pinned guests alone",
            f"CPUs {format_cpulist(both)} also belong to {name}",
            "correct nova.conf and restart nova-compute",
        )
        for name, both in rivals.items()
        if both
    ]
