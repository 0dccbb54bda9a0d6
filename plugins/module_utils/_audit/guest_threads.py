# SPDX-License-Identifier: GPL-3.0-or-later
"""The threads of a running guest: their CPUs, policies and rivals. Pure: values in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._guests.roles import VHOST, WORKER
from .._host.paths import ARCHIVE
from .findings import Finding
from .running import Actor, Named, RunningGuest


def check_vcpus(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
    """Yield the vCPUs that are not pinned to one realtime CPU."""
    for vcpu, actor in sorted(guest.vcpus.items()):
        if (guest.name, actor.role) in named:
            continue
        if len(actor.cpus) != 1 or not actor.cpus <= partition.sets["realtime"]:
            yield Finding(
                "vcpu-pin",
                guest.resource(actor),
                f"one of the realtime CPUs {format_cpulist(partition.sets['realtime']) or 'that the node does not have'}",
                f"CPUs {format_cpulist(actor.cpus)}",
                f"run virsh vcpupin {guest.name} {vcpu} CPU --live --config",
            )


def check_priorities(guest: RunningGuest, kernel_priorities: Mapping[int, int], named: Named) -> Iterator[Finding]:
    """Yield the real-time vCPUs that run above the kernel's own threads of their CPU."""
    for _vcpu, actor in sorted(guest.vcpus.items()):
        lowest = min((kernel_priorities[cpu] for cpu in actor.cpus if cpu in kernel_priorities), default=None)
        if (guest.name, actor.role) in named or not actor.realtime or lowest is None or actor.priority < lowest:
            continue
        remedy = f"run chrt and set vcpusched in its definition (virsh edit {guest.name})"
        if guest.instance is not None:
            remedy = f"set [libvirt] realtime_scheduler_priority, then openstack server reboot --hard {guest.instance.server}"
        yield Finding(
            "vcpu-priority",
            guest.resource(actor),
            f"a priority below {lowest}, the lowest of the kernel's own threads there",
            actor.scheduler,
            f"{remedy}; or raise realtime_priority_limit",
        )


def check_emulator(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
    """Yield the emulator and I/O threads on isolated CPUs that are not their own."""
    pinned: frozenset[int] = frozenset().union(*(actor.cpus for actor in guest.vcpus.values()))
    for actor in guest.actors:
        if actor.role != "emulator" and not actor.role.startswith("iothread"):
            continue
        own = len(actor.cpus) == 1 and not actor.cpus & pinned
        if (guest.name, actor.role) in named or not actor.cpus & partition.isolated or own:
            continue
        what = "emulatorpin" if actor.role == "emulator" else f"iothreadpin {guest.name} {actor.role[8:]}"
        yield Finding(
            "emulator-pin",
            guest.resource(actor),
            f"CPUs {format_cpulist(partition.unisolated)}, or its own isolated one",
            f"CPUs {format_cpulist(actor.cpus)}",
            f"run virsh {what if actor.role != 'emulator' else f'emulatorpin {guest.name}'} CPUS --live --config",
        )


def check_workers(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
    """Yield the threads of QEMU that are neither vCPU nor emulator nor I/O thread, and stand in a vCPU's way."""
    emulator = next((actor for actor in guest.actors if actor.role == "emulator"), None)
    for actor in guest.actors:
        if actor.role not in ("other", WORKER) or (guest.name, actor.role) in named:
            continue
        as_emulator = emulator and (actor.cpus, actor.scheduler) == (emulator.cpus, emulator.scheduler)
        if as_emulator or not (actor.realtime or (actor.cpus and actor.cpus <= partition.isolated)):
            continue
        cpus = format_cpulist(emulator.cpus if emulator else partition.unisolated)
        resource = f"{guest.name}: {actor.name} (thread {actor.tid})"
        expected = f"the emulator's CPUs {cpus} and policy {emulator.scheduler if emulator else 'other'}"
        actual = f"CPUs {format_cpulist(actor.cpus)}, {actor.scheduler}"
        if actor.role == WORKER:
            ours = guest.defined is not None and guest.defined.ours
            how = "run the guests playbook, which moves it" if ours else f"run python3 -I {ARCHIVE} worker {actor.process}"
            remedy = f"{how}; kvm_host_nx_huge_pages: never prevents it"
            yield Finding("nx-recovery", resource, expected, actual, remedy)
        else:
            remedy = f"run chrt -o -p 0 {actor.tid}, and taskset -cp {cpus} {actor.tid}"
            yield Finding("guest-worker", resource, expected, actual, remedy)


def check_vhost(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
    """Yield vhost's threads that are not where the definition has them; of one that does not tell, those in the way of isolated CPUs.

    Threads that nobody placed are beside the emulator.
    """
    beside, policy = guest.vhost or ("emulator", "")
    leader = next((actor for actor in guest.actors if actor.role == beside), None)
    for actor in guest.actors if leader else ():
        if actor.role != VHOST or leader is None or (guest.name, VHOST) in named:
            continue
        right = (actor.cpus, actor.scheduler) == (leader.cpus, policy or leader.scheduler)
        harmless = not guest.vhost and not actor.realtime and not (actor.cpus and actor.cpus <= partition.isolated)
        if right or harmless:
            continue
        cpus = format_cpulist(leader.cpus)
        how = f"run taskset -cp {cpus} {actor.tid}, and chrt -o -p 0 {actor.tid}"
        if guest.vhost:
            how = "run the guests playbook, which moves it"
        yield Finding(
            "vhost-thread",
            f"{guest.name}: {actor.name} (thread {actor.tid})",
            f"CPUs {cpus} of its {beside}, {policy or leader.scheduler}",
            f"CPUs {format_cpulist(actor.cpus)}, {actor.scheduler}",
            how,
        )


def check_siblings(guest: RunningGuest, partition: Partition, topology: Topology, named: Named) -> Iterator[Finding]:
    """Yield the threads of a guest that run on the other thread of its real-time vCPU's core.

    Not for guests that share cores by wish; of a listed guest the comparison with the inventory shows what differs. Of an instance the
    wish is often unknown: Nova writes a flavor's extra specs into the XML only in its newer releases (34 does, 31 does not).
    """
    bound = [actor for actor in guest.actors if len(actor.cpus) == 1 and actor.role not in ("other", WORKER, VHOST)]
    for vcpu, actor in sorted(guest.vcpus.items()):
        cpu = min(actor.cpus, default=-1)
        if not actor.realtime or len(actor.cpus) != 1 or cpu not in topology.cpus or cpu not in partition.isolated:
            continue
        beside = topology.core_of(cpu) - {cpu}
        rivals = sorted(other.role for other in bound if other.cpus <= beside and (guest.name, other.role) not in named)
        if rivals:
            resource, expected = (
                guest.resource(actor),
                f"nothing on the other thread of its core (CPU {format_cpulist(beside)})",
            )
            actual = f"{', '.join(rivals)} of the same guest"
            if guest.instance is not None:
                remedy = "cpu_partition_smt: single offers Nova one thread of each core; none if its flavor wants whole cores"
                yield Finding("instance-sibling", resource, expected, actual, remedy)
            else:
                remedy = f"run {guest.repin(vcpu)} with a CPU of another core; cpu_partition_smt: single leaves such threads idle"
                yield Finding("smt-sibling", resource, expected, actual, remedy)


def live_differences(guest: RunningGuest, named: Named, *, at_runtime: bool) -> Iterator[Finding]:
    """Yield the threads that differ from the definition; the next start would use the definition again.

    A node that is isolated at run time (``at_runtime``) moves an emulator off the CPUs of its own vCPUs.
    """
    if guest.defined is None:
        return
    for actor in guest.actors:
        vcpu = int(actor.role[4:]) if actor.role.startswith("vcpu") else None
        if (guest.name, actor.role) in named or (vcpu is None and actor.role != "emulator"):
            continue
        pinned = guest.defined.emulator if vcpu is None else guest.defined.vcpus.get(vcpu, guest.defined.floating)
        policy = guest.schedulers.get(vcpu, "other") if vcpu is not None else actor.scheduler
        moved = vcpu is None and guest.xml is not None and pinned <= guest.xml.vcpus and at_runtime and not actor.cpus & pinned
        if pinned and actor.cpus != pinned and not moved:
            yield _live(guest, actor, f"CPUs {format_cpulist(pinned)}", f"CPUs {format_cpulist(actor.cpus)}")
        if actor.scheduler != policy:
            yield _live(guest, actor, policy, actor.scheduler)


def _live(guest: RunningGuest, actor: Actor, expected: str, actual: str) -> Finding:
    remedy = f"run virsh vcpupin, emulatorpin or chrt to match the definition, or change that (virsh edit {guest.name})"
    if guest.instance is not None:
        remedy = f"let Nova start it as it is defined: openstack server reboot --hard {guest.instance.server}"
    return Finding("guest-live", guest.resource(actor), expected, actual, remedy)
