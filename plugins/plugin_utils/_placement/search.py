# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for seats: best fit, the largest guest first, then improvements with a limit of work. Pure.

Everything is decided by counts and names, so equal input gives equal output: there is no clock, and the sequence of numbers that chooses what is
tried again is always the same one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from .fleet import Fleet
from .model import Wish
from .room import Room

#: Fewer guests than this are tried in several orders.
FEW = 400
#: A search ends after so many attempts in a row that gave nothing, per guest that has no seat and at most in all.
STALL, MOST_STALL = 150, 800
#: The most guests without a seat that one attempt of a search tries to seat.
MOST_LEFT = 24
#: The most guests of a host that are tried as those that make room.
VICTIMS = 40


class Sequence64:
    """A fixed sequence of numbers that look alike (Knuth's MMIX generator); each search begins it anew."""

    def __init__(self) -> None:
        self._state = 1

    def below(self, limit: int) -> int:
        """Return the next number, from 0 to below the limit."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 33) % limit


def size_of(wish: Wish) -> tuple[int, int]:
    """Return what makes a guest hard to place: cores of two threads, then memory."""
    return (wish.cores(1) or 0) if wish.guest.realtime else 0, wish.guest.memory_mib


def weight(wishes: Sequence[Wish]) -> int:
    """Return the vCPUs of guests."""
    return sum(wish.guest.vcpus for wish in wishes)


def _worth(wishes: Sequence[Wish], first: Collection[str]) -> tuple[int, int]:
    """Return the vCPUs of the guests that come first, and of all."""
    return weight([wish for wish in wishes if wish.name in first]) if first else 0, weight(wishes)


def in_order(fleet: Fleet, wishes: Sequence[Wish], by_memory: bool = False) -> list[Wish]:
    """Return guests, the hardest first: few hosts to choose from, many cores, much memory."""
    few = len(fleet.hosts) // 4

    def key(wish: Wish) -> tuple[bool, bool, int, int, str]:
        cores, memory = size_of(wish)
        first, second = (memory, cores) if by_memory else (cores, memory)
        return len(fleet.eligible(wish)) > few, not wish.guest.realtime, -first, -second, wish.name

    return sorted(wishes, key=key)


def fill(fleet: Fleet, wishes: Sequence[Wish], mode: int = 0) -> list[Wish]:
    """Seat guests in their order; guests that belong together are seated with the first of them. Return those without a seat."""
    left: list[Wish] = []
    done: set[str] = set()
    by_name = {wish.name: wish for wish in wishes}
    for wish in wishes:
        if wish.name in done:
            continue
        mates = _mates(fleet, wish, by_name)
        done.update(mate.name for mate in mates)
        if len(mates) > 1:
            left += [mate for mate in _together(fleet, mates, mode) if not fleet.seat(mate, mode)]
        elif not fleet.seat(wish, mode):
            left.append(wish)
    return left


def _mates(fleet: Fleet, wish: Wish, by_name: dict[str, Wish]) -> list[Wish]:
    """Return the guests that must be with a guest, itself first; those of its first affinity rule."""
    rules = [rule for rule in fleet.groups.of(wish.name) if not rule.apart and rule.required]
    names = [name for rule in rules[:1] for name in sorted(rule.guests) if name in by_name and name != wish.name]
    return [wish, *(by_name[name] for name in names if name not in fleet.at)]


def _together(fleet: Fleet, mates: Sequence[Wish], mode: int) -> list[Wish]:
    """Seat guests on one host or in one fault domain: where all fit, else where most vCPUs do. Return those without a seat."""
    rule = next(rule for rule in fleet.groups.of(mates[0].name) if not rule.apart and rule.required)
    domains: dict[str, Room] = {}
    for index in fleet.eligible(mates[0]):
        room = fleet.rooms[index]
        domain = fleet.groups.domain(rule, room.host.name)
        if domain is not None and fleet.groups.allows(mates[0].name, room.host.name):
            domains.setdefault(domain, room)
    best: tuple[int, int, str] | None = None
    for domain in sorted(domains):
        fleet.begin()
        left = _fill_domain(fleet, rule.by, domain, mates, mode)
        free = sum(sum(room.cores.values()) for room in fleet.rooms if room.host.domain(rule.by) == domain)
        fleet.rollback()
        found = (weight(left), free, domain)
        best = found if best is None else min(best, found)
    return list(mates) if best is None else _fill_domain(fleet, rule.by, best[2], mates, mode)


def _fill_domain(fleet: Fleet, by: str, domain: str, mates: Sequence[Wish], mode: int) -> list[Wish]:
    left = []
    for wish in sorted(mates, key=lambda wish: (size_of(wish), wish.name), reverse=True):
        rooms = [fleet.rooms[index] for index in fleet.eligible(wish)]
        here = [room for room in rooms if room.host.domain(by) == domain and fleet.groups.allows(wish.name, room.host.name)]
        seats = sorted(
            (fleet.score(wish, room, node, mode), room.index, node)
            for room in here
            for node in fleet.nodes(wish, room)
            if room.count(wish, node) is not None
        )
        if not any(fleet.add(wish, fleet.rooms[index], node) for _score, index, node in seats):
            left.append(wish)
    return left


def fill_best(fleet: Fleet, wishes: Sequence[Wish]) -> list[Wish]:
    """Seat guests in the order and by the score that seat most vCPUs on fewest hosts. Return those without a seat."""
    ways = [(False, 0)]
    if len(wishes) <= FEW:
        ways += [(True, 0), (False, 1), (True, 1), (False, 2)]
    best: tuple[int, int, int] | None = None
    for number, (by_memory, mode) in enumerate(ways):
        if len(ways) > 1:
            fleet.begin()
        left = fill(fleet, in_order(fleet, wishes, by_memory), mode)
        if len(ways) == 1 or (not left and number == 0):
            if len(ways) > 1:
                fleet.commit()
            return left
        found = (weight(left), sum(room.used for room in fleet.rooms), number)
        best = found if best is None else min(best, found)
        fleet.rollback()
    by_memory, mode = ways[best[2] if best else 0]
    return fill(fleet, in_order(fleet, wishes, by_memory), mode)


def improve(fleet: Fleet, fresh: dict[str, Wish], left: list[Wish], first: Collection[str] = ()) -> list[Wish]:
    """Seat more vCPUs: empty a few hosts of fresh guests, and fill them again in another order. Return those without a seat.

    Guests that come ``first`` never lose their seat to others.
    A new arrangement is kept unless it seats fewer vCPUs, so that the search can leave a dead end.
    """
    numbers, stalled = Sequence64(), 0
    hopeless = [wish for wish in left if not fleet.eligible(wish)]
    left = [wish for wish in left if fleet.eligible(wish)]
    while left and fleet.work > 0 and stalled < min(STALL * len(left), MOST_STALL):
        stalled += 1
        rooms = _some_rooms(fleet, left[numbers.below(len(left))], numbers)
        fleet.begin()
        pool = [fresh[name] for room in rooms for name in sorted(room.wishes) if name in fresh]
        pool = [wish for wish in pool if numbers.below(8) and fleet.remove(wish.name)]
        begin = numbers.below(len(left))
        waiting = [*left[begin:], *left[:begin]]
        waiting, beside = waiting[:MOST_LEFT], waiting[MOST_LEFT:]
        now = fill(fleet, _shuffled([*pool, *waiting], numbers), numbers.below(3))
        before, after = _worth(waiting, first), _worth(now, first)
        if after > before:
            fleet.rollback()
            continue
        fleet.commit()
        stalled = 0 if after < before else stalled
        left = now + beside
    return left + hopeless


def _shuffled(pool: list[Wish], numbers: Sequence64) -> list[Wish]:
    """Return guests roughly by size, and a few of them last: one that is large may keep out two that together are larger."""
    jitter = 1 + 12 * numbers.below(4)
    factor = {wish.name: 16 + numbers.below(jitter) for wish in pool}
    first = int(numbers.below(4) == 0)  # memory
    pool.sort(key=lambda wish: (-size_of(wish)[first] * factor[wish.name], -size_of(wish)[1 - first], wish.name))
    for _late in range(numbers.below(3) if pool else 0):
        pool.append(pool.pop(numbers.below(len(pool))))
    return pool


def _some_rooms(fleet: Fleet, wish: Wish, numbers: Sequence64) -> list[Room]:
    """Return one to three hosts, the first of them one that the guest could be on."""
    eligible = fleet.eligible(wish) or tuple(range(len(fleet.rooms)))
    chosen = [eligible[numbers.below(len(eligible))]]
    chosen += [numbers.below(len(fleet.rooms)) for _more in range(numbers.below(3))]
    return [fleet.rooms[index] for index in dict.fromkeys(chosen)]


# -- chains of moves --------------------------------------------------------------------------------


def make_room(fleet: Fleet, wish: Wish, movable: Collection[str], held: frozenset[str] = frozenset(), depth: int = 2) -> bool:
    """Seat a guest by moving one or two others elsewhere, and these by moving others, so many levels deep; ``held`` move no more."""
    if depth == 0:
        return False
    for room in [fleet.rooms[index] for index in fleet.eligible(wish)]:
        for node in fleet.nodes(wish, room):
            for victims in _victims(fleet, wish, room, node, movable, held):
                if fleet.work <= 0:
                    return False
                fleet.begin()
                if _replace(fleet, wish, room, node, victims, movable, held | {wish.name}, depth):
                    fleet.commit()
                    return True
                fleet.rollback()
    return False


def _victims(
    fleet: Fleet, wish: Wish, room: Room, node: int | None, movable: Collection[str], held: frozenset[str]
) -> Iterator[tuple[str, ...]]:
    """Yield one or two guests whose seats, with what is free, are enough for another; the smallest first."""
    lacking = (wish.cores(room.width) or 0) - (room.cores.get(node, 0) if node is not None else sum(room.cores.values()))
    missing = wish.guest.memory_mib - (room.memory.get(node, 0) if node is not None else room.slack)
    rivals = {name for rule in fleet.groups.of(wish.name) if rule.apart for name in rule.guests}

    def of(name: str) -> tuple[int, int]:
        seat = room.seats[name]
        cores = sum(count for at, count in seat.cores if node is None or at == node)
        memory = sum(mib for at, mib in seat.memory if node is None or at == node) + (seat.loose_mib if node is None else 0)
        return cores, memory

    useful = {name: of(name) for name in room.wishes if name in movable and name not in held}
    useful = {name: found for name, found in useful.items() if any(found) or name in rivals or wish.guest.vcpus > room.floating}
    names = sorted(useful, key=lambda name: (useful[name], name))[:VICTIMS]
    for name in names:
        if useful[name][0] >= lacking and useful[name][1] >= missing:
            yield (name,)
    for one, two in combinations(names, 2):
        enough = [total >= wanted for total, wanted in zip(map(sum, zip(useful[one], useful[two])), (lacking, missing))]
        if all(enough):
            yield one, two


def _replace(
    fleet: Fleet,
    wish: Wish,
    room: Room,
    node: int | None,
    victims: Sequence[str],
    movable: Collection[str],
    held: frozenset[str],
    depth: int,
) -> bool:
    out = [room.wishes[name][0] for name in victims]
    if not all(fleet.remove(name) for name in victims):
        return False
    if not fleet.groups.allows(wish.name, room.host.name) or not fleet.add(wish, room, node):
        return False
    held |= set(victims)
    for victim in sorted(out, key=lambda victim: (size_of(victim), victim.name), reverse=True):
        if not fleet.seat(victim) and not make_room(fleet, victim, movable, held, depth - 1):
            return False
    return True
