# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that are neither guests nor the switch's poll-mode threads. Pure: values in, findings out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._guests.roles import VHOST, WORKER
from .findings import Finding, check_task
from .running import Actor, RunningGuest

#: Threads of a guest's that have their place by another thread of it.
_HELPERS = ("other", WORKER, VHOST)


def _named_tasks(findings: Iterable[Finding]) -> set[int]:
    """Return the tasks that findings of a role name: ``thread:<name>:<id>:<started>:affinity``."""
    found = (re.fullmatch(r"thread:.*:(\d+):\d+:\w+", finding.resource) for finding in findings)
    return {int(match[1]) for match in found if match}


def other_programs(
    actors: Iterable[Actor],
    guests: Iterable[RunningGuest],
    pmds: Iterable[Actor],
    partition: Partition,
    findings: Iterable[Finding],
) -> list[Actor]:
    """Return the threads that no rule for guests and switch checks and that no finding names yet."""
    claimed = _named_tasks(findings) | {pmd.tid for pmd in pmds}
    named = {finding.resource for finding in findings}
    for guest in guests:
        demanding = guest.realtime or guest.owned(partition)
        for actor in guest.actors:
            # QEMU's workers have the CPUs of its emulator thread
            role = "emulator" if actor.role in _HELPERS else actor.role
            thread = f"domain {guest.name}: {role}"
            names = {thread, f"{thread} cpus", f"instance {guest.instance}: {role}"}
            if actor.role == VHOST:
                names |= {f"domain {guest.name}: {VHOST} cpus", f"{guest.name}: {actor.name} (thread {actor.tid})"}
            if (demanding and actor.role not in _HELPERS) or named & names:
                claimed.add(actor.tid)
    return [actor for actor in actors if actor.tid not in claimed]


def check_programs(
    actors: Iterable[Actor],
    guests: Sequence[RunningGuest],
    pmds: Iterable[Actor],
    partition: Partition,
    topology: Topology,
    kernel_isolated: frozenset[int],
) -> list[Finding]:
    """Programs that use isolated and other CPUs, share a CPU that has an owner, or keep the other thread of its core busy.

    ``actors`` are all threads of all programs, without those that other rules have named.
    """
    owner: dict[int, tuple[str, int]] = {}
    for guest in guests:
        owner.update({cpu: (f"{guest.name} {actor.role}", guest.process) for cpu, actor in guest.owned(partition).items()})
    for pmd in pmds:
        owner.update({cpu: (pmd.name, pmd.process) for cpu in pmd.cpus & partition.isolated if len(pmd.cpus) == 1})
    beside = {
        thread: owner[cpu]
        for cpu in owner
        if cpu in topology.cpus
        for thread in topology.core_of(cpu) & partition.isolated
        if thread not in owner
    }
    findings = []
    for actor in actors:
        found = check_task(partition, actor.name, actor.tid, actor.cpus, last=actor.last, isolated=kernel_isolated)
        if found is not None:
            findings.append(found)
        elif actor.cpus and actor.cpus <= partition.isolated:
            findings += _check_bound(actor, owner, beside, partition)
    return findings


def _check_bound(
    actor: Actor, owner: Mapping[int, tuple[str, int]], beside: Mapping[int, tuple[str, int]], partition: Partition
) -> Iterator[Finding]:
    """Yield the findings of a thread that runs only on isolated CPUs."""
    remedy = f"run taskset -cp {format_cpulist(partition.unisolated)} {actor.tid}, and correct the program that started it"
    resource = f"{actor.name} (pid {actor.tid})"
    owned = {cpu: owner[cpu] for cpu in actor.cpus if cpu in owner and owner[cpu][1] != actor.process}
    if owned:
        names = ", ".join(f"CPU {cpu} is of {name}" for cpu, (name, _pid) in sorted(owned.items()))
        yield Finding("cpu-contended", resource, f"no CPU of a vCPU or poll-mode thread: {names}", _on(actor), remedy)
        return
    idle = actor.cpus & partition.idle
    rivals = {cpu: beside[cpu] for cpu in actor.cpus if cpu in beside and beside[cpu][1] != actor.process}
    if idle or rivals:
        names = ", ".join(
            [f"CPU {format_cpulist(idle)} is left idle"] * bool(idle)
            + [f"CPU {c} is beside {n}" for c, (n, _p) in rivals.items()]
        )
        yield Finding("smt-sibling", resource, f"nothing on the other threads of a core in use: {names}", _on(actor), remedy)


def _on(actor: Actor) -> str:
    return f"CPUs {format_cpulist(actor.cpus)}"
