# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the audit compares with its rules: programs, guests, platform, services. Edge, read-only."""

from __future__ import annotations

import gzip
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError
from .._cpus.machine import CPU_ROOT
from .._cpus.partition import Partition
from .._guests.domain_xml import OURS, describe, read_schedulers, shares_memory, vhost_user_macs
from .._guests.libvirt import Domain
from .._guests.nova import instance_cpus, read_instance
from .._guests.roles import VHOST, role_of
from .._guests.threads import kernel_vhosts
from .._guests.vhost import read_vhost
from .._host.host import Host
from .._host.kernel import read_kernel, read_lockdown, read_machine
from .._host.threads import SWITCH_PID, guest_name, guest_pids, read_programs, read_threads
from .._host.tuning_daemons import tuned_state, tuning_daemons
from .._isolation.holders import HOLDERS, ROOT
from .._memory.pools import memory_nodes
from .._runtime.cpu_settings import thread_rule
from .findings import Finding
from .kernel import IdleState, Platform
from .running import Actor, RunningGuest

_BANNED = "IRQBALANCE_BANNED_CPULIST="


# -- programs and guests ---------------------------------------------------------------------------


def read_actors(host: Host) -> list[Actor]:
    """Return every thread of every program; those of QEMU processes with their roles."""
    actors = [
        Actor(process, thread.pid, thread.name, thread.allowed, thread.policy, thread.priority, thread.cpu)
        for process, thread in read_programs(host)
    ]
    guests = {actor.process for actor in actors if role_of(actor.name, main=False).startswith("vcpu")}
    return [
        actor if actor.process not in guests else replace(actor, role=role_of(actor.name, main=actor.tid == actor.process))
        for actor in actors
    ]


def read_guests(
    host: Host, actors: Sequence[Actor], domains: Mapping[str, Domain], partition: Partition, listed: frozenset[str]
) -> list[RunningGuest]:
    """Return the guests that run, found by their vCPU threads, with what libvirt knows of them."""
    processes: dict[int, list[Actor]] = {}
    for actor in actors:
        if actor.role:
            processes.setdefault(actor.process, []).append(actor)
    names = {pid: name for name, pid in guest_pids(host).items()}
    guests = []
    for process, threads in sorted(processes.items()):
        name = names.get(process) or guest_name(host, process)
        if not any(actor.role == VHOST for actor in threads):
            threads = [*threads, *_kernel_vhosts(host, process)]
        guest = RunningGuest(name, process, tuple(threads), locked_kib=_locked_kib(host, process), listed=name in listed)
        if guest.realtime or guest.owned(partition):  # the memory map of a guest without fixed CPUs is not read
            guest = replace(guest, memory=memory_nodes(host, process))
        guests.append(_defined(guest, domains[name]) if name in domains else guest)
    return guests


def _kernel_vhosts(host: Host, process: int) -> list[Actor]:
    return [
        Actor(process, thread.pid, thread.name, thread.allowed, thread.policy, thread.priority, thread.cpu, VHOST)
        for thread in kernel_vhosts(host, process)
    ]


def _defined(guest: RunningGuest, domain: Domain) -> RunningGuest:
    """Return a guest with the values of its definition; an unreadable definition adds none.

    For an instance of Nova its live XML counts: Nova writes a new definition at each start.
    """
    tree = domain.tree
    instance = read_instance(tree)
    if instance is not None:
        with suppress(HostError):  # it has ended meanwhile
            tree = domain.live_tree() if domain.running else tree
        guest = replace(guest, instance=instance, xml=instance_cpus(tree))
    with suppress(ValueError):
        guest = replace(guest, defined=describe(tree), schedulers=read_schedulers(tree))
    vhost = read_vhost(tree.find(f"metadata/{OURS}"))
    return replace(guest, shared=shares_memory(tree), vhost_user=vhost_user_macs(tree), vhost=vhost)


def _locked_kib(host: Host, process: int) -> int | None:
    found = re.search(r"^VmLck:\s*(\d+) kB", host.read(f"/proc/{process}/status") or "", re.MULTILINE)
    return int(found[1]) if found else None


def read_pmds(host: Host, actors: Sequence[Actor]) -> list[Actor]:
    """Return the switch's poll-mode threads."""
    pid = host.value(SWITCH_PID) or ""
    return [actor for actor in actors if str(actor.process) == pid and actor.name.startswith("pmd-")]


def kernel_priorities(host: Host) -> dict[int, int]:
    """Return the lowest priority, by CPU, of the kernel's threads that must be above a vCPU's."""
    found: dict[int, int] = {}
    for thread in read_threads(host, user=False):
        if thread_rule(thread.name) is not None:
            cpu = int(thread.name.rpartition("/")[2])
            found[cpu] = min(found.get(cpu, 99), thread.priority)
    return found


# -- platform --------------------------------------------------------------------------------------


def read_platform(host: Host, partition: Partition, idle_states: Sequence[IdleState]) -> Platform:
    """Return the machine's facts beside topology and arguments."""
    kernel = read_kernel(host)
    policies = host.glob(f"{CPU_ROOT}/cpu[0-9]*/cpufreq/scaling_governor")
    servers = host.glob("/sys/kernel/debug/sched/fair_server/cpu[0-9]*/runtime")
    limits = {cpu: host.value(f"{CPU_ROOT}/cpu{cpu}/power/pm_qos_resume_latency_us") for cpu in partition.isolated}
    return Platform(
        kernel_version=read_machine(host).kernel_version,
        rt_group_sched=_rt_group_sched(host, kernel.release),
        lockdown=read_lockdown(host),
        fair_servers={int(path.split("/")[-2][3:]): host.value(path) or "" for path in servers},
        rt_runtime_us=host.value("/proc/sys/kernel/sched_rt_runtime_us"),
        governors={int(path.split("/")[-3][3:]): host.value(path) or "" for path in policies},
        idle_states=tuple(idle_states),
        latency_limits={cpu: limit for cpu, limit in limits.items() if limit is not None},
        default_affinity=host.value("/proc/irq/default_smp_affinity"),
        cpusets=_read_cpusets(host, partition),
        isolated_at_boot=kernel.isolated,
    )


def _rt_group_sched(host: Host, release: str) -> bool | None:
    """Return whether the kernel limits real-time by cgroup; None where its configuration is not available."""
    packed = host.read_bytes("/proc/config.gz")
    try:
        text = gzip.decompress(packed).decode(errors="replace") if packed else host.read(f"/boot/config-{release}")
    except (OSError, EOFError, zlib.error):
        return None
    if not text or not release:
        return None
    on = "\nCONFIG_RT_GROUP_SCHED=y" in f"\n{text}"
    return on and "\nCONFIG_RT_GROUP_SCHED_DEFAULT_DISABLED=y" not in f"\n{text}"


def _read_cpusets(host: Host, partition: Partition) -> dict[str, tuple[str, str]]:
    """Return cgroups that are, or should be, cpuset partitions, without those that the roles make (compared elsewhere)."""
    ours = (
        *HOLDERS.values(),
        *((f"{ROOT}/machine.slice/", f"{ROOT}/system.slice/ovs-vswitchd.service/") * (partition.isolation == "runtime")),
    )
    found = {}
    for pattern in ("*", "*/*", "*/*/*"):
        for file in host.glob(f"{ROOT}/{pattern}/cpuset.cpus.partition"):
            path, state = file.rpartition("/")[0], host.value(file) or "member"
            if state != "member" and not path.startswith(ours):
                found[path] = (state, host.value(f"{path}/cpuset.cpus") or "")
    return found


class IdleWatch:
    """Counts how often isolated CPUs enter each idle state while the audit runs."""

    def __init__(self, host: Host, partition: Partition, interval_s: float) -> None:
        self.host = host
        self.cpus = sorted(partition.isolated)
        self.interval_s = 0.0 if host.captured else interval_s
        self.begun = time.monotonic()
        self.first = self._usage()

    def _usage(self) -> dict[str, int]:
        found = {}
        for cpu in self.cpus:
            for path in self.host.glob(f"{CPU_ROOT}/cpu{cpu}/cpuidle/state[0-9]*"):
                text = self.host.value(f"{path}/usage") or ""
                found[path] = int(text) if text.isdecimal() else 0
        return found

    def states(self) -> list[IdleState]:
        """Return the states with their counts; waits until the interval is over if there is a state beyond the first."""
        rest = self.interval_s - (time.monotonic() - self.begun)
        if rest > 0 and any(not path.endswith("/state0") for path in self.first):
            time.sleep(rest)
        return [self._state(path, count - self.first.get(path, count)) for path, count in self._usage().items()]

    def _state(self, path: str, entered: int) -> IdleState:
        cpu = int(path.split("/")[-3][3:])
        latency = self.host.value(f"{path}/latency") or ""
        name = self.host.value(f"{path}/name") or path.rpartition("/")[2]
        disabled = self.host.value(f"{path}/disable") not in (None, "0")
        return IdleState(cpu, name, int(latency) if latency.isdecimal() else 0, entered, disabled)


# -- services --------------------------------------------------------------------------------------


def irqbalance_findings(host: Host, actors: Sequence[Actor], partition: Partition) -> list[Finding]:
    """A running irqbalance, however it was started, must know the isolated CPUs."""
    findings = []
    for actor in actors:
        if actor.name != "irqbalance" or actor.tid != actor.process or not partition.isolated:
            continue
        lines = (host.read(f"/proc/{actor.process}/environ") or "").split("\0")
        banned = next((line.removeprefix(_BANNED) for line in lines if line.startswith(_BANNED)), "")
        missing = partition.isolated - parse_or_empty(banned)
        if missing:
            findings.append(
                Finding(
                    "irqbalance",
                    f"irqbalance (pid {actor.process})",
                    f"{_BANNED}{format_cpulist(partition.isolated)}",
                    f"{_BANNED}{banned}" if banned else "no banned CPUs",
                    "run the irq_affinity role, which configures its systemd unit; stop one that was started by other means",
                )
            )
    return findings


def daemon_findings(host: Host, actors: Sequence[Actor], partition: Partition, *, documented: bool) -> list[Finding]:
    """Daemons that change settings of real-time nodes; of tuned, without a partition file, only another choice of CPUs."""
    running = {actor.name for actor in actors}
    findings = [
        Finding(
            "tuning-daemon",
            f"{name}.service",
            "switched off",
            f"{state}; it sets {what}",
            f"run systemctl disable --now {name}.service",
        )
        for name, (state, what) in tuning_daemons(host, running).items()
    ]
    if documented or "active" not in tuned_state(host):
        return findings
    profile = host.value("/etc/tuned/active_profile") or ""
    files = [host.read(path) or "" for path in host.glob("/etc/tuned/*-variables.conf") if path.split("/")[-1][:-15] in profile]
    chosen = [value for text in files for value in re.findall(r"^\s*isolated_cores\s*=\s*([\d,:/^-]+)\s*$", text, re.MULTILINE)]
    if chosen and parse_or_empty(chosen[-1]) != partition.isolated:
        findings.append(
            Finding(
                "tuned-cores",
                f"tuned, profile {profile}",
                f"isolated_cores={format_cpulist(partition.isolated)}, as the kernel isolates",
                f"isolated_cores={chosen[-1]}",
                "set cpu_partition_tuned: take_over, or run tuned-adm profile and reboot",
            )
        )
    return findings
