# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a guest has no host, and the smallest change that would help. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few

from .changes import free_cpus, free_memory, place_text, places, smaller
from .fleet import Fleet
from .model import HOST, Rule, Wish
from .reach import kind_of
from .room import Room


@dataclass(frozen=True)
class Reason:
    """Why a guest has no host."""

    text: str
    change: str
    certain: bool  # whether it is proven that the guest has no place beside the others; otherwise only none was found


class Reasons:
    """Finds the reasons of all guests without a host; guests that are alike share theirs."""

    def __init__(self, fleet: Fleet, left: Sequence[Wish]) -> None:
        self._fleet = fleet
        self._short = short_of(fleet, left)
        self._empty: dict[int, Room] = {}
        self._known: dict[Hashable, Reason] = {}

    def of(self, wish: Wish) -> Reason:
        """Return why a guest that was not placed has no host."""
        guest = wish.guest
        size = (guest.vcpus, guest.realtime_vcpus, guest.memory_mib, guest.hugepages, guest.numa, guest.siblings, guest.emulator)
        rules = tuple(rule.name for rule in self._fleet.groups.of(wish.name))
        key = (
            kind_of(wish),
            size,
            guest.shared_memory,
            rules,
            wish.name if guest.adopt or wish.name in self._fleet.bans.entries else "",
        )
        if key not in self._known:
            self._known[key] = self._find(wish)
        return self._known[key]

    def _find(self, wish: Wish) -> Reason:
        fleet = self._fleet
        eligible = [fleet.rooms[index] for index in fleet.eligible(wish)]
        if not eligible:
            return _unreachable(fleet, wish)
        empty = [self._emptied(room) for room in eligible]
        if not any(room.count(wish, node) for room in empty for node in fleet.nodes(wish, room)):
            return _too_large(empty, wish, self._change(wish, eligible))
        allowed = [room for room in eligible if fleet.groups.allows(wish.name, room.host.name)]
        roomy = [room for room in eligible if any(room.count(wish, node) for node in fleet.nodes(wish, room))]
        if not allowed or (roomy and not any(room in allowed for room in roomy)):
            return _ruled_out(fleet, wish, roomy, eligible)
        return _full(fleet, wish, allowed, self._short, self._change(wish, allowed))

    def _change(self, wish: Wish, rooms: Sequence[Room]) -> str:
        """Return a change of the guest alone that helps, as its rules allow."""
        return smaller(self._fleet, [room for room in rooms if self._fleet.groups.allows(wish.name, room.host.name)], wish)

    def _emptied(self, room: Room) -> Room:
        """Return a host without the guests of the list: only domains of others stay."""
        if room.index not in self._empty:
            gone = frozenset(room.wishes) | room.gone
            self._empty[room.index] = Room(room.host, room.index, self._fleet.options.overcommit, gone)
        return self._empty[room.index]


# -- no host at all --------------------------------------------------------------------------------


def _unreachable(fleet: Fleet, wish: Wish) -> Reason:
    by_text: dict[str, list[str]] = {}
    for room in fleet.rooms:
        by_text.setdefault(fleet.obstacle(wish, room), []).append(room.host.name)
    parts = [f"{few(names, 80)}: {text}" for text, names in sorted(by_text.items(), key=lambda item: (-len(item[1]), item[0]))]
    shown = "; ".join(parts[:6]) + (f"; and {len(parts) - 6} other reasons" if len(parts) > 6 else "")
    return Reason(f"no host can have it: {shown or 'there is none'}", _open_one(by_text), certain=True)


def _open_one(by_text: dict[str, list[str]]) -> str:
    """Return the change that would let one host have it: an obstacle of the inventory before one of hardware."""
    changes = (
        ("the host is drained", "end the drain of {host} (realtime_place_drain)"),
        ("it is not among the guest's hosts", "add {host} to placement.hosts of the guest"),
        ("it has no network", "give {host} the network that it lacks (realtime_networks)"),
        ("it has no device", "add the device to realtime_place_devices of {host}, if it is there"),
        ("its realtime_priority_limit", "raise realtime_priority_limit of {host}, or lower the guest's priority"),
        ("it has no dataplane CPUs", "give {host} dataplane CPUs (cpu_partition_dataplane_cores_per_node)"),
        ("its cores have", "give the guest siblings: idle, or vcpus and realtime_vcpus in whole groups"),
        ("it has no NUMA node", "give the guest another numa_node, or none"),
        ("its NUMA node", "give the guest another numa_node, or none"),
    )
    for start, change in changes:
        for text, names in sorted(by_text.items()):
            if text.startswith(start):
                return change.format(host=names[0])
    return "add a host, or repair one of these"


# -- larger than every host ------------------------------------------------------------------------


def _too_large(rooms: Sequence[Room], wish: Wish, change: str) -> Reason:
    needs = _needs(wish, rooms[0])
    where = "on one NUMA node" if wish.strict else "on one host"
    most_cores = max(((free_cpus(room, node, wish), room, node) for room, node in places(rooms, wish)), key=lambda item: item[0])
    most_memory = max(
        ((free_memory(room, node, wish), room, node) for room, node in places(rooms, wish)), key=lambda item: item[0]
    )
    text = (
        f"it asks for {needs} {where}, more than any host has for guests of this list: the most are {most_cores[0]} {_unit(wish)} "
        f"({place_text(*most_cores[1:])}) and {most_memory[0]} MiB ({place_text(*most_memory[1:])})"
    )
    return Reason(text, change or "add a larger host", certain=True)


def _unit(wish: Wish) -> str:
    return "free realtime cores" if wish.guest.realtime else "vCPUs that may float"


def _needs(wish: Wish, room: Room) -> str:
    count = wish.cores(room.width) if wish.guest.realtime else wish.guest.vcpus
    what = "realtime cores" if wish.guest.realtime else "vCPUs on shared CPUs"
    return f"{count} {what} and {wish.guest.memory_mib} MiB"


# -- rules, and room -------------------------------------------------------------------------------


def _ruled_out(fleet: Fleet, wish: Wish, roomy: Sequence[Room], eligible: Sequence[Room]) -> Reason:
    """Return the rules that keep a guest from all hosts that have room for it, or from all where none has."""
    groups, rooms = fleet.groups, roomy or eligible
    broken = [[rule for rule in groups.breaks(wish.name, room.host.name) if rule.required] for room in rooms]
    names = sorted({rule.name for rules in broken for rule in rules})
    all_over = [rule for rule in broken[0] if all(rule in rules for rules in broken)]
    if not all_over:
        text = f"rules {few(names, 80)} together keep it from each host that could have it now"
        return Reason(text, "give one of these rules required: false, or another host room", certain=False)
    rule = min(all_over, key=lambda rule: rule.name)
    if not rule.apart:
        where = sorted(groups.members(groups.rules.index(rule)))
        text = f"rule {rule.name} keeps it with {few(sorted(rule.guests - {wish.name}), 80)}, "
        if not where:
            text += f"by {rule.by}, which no host that could have it has in realtime_place_domains"
            return Reason(text, f"name the {rule.by} of the hosts", certain=True)
        shut = not any(groups.domain(rule, room.host.name) in where for room in fleet.rooms if not _shut(room))
        text += f"on {few(where, 80)}, {'which takes no guests now' if shut else 'where it does not fit'}"
        return Reason(text, f"give that {_domain(rule)} room, or the rule required: false", certain=False)
    domains = {groups.domain(rule, room.host.name) for room in eligible} - {None}
    if not domains:
        text = f"rule {rule.name}: no host that could have it has {rule.by} in realtime_place_domains"
        return Reason(text, f"name the {rule.by} of the hosts", certain=True)
    members = groups.members(groups.rules.index(rule))
    text = f"rule {rule.name} keeps it from each {_domain(rule)} that has room for it"
    if all(members.get(domain or "", 0) >= rule.most for domain in domains):
        count = f"all {len(domains)}" if len(domains) > 1 else "the only one"
        text = f"rule {rule.name} allows {rule.most} of its {counted(len(rule.guests), 'guest')} in one {_domain(rule)}, and {count} that could have it "
        text += f"{'have' if len(domains) > 1 else 'has'} {'as many' if rule.most > 1 else 'one'}"
    change = f"add a {_domain(rule)}" + (f", or give the rule most: {rule.most + 1} or required: false" if roomy else "")
    return Reason(text, change, certain=_filled(fleet, rule))


def _filled(fleet: Fleet, rule: Rule) -> bool:
    """Whether each fault domain that guests can enter has as many guests of a rule as it may have: then no arrangement has more of them."""
    enter = {fleet.groups.domain(rule, room.host.name) for room in fleet.rooms if not _shut(room)} - {None}
    members = fleet.groups.members(fleet.groups.rules.index(rule))
    return all(members.get(domain or "", 0) >= rule.most for domain in enter)


def _domain(rule: Rule) -> str:
    return "host" if rule.by == HOST else rule.by


def _full(fleet: Fleet, wish: Wish, rooms: Sequence[Room], short: str, change: str) -> Reason:
    def missing(place: tuple[Room, int | None]) -> tuple[int, int, int, int]:
        room, node = place
        need = (wish.cores(room.width) or 0) if wish.guest.realtime else wish.guest.vcpus
        cores = max(need - free_cpus(room, node, wish), 0)
        memory = max(wish.guest.memory_mib - free_memory(room, node, wish), 0)
        devices = len(room.lacking(wish))
        return devices + cores + memory // max(fleet.mib_per_core, 1), cores, memory, room.index

    room, node = min(places(rooms, wish), key=lambda place: (missing(place), place[1] or 0))
    _all, cores, memory, _index = missing((room, node))
    lacks = " and ".join(
        ([counted(cores, "core" if wish.guest.realtime else "vCPU")] if cores else [])
        + ([f"{memory} MiB"] if memory else [])
        + [f"1 device {name}" for name in room.lacking(wish)]
    )
    text = f"it asks for {_needs(wish, room)}{' on one NUMA node' if wish.strict else ''}; nearest to that is {place_text(room, node)}"
    text += f", which lacks {lacks}" if lacks else ", whose planner does not place it beside the others"
    if short:
        text += f". {short}"
    else:
        text += ". Other arrangements may have room: none was found with the work that realtime_place_work allows"
    free = f"{lacks} more on {place_text(room, node)}" if lacks else ""
    if fleet.options.moves != "needed":
        free = f"{free}, or realtime_place_moves: needed" if free else "realtime_place_moves: needed"
    return Reason(text, ", or ".join(filter(None, [change, free])) or "add a host", certain=bool(short))


def short_of(fleet: Fleet, left: Sequence[Wish]) -> str:
    """Return what all hosts together lack for the guests that are left, an empty text where sums do not show it.

    Sums are proofs: of cores and memory, and for each size the NUMA nodes that can have guests of at least that size.
    """
    strict = [wish for wish in left if wish.strict]
    if not strict:
        return ""
    open_rooms = [room for room in fleet.rooms if not _shut(room)]
    placed = [wish for room in open_rooms for wish, _node in room.wishes.values() if wish.strict]
    free = sum(max(count, 0) for room in fleet.rooms if not _shut(room) for count in room.cores.values())
    need = sum(wish.cores(1) or 0 for wish in strict)
    if all(room.width == 1 for room in fleet.rooms) or all(_one_each(wish) for wish in strict):
        if need > free:
            return f"All guests without a host ask for {counted(need, 'realtime core')}, and {free} {'is' if free == 1 else 'are'} free on all hosts together"
        taken: dict[tuple[int, int], int] = {}
        for room in fleet.rooms:
            for wish, _node in room.wishes.values():
                for node, count in room.seats[wish.name].cores:
                    taken[room.index, node] = taken.get((room.index, node), 0) + count
        for size in sorted({wish.cores(1) or 0 for wish in strict}, reverse=True):
            wanted = [wish for wish in [*placed, *strict] if (wish.cores(1) or 0) >= size]
            there = sum(
                (max(count, 0) + taken.get((room.index, node), 0)) // size
                for room in fleet.rooms
                if not _shut(room)
                for node, count in room.cores.items()
            )
            if len(wanted) > there:
                return f"{len(wanted)} guests ask for {size} or more cores on one NUMA node, and all NUMA nodes together have room for {there}"
    return ""


def _shut(room: Room) -> bool:
    return bool(room.host.refusal) or room.host.drained


def _one_each(wish: Wish) -> bool:
    """Whether a guest fills a core with each of its threads, whatever the cores' width."""
    return wish.cores(2) == wish.cores(1)
