# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest changes of a guest with which it would have a host, each tried on the hosts as they are in the end. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB

from .fleet import Fleet
from .model import Wish
from .room import Room

Place = tuple[Room, int | None]
#: So many seats of one changed guest are tried where counting says yes and the node's planner no.
MOST_TRIED = 40


def places(rooms: Sequence[Room], wish: Wish) -> Iterator[Place]:
    """Yield the seats that a guest could ask for."""
    for room in rooms:
        if not wish.strict:
            yield room, None
        elif wish.guest.numa_node is not None:
            yield room, wish.guest.numa_node
        else:
            for node in room.cores:
                yield room, node


def free_cpus(room: Room, node: int | None, wish: Wish) -> int:
    """Return the free realtime cores of a seat, or the vCPUs that may float there."""
    if not wish.guest.realtime:
        return max(room.floating, 0)
    return room.cores.get(node, 0) if node is not None else sum(room.cores.values())


def free_memory(room: Room, node: int | None, wish: Wish) -> int:
    """Return the memory (MiB) of a seat that a guest could have, in its pages."""
    if room.overfull:
        return 0
    where = node if node is not None else wish.guest.numa_node
    if where is not None:
        return max(min(room.memory_for(wish, where), room.slack), 0)
    nodes = [room.memory_for(wish, one) for one in room.memory]
    if not wish.guest.realtime and wish.guest.hugepages != "none":
        return max(min(max(nodes, default=0), room.slack), 0)  # all on one NUMA node
    return max(min(sum(max(mib, 0) for mib in nodes), room.slack), 0)


def place_text(room: Room, node: int | None) -> str:
    """Return how a seat is called."""
    return room.host.name if node is None else f"{room.host.name} node {node}"


def smaller(fleet: Fleet, rooms: Sequence[Room], wish: Wish) -> str:
    """Return one or two changes of a guest with which it fits now; empty where none of them helps."""
    guest, ways = wish.guest, []
    if wish.strict and guest.numa_node is not None:
        free = replace(wish, guest=replace(guest, numa_node=None))
        if found := _fits(fleet, rooms, free):
            ways.append(f"without numa_node it fits on {place_text(*found)}")
    if wish.strict:
        spread = replace(wish, guest=replace(guest, numa="spread", numa_node=None))
        if found := _fits(fleet, rooms, spread):
            ways.append(f"with numa: spread it fits on {place_text(*found)}")
    ways += filter(None, (_less_memory(fleet, rooms, wish), _fewer_vcpus(fleet, rooms, wish)))
    return ", or ".join(ways[:2])


def _fits(fleet: Fleet, rooms: Sequence[Room], wish: Wish) -> Place | None:
    """Return a seat that a changed guest gets; its node's planner is asked where it cannot be counted."""
    tried = 0
    for room, node in places(rooms, wish):
        if room.count(wish, node) is None:
            continue
        if wish.counted and not room.exact:
            return room, node
        fleet.begin()
        fine = fleet.add(wish, room, node)
        fleet.rollback()
        tried += 1
        if fine or tried == MOST_TRIED:
            return (room, node) if fine else None
    return None


def _less_memory(fleet: Fleet, rooms: Sequence[Room], wish: Wish) -> str:
    guest = wish.guest
    page = PAGE_MIB.get(guest.hugepages, 1)
    sizes = {free_memory(*place, wish) // page * page for place in places(rooms, wish) if _cpus_fit(*place, wish)}
    most = max(sizes, default=0)
    if not 0 < most < guest.memory_mib:
        return ""
    found = _fits(fleet, rooms, replace(wish, guest=replace(guest, memory_mib=most)))
    return f"with memory_mib {most} it fits on {place_text(*found)}" if found else ""


def _cpus_fit(room: Room, node: int | None, wish: Wish) -> bool:
    need = wish.cores(room.width) if wish.guest.realtime else wish.guest.vcpus
    return need is not None and free_cpus(room, node, wish) >= need


def _fewer_vcpus(fleet: Fleet, rooms: Sequence[Room], wish: Wish) -> str:
    guest = wish.guest
    if guest.siblings == "realtime":
        return ""
    for count in range(guest.vcpus - 1, 1 if guest.realtime else 0, -1):
        realtime = frozenset(vcpu for vcpu in guest.realtime_vcpus if vcpu < count)
        if guest.realtime and not realtime:
            return ""
        less = replace(wish, guest=replace(guest, vcpus=count, realtime_vcpus=realtime))
        if found := _fits(fleet, rooms, less):
            return f"with vcpus {count} it fits on {place_text(*found)}"
    return ""
