# SPDX-License-Identifier: GPL-3.0-or-later
"""The users of isolated CPUs: guests, the switch's poll-mode threads, other programs. Pure: values in, findings out.

libvirt does not check these rules; they hold for every running guest, whoever made it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._cpus.policies import POLICY_NAMES, SCHED_FIFO, SCHED_RR
from .._cpus.topology import Topology
from .._guests.nova import Instance, InstanceCpus
from .._guests.pinning import Existing
from .._guests.roles import VHOST, WORKER
from .._host.paths import ARCHIVE
from .findings import Finding, check_task


@dataclass(frozen=True)
class Actor:
    """A thread of a program."""

    process: int
    tid: int
    name: str
    cpus: frozenset[int]
    policy: int = 0
    priority: int = 0
    last: int = 0  # the CPU it last ran on
    role: str = ""  # of a guest's thread: vcpu0, iothread1, emulator, other

    @property
    def realtime(self) -> bool:
        return self.policy in (SCHED_FIFO, SCHED_RR)

    @property
    def scheduler(self) -> str:
        """Its policy and priority as a definition has them: ``fifo 1``, ``other``."""
        name = POLICY_NAMES.get(self.policy, str(self.policy)).removeprefix("SCHED_").lower()
        return f"{name} {self.priority}" if self.priority else name


@dataclass(frozen=True)
class RunningGuest:
    """A running guest, with its definition if libvirt knows it."""

    name: str
    process: int
    actors: tuple[Actor, ...]
    defined: Existing | None = None
    schedulers: Mapping[int, str] = field(default_factory=dict)  # of the definition
    memory: Mapping[int, int] = field(default_factory=dict)  # pages of the guest's memory by NUMA node; empty: unknown
    locked_kib: int | None = None
    shared: bool | None = None  # whether the switch may see its memory
    vhost_user: tuple[str, ...] = ()  # MACs of its interfaces on vhost-user ports
    listed: bool = False  # its threads have been compared with the inventory
    vhost: tuple[str, str] | None = None  # beside which thread its definition has vhost's threads, and their policy
    wish: bool = False  # the inventory lets its threads share cores
    instance: Instance | None = None  # of Nova
    xml: InstanceCpus | None = None  # of its live XML

    @property
    def vcpus(self) -> dict[int, Actor]:
        return {int(actor.role[4:]): actor for actor in self.actors if actor.role.startswith("vcpu")}

    @property
    def realtime(self) -> bool:
        """Whether any vCPU has a real-time policy."""
        return any(actor.realtime for actor in self.vcpus.values())

    @property
    def shares(self) -> bool:
        """Whether its threads share cores by wish: of the inventory, of the definition that this collection made, or of its flavor."""
        told = self.defined is not None and self.defined.ours and self.defined.threads > 1
        flavor = self.instance is not None and self.instance.specs.get("hw:cpu_thread_policy") == "require"
        return self.listed or self.wish or told or flavor

    def repin(self, vcpu: int) -> str:
        """Return the command that gives a vCPU another CPU."""
        if self.instance is not None:
            return f"openstack server migrate {self.instance.server}"
        return f"virsh vcpupin {self.name} {vcpu} CPU --live --config"

    def mend(self, what: str, extra_spec: str) -> str:
        """Return how its definition is changed: by hand, or by Nova through its flavor."""
        if self.instance is not None:
            return f"give its flavor {extra_spec}, then openstack server resize --flavor FLAVOR {self.instance.server}"
        return f"{what} (virsh edit {self.name}), then restart it"

    def owned(self, partition: Partition) -> dict[int, Actor]:
        """Return the guest's own isolated CPUs: those that one vCPU, or its own emulator, is bound to."""
        bound = [actor for actor in self.actors if actor.role not in ("other", VHOST) and len(actor.cpus) == 1]
        return {min(actor.cpus): actor for actor in bound if actor.cpus <= partition.isolated}


#: A thread that a finding already names: guest and role.
Named = Collection[tuple[str, str]]


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
    threads; ``named`` are threads that need no second finding.
    """
    findings: list[Finding] = []
    for guest in guests:
        if not guest.realtime and not guest.owned(partition):
            continue
        if not guest.listed and guest.instance is None:  # an instance's XML is checked, and its threads against that
            findings += _check_vcpus(guest, partition, named)
            findings += _check_emulator(guest, partition, named)
        if not guest.listed:
            findings += _check_priorities(guest, kernel_priorities, named)
        findings += _check_memory(guest, topology)
        findings += _check_workers(guest, partition, named)
        findings += _check_vhost(guest, partition, named)
        if not guest.shares:
            findings += _check_siblings(guest, partition, topology, named)
    wrong = {finding.resource for finding in findings if finding.rule == "vcpu-pin"}
    overlaps = _overlaps(guests, pmds, partition, named, wrong)
    findings += [item.finding for item in overlaps]
    reported = {finding.resource for finding in findings}.union(*(item.resources for item in overlaps))
    for guest in guests:
        found = [] if guest.listed else _live_differences(guest, named, at_runtime=partition.isolation == "runtime")
        findings += [item for item in found if item.resource not in reported]
    return findings


def _resource(guest: RunningGuest, actor: Actor) -> str:
    return f"domain {guest.name}: {actor.role}"


def _check_vcpus(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
    for vcpu, actor in sorted(guest.vcpus.items()):
        if (guest.name, actor.role) in named:
            continue
        if len(actor.cpus) != 1 or not actor.cpus <= partition.sets["realtime"]:
            yield Finding(
                "vcpu-pin",
                _resource(guest, actor),
                f"one of the realtime CPUs {format_cpulist(partition.sets['realtime']) or 'that the node does not have'}",
                f"CPUs {format_cpulist(actor.cpus)}",
                f"run virsh vcpupin {guest.name} {vcpu} CPU --live --config",
            )


def _check_priorities(guest: RunningGuest, kernel_priorities: Mapping[int, int], named: Named) -> Iterator[Finding]:
    for _vcpu, actor in sorted(guest.vcpus.items()):
        lowest = min((kernel_priorities[cpu] for cpu in actor.cpus if cpu in kernel_priorities), default=None)
        if (guest.name, actor.role) in named or not actor.realtime or lowest is None or actor.priority < lowest:
            continue
        remedy = f"run chrt and set vcpusched in its definition (virsh edit {guest.name})"
        if guest.instance is not None:
            remedy = f"set [libvirt] realtime_scheduler_priority, then openstack server reboot --hard {guest.instance.server}"
        yield Finding(
            "vcpu-priority",
            _resource(guest, actor),
            f"a priority below {lowest}, the lowest of the kernel's own threads there",
            actor.scheduler,
            f"{remedy}; or raise realtime_priority_limit",
        )


def _check_emulator(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
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
            _resource(guest, actor),
            f"CPUs {format_cpulist(partition.unisolated)}, or its own isolated one",
            f"CPUs {format_cpulist(actor.cpus)}",
            f"run virsh {what if actor.role != 'emulator' else f'emulatorpin {guest.name}'} CPUS --live --config",
        )


def _check_workers(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
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


def _check_vhost(guest: RunningGuest, partition: Partition, named: Named) -> Iterator[Finding]:
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


def _check_siblings(guest: RunningGuest, partition: Partition, topology: Topology, named: Named) -> Iterator[Finding]:
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
                _resource(guest, actor),
                f"nothing on the other thread of its core (CPU {format_cpulist(beside)})",
            )
            actual = f"{', '.join(rivals)} of the same guest"
            if guest.instance is not None:
                remedy = "cpu_partition_smt: single offers Nova one thread of each core; none if its flavor wants whole cores"
                yield Finding("instance-sibling", resource, expected, actual, remedy)
            else:
                remedy = f"run {guest.repin(vcpu)} with a CPU of another core; cpu_partition_smt: single leaves such threads idle"
                yield Finding("smt-sibling", resource, expected, actual, remedy)


def _live_differences(guest: RunningGuest, named: Named, *, at_runtime: bool) -> Iterator[Finding]:
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
    return Finding("guest-live", _resource(guest, actor), expected, actual, remedy)


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
            resource = _resource(guest, actor)
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


# -- the switch ------------------------------------------------------------------------------------


def check_polling(pmds: Iterable[Actor], partition: Partition, *, documented: bool) -> list[Finding]:
    """Each poll-mode thread is bound to one dataplane CPU; without a partition file the dataplane CPUs are unknown."""
    findings = []
    allowed = partition.sets["dataplane"] if documented else frozenset(range(1 << 16))
    for pmd in pmds:
        resource = f"{pmd.name} (thread {pmd.tid})"
        if len(pmd.cpus) != 1 or not pmd.cpus <= allowed:
            findings.append(
                Finding(
                    "pmd-pin",
                    resource,
                    f"one of the dataplane CPUs {format_cpulist(partition.sets['dataplane'])}" if documented else "one CPU",
                    f"CPUs {format_cpulist(pmd.cpus)}",
                    "run the ovs_dpdk role, which sets pmd-cpu-mask; for a thread moved by hand: taskset -cp CPU " + str(pmd.tid),
                )
            )
        if pmd.realtime:
            findings.append(
                Finding(
                    "pmd-policy",
                    resource,
                    "other: it spins, so no other thread, not even the kernel's own, would run on its CPU",
                    pmd.scheduler,
                    f"run chrt -o -p 0 {pmd.tid}",
                )
            )
    return findings


# -- other programs --------------------------------------------------------------------------------


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
