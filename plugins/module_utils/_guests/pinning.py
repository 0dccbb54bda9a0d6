# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CPU serves which vCPU. Pure.

Each vCPU of a real-time guest, ordinary ones included, has its own realtime CPU. A guest is on one NUMA node unless it
has ``numa: spread``; no core serves two guests, and nothing runs beside a real-time vCPU on its core unless the guest's
``siblings`` allows it. Existing pins that are right stay, so that adding or removing a guest
moves no other guest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .._cpus.answers import counted
from .._cpus.cpulist import format_cpulist
from .._cpus.errors import RefusalError
from .._cpus.pages import PAGE_MIB
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .board import Board
from .cells import Cell, follow, memory_by_node
from .guest import Guest
from .siblings import allowed, assign, check_siblings, cores_needed, told_threads

#: How the switch names a poll-mode thread: by the CPU for which it has made it (lib/dpif-netdev.c of Open vSwitch).
_POLLS = re.compile(r"pmd-c(\d+)/", re.ASCII)


class PinningError(RefusalError):
    """A guest does not fit, or a CPU has two users; the message names both and shows what is free."""


@dataclass(frozen=True)
class Existing:
    """The CPUs and memory of a domain that libvirt knows."""

    name: str
    ours: bool
    running: bool = False
    vcpus: Mapping[int, frozenset[int]] = field(default_factory=dict)  # vcpupin
    emulator: frozenset[int] = frozenset()
    io_threads: frozenset[int] = frozenset()
    floating: frozenset[int] = frozenset()  # <vcpu cpuset>
    memory_mib: int = 0
    hugepages: str = "none"
    nodes: tuple[int, ...] = ()  # of its memory
    cells: Mapping[int, Cell] = field(default_factory=dict)
    threads: int = 1  # of each core, as its topology tells the guest
    realtime: bool = False  # whether any vCPU has a real-time policy
    vcpu_count: int = 0  # 0: not known
    nova: bool = False  # whether it is an instance of OpenStack's Nova

    def memory_by_node(self, page_mib: int = 1) -> dict[int, int]:
        """Return how much of its memory each node that it names gives."""
        return memory_by_node(self.nodes, self.cells, self.memory_mib, page_mib)

    @property
    def cpus(self) -> frozenset[int]:
        """Every CPU that any of its threads is pinned to."""
        pins = frozenset().union(*self.vcpus.values()) if self.vcpus else self.floating
        return pins | self.emulator | self.io_threads


@dataclass(frozen=True)
class Placement:
    """The CPUs and NUMA nodes of a guest's threads and memory."""

    guest: str
    nodes: tuple[int, ...]  # NUMA nodes of its memory; empty: the kernel chooses
    vcpus: Mapping[int, frozenset[int]]  # empty: they float on ``floating``
    emulator: frozenset[int]  # of the emulator and the I/O threads
    floating: frozenset[int] = frozenset()
    threads: int = 1  # of each core, as the guest is told
    cells: Mapping[int, Cell] = field(default_factory=dict)  # of its domain, each with its nodes
    memory_stays: bool = False  # bound as its domain has it, in whatever mode; ``nodes`` are then for the sums only

    def memory_by_node(self, memory_mib: int, page_mib: int = 1) -> dict[int, int]:
        """Return how much of the memory each node gives; a spread guest takes equal parts, in whole pages."""
        return memory_by_node(self.nodes, self.cells, memory_mib, page_mib)


def place(
    partition: Partition,
    topology: Topology,
    guests: Sequence[Guest],
    existing: Iterable[Existing] = (),
    *,
    memory_mib: Mapping[int, int] | None = None,
    polling: Mapping[int, str] | None = None,
) -> dict[str, Placement]:
    """Return the placement of each guest that is present.

    ``existing`` holds every domain that libvirt knows, foreign ones too; ``memory_mib`` the most memory per NUMA node that
    guests may use; ``polling`` the CPUs that poll-mode threads run on, with the threads' names. Raises ``PinningError``
    when a CPU has two users or a guest does not fit.
    """
    known = {domain.name: domain for domain in existing}
    listed = {guest.name: guest for guest in guests}
    board = Board(partition, topology, memory_mib)
    present = [guest for guest in guests if guest.state != "absent"]
    _check_dataplane(partition, present)
    _take_polling(board, polling or {})
    for name, domain in sorted(known.items()):
        if name not in listed:
            _take_existing(board, domain)
        if name not in listed or listed[name].state != "absent":
            board.take_memory(_memory_of(domain))
    placements: dict[str, Placement] = {}
    for guest in present:
        check_siblings(guest, board.width)
    kept = {guest.name: _kept(board, guest, known.get(guest.name)) for guest in present if guest.realtime}
    _separate(board, kept)
    for name, pins in kept.items():
        _check_conflict(board, name, pins.values())
        board.take(name, pins.values())
    for guest in sorted(
        present, key=lambda guest: guest.name not in known
    ):  # known guests keep their CPUs, new ones get free CPUs
        before = known.get(guest.name)
        has = _memory_of(before)
        board.take_memory(has, back=True)
        placement = _place_realtime(board, guest, kept[guest.name]) if guest.realtime else _place_floating(board, guest, before)
        placement = _with_cells(board, placement, before)
        asked = placement.memory_by_node(guest.memory_mib, PAGE_MIB.get(guest.hugepages, 1))
        _check_memory(board, guest, asked, has)
        board.take_memory(asked)
        placements[guest.name] = placement
    return {guest.name: placements[guest.name] for guest in present}


def _memory_of(domain: Existing | None) -> dict[int, int]:
    """Return the memory per NUMA node that a domain is bound to."""
    return domain.memory_by_node() if domain else {}


def _with_cells(board: Board, placement: Placement, domain: Existing | None) -> Placement:
    """Let the NUMA cells of a guest's domain follow the guest."""
    if domain is None or not domain.cells:
        return placement
    homes = {vcpu: board.topology.cpus[min(cpus)].node for vcpu, cpus in placement.vcpus.items()}
    return replace(placement, cells=follow(domain.cells, placement.nodes, homes))


def _check_memory(board: Board, guest: Guest, asked: Mapping[int, int], has: Mapping[int, int]) -> None:
    """Refuse memory that a node does not have; the memory that the guest already has there counts as free."""
    for node, mib in asked.items() if board.memory is not None else ():
        free = (board.memory or {}).get(node, 0)
        if mib > max(free, has.get(node, 0)):
            remedy = "give it less memory_mib, or another guest less"
            if node not in (board.memory or {}):
                remedy = "the node has no memory: give it another numa_node"
                remedy += ", or numa: spread, which takes CPUs there and memory elsewhere" if guest.realtime else ""
            raise PinningError(
                f"realtime_guests: {guest.name} asks for {mib} MiB of memory on NUMA node {node}, "
                f"where {max(free, 0)} MiB are free for it; {remedy}"
            )


def _check_dataplane(partition: Partition, guests: Sequence[Guest]) -> None:
    for guest in guests:
        if guest.shared_memory and not partition.sets["dataplane"]:
            names = ", ".join(attachment.network.name for attachment in guest.networks if attachment.vhost_user)
            raise PinningError(
                f"realtime_guests: {guest.name} is on real-time network {names}, "
                "but this node has no dataplane CPUs to poll it; set "
                "cpu_partition_dataplane_cores_per_node or cpu_partition_dataplane_devices and run the cpu_partition role "
                "(site playbook)"
            )


def core_of(name: str) -> int | None:
    """Return the CPU for which the switch has made a poll-mode thread, by the thread's name; None where that does not tell."""
    match = _POLLS.match(name)
    return int(match[1]) if match else None


def _take_polling(board: Board, polling: Mapping[int, str]) -> None:
    wrong = {cpu: name for cpu, name in polling.items() if cpu in board.realtime}
    if wrong:
        names = ", ".join(sorted(set(wrong.values())))
        dataplane = board.partition.sets["dataplane"]
        at_home = {name for name in wrong.values() if core_of(name) in dataplane}  # the switch itself has them where they belong
        by_hand = (
            f"; {', '.join(sorted(at_home))} was moved by hand, which that role leaves: taskset -cp CPU THREAD" if at_home else ""
        )
        raise PinningError(
            f"realtime CPUs {format_cpulist(wrong)} are polled by {names}; "
            "poll-mode threads belong on dataplane CPUs "
            f"({format_cpulist(dataplane) or 'none on this node'}): run the ovs_dpdk role{by_hand}"
        )


def _take_existing(board: Board, domain: Existing) -> None:
    """Keep the CPUs of a domain that is not in the list."""
    taken = domain.cpus & board.realtime
    if not taken:
        return
    for cpu in sorted(taken):
        other = board.owner.setdefault(cpu, domain.name)
        if other != domain.name and (domain.ours or domain.running):
            raise PinningError(
                f"realtime CPU {cpu} is used by domains {other} and {domain.name}; one of them must be re-pinned (virsh vcpupin)"
            )


def _kept(board: Board, guest: Guest, domain: Existing | None) -> dict[str, int]:
    """Return the pins of a domain that are right and stay, by thread (``vcpu0``, ``emulator``)."""
    if domain is None or not domain.vcpus:
        return {}
    wanted: dict[str, frozenset[int]] = {f"vcpu{vcpu}": domain.vcpus.get(vcpu, frozenset()) for vcpu in range(guest.vcpus)}
    if guest.emulator == "own":
        wanted["emulator"] = domain.emulator
    pins: dict[str, int] = {}
    for thread, cpus in wanted.items():
        if len(cpus) == 1 and cpus <= board.realtime and not cpus & set(pins.values()):
            pins[thread] = min(cpus)
    if guest.numa == "spread" or not pins:
        return allowed(guest, pins, board.topology, board.width)
    nodes = Counter(board.topology.cpus[cpu].node for cpu in pins.values())
    home = (
        max(sorted(nodes), key=lambda node: (nodes[node], node in domain.nodes)) if guest.numa_node is None else guest.numa_node
    )
    at_home = {thread: cpu for thread, cpu in pins.items() if board.topology.cpus[cpu].node == home}
    return allowed(guest, at_home, board.topology, board.width)


def _separate(board: Board, kept: Mapping[str, dict[str, int]]) -> None:
    """Give a core that listed guests share, as after an edit by hand, to the guest with most threads there.

    If no guest has most, the core's owner is unknown, which is refused later.
    """
    users: dict[frozenset[int], dict[str, list[str]]] = {}
    for name, pins in kept.items():
        for thread, cpu in pins.items():
            users.setdefault(board.topology.core_of(cpu), {}).setdefault(name, []).append(thread)
    for threads in users.values():
        most = max(map(len, threads.values()))
        keepers = [name for name in threads if len(threads[name]) == most]
        for name in threads if len(keepers) == 1 else ():
            for thread in threads[name] if name not in keepers else ():
                del kept[name][thread]


def _check_conflict(board: Board, name: str, cpus: Iterable[int]) -> None:
    neighbours = [(cpu, thread) for cpu in sorted(cpus) for thread in sorted(board.topology.core_of(cpu))]
    for cpu, thread in sorted(neighbours, key=lambda pair: pair[0] != pair[1]):  # the CPU itself first
        other = board.owner.get(thread, name)
        if other != name:
            what = f"which domain {other} uses" if thread == cpu else f"whose core domain {other} uses (CPU {thread})"
            raise PinningError(
                f"realtime_guests: {name} is pinned to realtime CPU {cpu}, {what} as well; "
                f"re-pin or remove {other} (virsh vcpupin {other}), then run again"
            )


def _place_realtime(board: Board, guest: Guest, kept: Mapping[str, int]) -> Placement:
    threads = [f"vcpu{vcpu}" for vcpu in range(guest.vcpus)] + (["emulator"] if guest.emulator == "own" else [])
    missing = [thread for thread in threads if thread not in kept]
    nodes = sorted({board.topology.cpus[cpu].node for cpu in kept.values()})
    pins = dict(kept)
    if missing:
        chosen = _choose(board, guest, nodes, pins, missing)
        board.take(guest.name, chosen.values())
        pins.update(chosen)
        nodes = sorted({board.topology.cpus[cpu].node for cpu in pins.values()})
    vcpus = {vcpu: frozenset({pins[f"vcpu{vcpu}"]}) for vcpu in range(guest.vcpus)}
    emulator = frozenset({pins["emulator"]}) if guest.emulator == "own" else _emulator_cpus(board.partition, nodes)
    if guest.numa == "spread":
        nodes = _memory_of_spread(board, nodes)
    return Placement(guest.name, tuple(nodes), vcpus, emulator, threads=told_threads(vcpus, board.topology))


def _memory_of_spread(board: Board, nodes: Sequence[int]) -> list[int]:
    """Return the nodes of a spread guest's memory: those of its CPUs that have any, else all that have."""
    return [node for node in nodes if board.memory is None or node in board.memory] or sorted(board.memory or nodes)


def _spread(
    board: Board, guest: Guest, bound: Sequence[int], pins: Mapping[str, int], missing: Sequence[str]
) -> dict[str, int] | None:
    """Return CPUs for the missing threads on any nodes: the guest's own first, then those with memory, the emptiest first."""
    cores = {node: board.usable_cores(guest.name, node) for node in sorted(board.partition.nodes)}
    free = {node: sum(cpu not in board.owner for core in cores[node] for cpu in core) for node in cores}

    def order(node: int) -> tuple[bool, bool, int, int]:
        return node not in bound, board.memory is not None and node not in board.memory, -free[node], node

    return assign(guest, missing, [core for node in sorted(cores, key=order) for core in cores[node]], pins, board.width)


def _choose(board: Board, guest: Guest, bound: Sequence[int], pins: Mapping[str, int], missing: Sequence[str]) -> dict[str, int]:
    """Return CPUs for the missing threads: on the guest's NUMA nodes, else on the node that suits best."""
    if guest.numa == "spread":
        found = _spread(board, guest, bound, pins, missing)
        if found is None:
            raise PinningError(_does_not_fit(board, guest, missing, "on all NUMA nodes together"))
        return found
    nodes = list(bound) or ([guest.numa_node] if guest.numa_node is not None else sorted(board.partition.nodes))
    cores = {node: board.usable_cores(guest.name, node) for node in nodes}
    free = {node: sum(cpu not in board.owner for core in cores[node] for cpu in core) for node in nodes}
    chosen = {node: _assign(board, guest, missing, cores[node], pins) for node in nodes}
    fitting = [node for node in nodes if chosen[node] is not None]
    if bound and not fitting:
        where = f"more on NUMA node {format_cpulist(bound)}, where it is"
        raise PinningError(_does_not_fit(board, guest, missing, where) + _spread_remedy(board, guest, bound, pins, missing))
    with_memory = [node for node in fitting if bound or board.memory is None or board.memory.get(node, 0) >= guest.memory_mib]
    if not with_memory:
        what = "with enough memory " if fitting else ""
        where = f"on NUMA node {guest.numa_node}" if guest.numa_node is not None else f"on one NUMA node {what}".rstrip()
        where += f", where its device {guest.near} is" if guest.near else ""
        raise PinningError(_does_not_fit(board, guest, missing, where) + _spread_remedy(board, guest, bound, pins, missing))
    dataplane = {node for node, cpus in board.partition.nodes.items() if cpus & board.partition.sets["dataplane"]}

    def suits(node: int) -> tuple[bool, int, int]:
        far_from_switch = guest.shared_memory and node not in dataplane
        return far_from_switch, free[node], node

    return chosen[min(with_memory, key=suits)] or {}


def _assign(
    board: Board, guest: Guest, missing: Sequence[str], cores: Sequence[Sequence[int]], pins: Mapping[str, int]
) -> dict[str, int] | None:
    """Return CPUs for the missing threads behind one L3 cache where that has room: the guest's own first, then the fullest.

    Threads of one guest share data, and behind one cache no other guest's traffic between caches slows them down.
    """
    caches: dict[int, list[Sequence[int]]] = {}
    for core in cores:
        caches.setdefault(board.topology.cpus[core[0]].l3, []).append(core)
    own = {board.topology.cpus[cpu].l3 for cpu in pins.values()}
    for cache in sorted(caches, key=lambda cache: (cache not in own, len(caches[cache]), cache)):
        found = assign(guest, missing, caches[cache], pins, board.width)
        if found is not None:
            return found
    return assign(guest, missing, cores, pins, board.width)


def _does_not_fit(board: Board, guest: Guest, missing: Sequence[str], where: str) -> str:
    count, cores = len(missing), cores_needed(guest, missing, board.width)
    whole = ""
    if board.width > 1:
        beside = ", and siblings: idle leaves the rest of a real-time vCPU's core idle" if guest.siblings == "idle" else ""
        whole = f" ({counted(cores, 'whole core')} of {board.width} threads: guests share no core{beside})"
    memory = f" and {guest.memory_mib} MiB of memory" if board.memory is not None else ""
    if board.memory is not None and guest.numa_node not in (None, *board.memory):
        where += ", which has no memory" + (": give it another numa_node" if not guest.near else "")
    return f"realtime_guests: {guest.name} asks for {counted(count, 'realtime CPU')}{whole}{memory} {where}; {board.describe()}"


def _spread_remedy(board: Board, guest: Guest, bound: Sequence[int], pins: Mapping[str, int], missing: Sequence[str]) -> str:
    """Return the advice to spread a strict guest, empty unless it would fit then."""
    found = _spread(board, guest, bound, pins, missing)
    if found is not None:
        nodes = _memory_of_spread(board, board.topology.nodes_of(frozenset({*pins.values(), *found.values()})))
        parts = memory_by_node(tuple(nodes), {}, guest.memory_mib, PAGE_MIB.get(guest.hugepages, 1))
        if board.memory is None or all(mib <= board.memory.get(node, 0) for node, mib in parts.items()):
            return f"; numa: spread{' and no numa_node' if guest.numa_node is not None and not guest.near else ''} lets it use several nodes"
    bare = {node for node in board.topology.without_memory if not board.cores(node)}
    if not bare:
        return ""
    return (
        f"; CPUs of NUMA node {format_cpulist(bare)}, which has no memory, serve guests with numa: spread where cpu_partition_cpus.realtime "
        "names them"
    )


def _emulator_cpus(partition: Partition, nodes: Sequence[int]) -> frozenset[int]:
    """Return the housekeeping CPUs of the guest's nodes; all of them where a node has none."""
    near: frozenset[int] = frozenset().union(*(partition.nodes[node] for node in nodes))
    return partition.housekeeping & near or partition.housekeeping


def _place_floating(board: Board, guest: Guest, domain: Existing | None) -> Placement:
    partition = board.partition
    floating = partition.sets["shared"] or partition.housekeeping
    nodes: tuple[int, ...] = ()
    stays = False
    if guest.numa_node is not None:
        members = partition.nodes.get(guest.numa_node, frozenset())
        if not floating & members:
            name = "shared" if partition.sets["shared"] else "housekeeping"
            raise PinningError(
                f"realtime_guests: {guest.name}: numa_node {guest.numa_node} has no {name} CPUs for its vCPUs ({name}: "
                f"{format_cpulist(floating)})"
            )
        floating, nodes = floating & members, (guest.numa_node,)
    elif guest.hugepages != "none":  # its pages are reserved on one node, which must be known
        nodes = (_memory_node(board, domain),)
    elif domain is not None and not domain.realtime:
        stays = True  # not named: as it is
        nodes = domain.nodes if set(domain.nodes) <= set(partition.nodes) else ()
    return Placement(guest.name, nodes, {}, _emulator_cpus(partition, nodes), floating, memory_stays=stays)


def _memory_node(board: Board, domain: Existing | None) -> int:
    """Return the node for the huge pages of a floating guest: their present node, else the one with most memory left."""
    if domain is not None and len(domain.nodes) == 1 and domain.nodes[0] in board.partition.nodes:
        return domain.nodes[0]
    memory = board.memory or {}
    return min(board.partition.nodes, key=lambda node: (-memory.get(node, 0), node))
