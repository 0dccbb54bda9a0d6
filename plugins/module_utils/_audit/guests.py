# SPDX-License-Identifier: GPL-3.0-or-later
"""Running guests: their threads, their memory, and CPUs that two of them use. Pure: values in, findings out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .findings import Finding
from .guest_threads import (
    check_emulator,
    check_priorities,
    check_siblings,
    check_vcpus,
    check_vhost,
    check_workers,
    live_differences,
)
from .running import Actor, Named, RunningGuest


def check_guests(
    guests: Sequence[RunningGuest],
    partition: Partition,
    topology: Topology,
    kernel_priorities: Mapping[int, int],
    *,
    pmds: Sequence[Actor] = (),
    named: Named = (),
) -> list[Finding]:
    """Check every guest that has real-time vCPUs or its own CPUs.

    ``kernel_priorities`` is the lowest priority of the kernel's own threads by CPU, ``pmds`` are the switch's poll-mode
    threads without those that another rule names; ``named`` are threads that need no second finding.
    """
    findings: list[Finding] = []
    for guest in guests:
        if not guest.realtime and not guest.owned(partition):
            continue
        if not guest.listed and guest.instance is None:  # an instance's XML is checked, and its threads against that
            findings += check_vcpus(guest, partition, named)
            findings += check_emulator(guest, partition, named)
        if not guest.listed:
            findings += check_priorities(guest, kernel_priorities, named)
        findings += _check_memory(guest, topology)
        findings += check_workers(guest, partition, named)
        findings += check_vhost(guest, partition, named)
        if not guest.shares:
            findings += check_siblings(guest, partition, topology, named)
    wrong = {finding.resource for finding in findings if finding.rule == "vcpu-pin"}
    overlaps = _overlaps(guests, pmds, partition, named, wrong)
    findings += [item.finding for item in overlaps]
    reported = {finding.resource for finding in findings}.union(*(item.resources for item in overlaps))
    for guest in guests:
        found = [] if guest.listed else live_differences(guest, named, at_runtime=partition.isolation == "runtime")
        findings += [item for item in found if item.resource not in reported]
    return findings


def _check_memory(guest: RunningGuest, topology: Topology) -> Iterator[Finding]:
    yield from _check_memory_nodes(guest, topology)
    if guest.realtime and guest.locked_kib == 0 and (guest.xml is None or guest.xml.locked):
        yield Finding(
            "guest-memory-unlocked",
            f"domain {guest.name}",
            "locked memory",
            "VmLck 0 kB",
            guest.mend("add <memoryBacking><locked/></memoryBacking>", "hw:locked_memory=true and hw:mem_page_size"),
        )
    if guest.vhost_user and guest.shared is False:
        yield Finding(
            "vhost-user-memory",
            f"domain {guest.name}",
            "shared memory, which the switch needs to read packets",
            f"private memory, and vhost-user ports ({', '.join(guest.vhost_user)})",
            guest.mend("add <memoryBacking><access mode='shared'/></memoryBacking> with huge pages or memfd", "hw:mem_page_size"),
        )


def _check_memory_nodes(guest: RunningGuest, topology: Topology) -> Iterator[Finding]:
    """Yield the finding of a guest with memory on other nodes than its vCPUs: now, or at its next start by its definition.

    The definition of a listed guest is compared with the inventory elsewhere. Guests on CPUs of a node without memory have no such finding.
    """
    nodes = {topology.cpus[cpu].node for actor in guest.vcpus.values() for cpu in actor.cpus if cpu in topology.cpus}
    if not nodes - topology.without_memory:
        return
    defined = guest.defined.memory_by_node() if guest.defined and not guest.listed else {}
    away = {node: pages for node, pages in guest.memory.items() if node not in nodes and pages}
    bound = {node for node, mib in defined.items() if node not in nodes and mib}
    if not away and not bound:
        return
    there = format_cpulist(nodes - topology.without_memory)
    actual = f"memory from node {format_cpulist(bound)} at its next start (numatune of its definition)"
    if away:
        actual = f"{sum(away.values())} of {sum(guest.memory.values())} pages on node {format_cpulist(away)}"
    yield Finding(
        "guest-memory-node",
        f"domain {guest.name}",
        f"memory on NUMA node {format_cpulist(nodes)}, where its vCPUs are",
        actual,
        guest.mend(f"set numatune strict in its definition, memory and each memnode to nodeset {there}", "hw:mem_page_size")
        + ("" if guest.instance else "; or pin its vCPUs where its memory is"),
    )


@dataclass(frozen=True)
class _Overlap:
    """One CPU with two users."""

    finding: Finding
    resources: tuple[str, ...]  # the guests' threads that it names


def _overlaps(
    guests: Sequence[RunningGuest], pmds: Iterable[Actor], partition: Partition, named: Named, wrong: Collection[str]
) -> list[_Overlap]:
    # other rules report threads that float over several CPUs; here two threads have the same CPU as their own
    users: dict[int, list[tuple[str, str, str]]] = {}
    for guest in guests:
        for vcpu, actor in sorted(guest.vcpus.items()):
            resource = guest.resource(actor)
            reported = (guest.name, actor.role) in named or resource in wrong
            for cpu in actor.cpus & partition.isolated if len(actor.cpus) == 1 and not reported else ():
                remedy = guest.repin(vcpu)
                users.setdefault(cpu, []).append((resource, f"{guest.name} {actor.role}", remedy))
    for pmd in pmds:
        for cpu in pmd.cpus if len(pmd.cpus) == 1 else ():
            users.setdefault(cpu, []).insert(0, ("", pmd.name, "pmd-cpu-mask (ovs_dpdk role)"))
    found = []
    for cpu, several in sorted(users.items()):
        resources = tuple(resource for resource, _who, _remedy in several if resource)
        if len(several) > 1 and resources:
            who, remedy = ", ".join(who for _resource, who, _remedy in several), f"move one of them: {several[-1][2]}"
            found.append(_Overlap(Finding("vcpu-overlap", f"CPU {cpu}", "one vCPU and nothing else", who, remedy), resources))
    return found
