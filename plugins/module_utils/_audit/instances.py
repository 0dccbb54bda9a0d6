# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of OpenStack's Nova on a node: their live XML against the partition. Pure: values in, findings out.

Nova wrote the XML, so each finding names what makes Nova write another one; virsh would be undone by the next hard reboot. Threads
that differ from the live XML are the rule ``guest-live``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._guests.nova import Instance, InstanceCpus
from .findings import Finding
from .running import Named, RunningGuest


def instance_findings(
    guests: Sequence[RunningGuest],
    partition: Partition,
    topology: Topology,
    *,
    priority: int | None = None,
    plain_pinned: bool = False,
    named: Named = (),
) -> list[Finding]:
    """Check the running instances. ``priority``: Nova's realtime_scheduler_priority, None if unknown; ``plain_pinned``: the host serves
    plainly pinned instances by intent."""
    findings: list[Finding] = []
    beside = sorted(guest.name for guest in guests if guest.realtime)
    for guest in guests:
        instance, cpus = guest.instance, guest.xml
        if instance is None or cpus is None:
            continue
        findings += _check_vcpus(guest, instance, cpus, partition, named)
        others = [other.vcpus.values() for other in guests if other is not guest]
        taken = frozenset().union(*(actor.cpus for actors in others for actor in actors if len(actor.cpus) == 1))
        findings += _check_helpers(guest, instance, cpus, partition, topology, named, taken)
        findings += _check_policy(instance, cpus, priority)
        findings += _check_memory(instance, cpus)
        realtime = [name for name in beside if name != guest.name]
        if realtime and not plain_pinned and not cpus.realtime and cpus.own(partition.sets["realtime"]):
            findings.append(_plain(instance, cpus, partition, realtime))
    return findings


def _resource(instance: Instance, role: str = "") -> str:
    return f"instance {instance}: {role}" if role else f"instance {instance}"


def _outside(instance: Instance, role: str, expected: str, cpus: frozenset[int], remedy: str) -> Finding:
    return Finding("instance-cpus", _resource(instance, role), expected, f"CPUs {format_cpulist(cpus)} in its live XML", remedy)


def _move(instance: Instance) -> str:
    return (
        "correct [compute] cpu_dedicated_set (the nova_compute role does), then let Nova choose other CPUs: "
        f"openstack server migrate {instance.server}"
    )


def _rewrite(instance: Instance) -> str:
    return (
        "correct [compute] cpu_shared_set (the nova_compute role does), then let Nova write the XML again: "
        f"openstack server reboot --hard {instance.server}"
    )


def _check_vcpus(
    guest: RunningGuest, instance: Instance, cpus: InstanceCpus, partition: Partition, named: Named
) -> Iterator[Finding]:
    """Yield vCPUs that neither have one realtime CPU of their own nor, if they are ordinary, float over ordinary CPUs."""
    realtime, ordinary = partition.sets["realtime"], partition.unisolated
    for role, pins in cpus.pins.items():
        if not role.startswith("vcpu") or (guest.name, role) in named or (len(pins) == 1 and pins <= realtime):
            continue
        one = f"one of the realtime CPUs {format_cpulist(realtime) or 'that the node does not have'}"
        if int(role[4:]) in cpus.schedulers:
            yield _outside(instance, role, one, pins, _move(instance))
        elif not pins <= ordinary:
            wanted = f"{one}, or the ordinary CPUs {format_cpulist(ordinary)} alone"
            yield _outside(instance, role, wanted, pins, _move(instance) if len(pins) == 1 else _rewrite(instance))


def _check_helpers(
    guest: RunningGuest,
    instance: Instance,
    cpus: InstanceCpus,
    partition: Partition,
    topology: Topology,
    named: Named,
    taken: frozenset[int],
) -> Iterator[Finding]:
    """Yield emulator and I/O threads on isolated CPUs that are not their own, and remark those far from the vCPUs.

    One of ``hw:emulator_threads_policy=isolate`` has a realtime CPU apart from all vCPUs. Without a policy it has its own ordinary vCPUs'
    CPUs: there it disturbs nobody else's, but beside real-time vCPUs it belongs on ordinary CPUs. A node that is isolated at run time moves
    it there. ``taken``: CPUs of other guests' vCPUs.
    """
    realtime, ordinary = partition.sets["realtime"], partition.unisolated
    actual = {actor.role: actor.cpus for actor in guest.actors}
    remote: dict[frozenset[int], list[str]] = {}
    for role, pins in cpus.pins.items():
        if role.startswith("vcpu") or (guest.name, role) in named:
            continue
        isolate = pins <= realtime and not pins & (cpus.vcpus | taken)
        moved = bool(actual.get(role)) and actual[role] <= ordinary and partition.isolation == "runtime" and pins <= cpus.vcpus
        if pins <= ordinary:
            if _is_remote(pins, cpus, realtime, topology):
                remote.setdefault(pins, []).append(role)
        elif not isolate and not moved and (cpus.realtime or not pins <= cpus.vcpus):
            wanted = f"the ordinary CPUs {format_cpulist(ordinary)}, or a realtime CPU without a vCPU (isolate)"
            remedy = (
                "give its flavor hw:emulator_threads_policy (isolate or share), or hw:cpu_policy=mixed, and resize it: "
                f"openstack server resize --flavor FLAVOR {instance.server}"
            )
            yield _outside(instance, role, wanted, pins, remedy if pins <= cpus.vcpus else _rewrite(instance))
    for pins, roles in remote.items():
        yield _remote(instance, cpus, pins, roles, realtime, topology)


def _nodes(cpus: Iterable[int], topology: Topology) -> frozenset[int]:
    return frozenset(topology.cpus[cpu].node for cpu in cpus if cpu in topology.cpus)


def _is_remote(pins: frozenset[int], cpus: InstanceCpus, realtime: frozenset[int], topology: Topology) -> bool:
    """Whether a thread may run on other NUMA nodes than all of the instance's own CPUs."""
    own = _nodes(cpus.own(realtime), topology)
    return bool(own) and bool(_nodes(pins, topology) - own)


def _remote(
    instance: Instance,
    cpus: InstanceCpus,
    pins: frozenset[int],
    roles: Sequence[str],
    realtime: frozenset[int],
    topology: Topology,
) -> Finding:
    own, nodes = _nodes(cpus.own(realtime), topology), _nodes(pins, topology)
    return Finding(
        "instance-emulator-node",
        _resource(instance, ", ".join(roles)),
        f"CPUs of NUMA node {format_cpulist(own)}, where its own CPUs are",
        f"CPUs {format_cpulist(pins)} of nodes {format_cpulist(nodes)}",
        "a flavor with hw:cpu_policy=mixed keeps them on the instance's node, and so does hw:emulator_threads_policy=isolate for one more "
        "dedicated CPU; share takes the whole cpu_shared_set",
    )


def _check_policy(instance: Instance, cpus: InstanceCpus, priority: int | None) -> Iterator[Finding]:
    """Yield the vCPUs whose policy is not fifo, or not at Nova's priority; vCPUs with the same scheduler are one finding."""
    groups: dict[str, list[int]] = {}
    for vcpu, scheduler in sorted(cpus.schedulers.items()):
        groups.setdefault(scheduler, []).append(vcpu)
    for scheduler, vcpus in groups.items():
        policy, _space, number = scheduler.partition(" ")
        if policy == "fifo" and (priority is None or number == str(priority)):
            continue
        yield Finding(
            "instance-policy",
            _resource(instance, f"vCPUs {format_cpulist(vcpus)}"),
            "fifo" if priority is None else f"fifo {priority}",
            scheduler,
            "set [libvirt] realtime_scheduler_priority (nova_compute_priority), then let Nova write the XML again: "
            f"openstack server reboot --hard {instance.server}",
        )


def _check_memory(instance: Instance, cpus: InstanceCpus) -> Iterator[Finding]:
    if not cpus.realtime:
        return
    missing = ", ".join(["huge pages"] * (not cpus.hugepages) + ["locked memory"] * (not cpus.locked))
    if missing:
        yield Finding(
            "instance-memory",
            _resource(instance),
            "huge pages and locked memory",
            f"no {missing} in its live XML".replace(", ", ", no "),
            f"give its flavor hw:mem_page_size (large, 2MB or 1GB) and resize it: openstack server resize --flavor FLAVOR {instance.server}",
        )


def _plain(instance: Instance, cpus: InstanceCpus, partition: Partition, others: Sequence[str]) -> Finding:
    own = cpus.own(partition.sets["realtime"])
    return Finding(
        "instance-plain-pinned",
        _resource(instance),
        "a host without real-time guests, since Nova has one pool of dedicated CPUs on each host",
        f"CPUs {format_cpulist(own)} without a real-time vCPU, beside {', '.join(others)}",
        "put the host into an aggregate that only flavors with trait:CUSTOM_REALTIME_KVM=required use, and move the instance "
        f"(openstack server migrate {instance.server}); or set nova_compute_plain_pinned: true where the host shall serve both",
    )


# -- Nova's power management -----------------------------------------------------------------------


def power_finding(offline: frozenset[int], file: str) -> Finding:
    """Return the finding about CPUs that nova-compute has switched off; ``file`` says so."""
    cpus = format_cpulist(offline)
    return Finding(
        "nova-power",
        f"CPUs {cpus}",
        "online",
        f"offline: nova-compute switches off dedicated CPUs that no instance uses ([libvirt] cpu_power_management in {file})",
        "set cpu_power_management = false (the nova_compute role does) and restart nova-compute, then "
        + "; ".join(f"echo 1 > /sys/devices/system/cpu/cpu{cpu}/online" for cpu in sorted(offline)),
    )
