# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places guests: those that have a host keep it, drained hosts are emptied, new ones get what suits best. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import PinningError, Placement
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import HugepageError

from .fleet import Fleet
from .model import Host, Options, Rule, Seat, Wish
from .room import Room, check_pages
from .search import fill_best, improve, in_order, make_room


@dataclass
class Placed:
    """What became of every guest."""

    fleet: Fleet
    before: dict[str, Seat]  # of guests that had a host, there
    seats: dict[str, Seat]  # of guests that have one now
    left: list[Wish]  # new guests without a host
    stuck: dict[str, str]  # guests that should leave their host and stay there, with the reason they should
    refused: dict[str, str] = field(
        default_factory=dict
    )  # guests of which their own node's planner does not accept what is asked
    placements: dict[str, dict[str, Placement]] = field(default_factory=dict)  # by host: the node's planner's answer

    @property
    def moves(self) -> list[str]:
        """The names of guests that change their host."""
        return sorted(name for name, seat in self.seats.items() if name in self.before and self.before[name].host != seat.host)

    @property
    def new(self) -> list[str]:
        """The names of guests that get their first host."""
        return sorted(self.seats.keys() - self.before.keys() - self.refused.keys())


def place_guests(
    hosts: Sequence[Host],
    wishes: Sequence[Wish],
    rules: Sequence[Rule] = (),
    options: Options | None = None,
    *,
    homes: Mapping[str, int | None] | None = None,
) -> Placed:
    """Return a host for every guest for which one is found.

    ``homes`` are the NUMA nodes of guests that the inventory has put on their host, and whose domain may not exist yet.
    """
    fleet = Fleet(sorted(hosts, key=lambda host: host.name), rules, options)
    wishes = sorted(wishes, key=lambda wish: wish.name)
    placed = Placed(fleet, {}, {}, [], {})
    known = {host.name for host in hosts}
    sitting: dict[str, list[tuple[Wish, int | None]]] = {}
    for wish in wishes:
        sitting.setdefault(wish.home, []).append((wish, (homes or {}).get(wish.name)))
    for room in fleet.rooms:
        _take_up(placed, room, sitting.get(room.host.name, []))
    _judge_memory(fleet, wishes)
    fresh = [wish for wish in wishes if wish.home not in known]
    placed.left += [wish for wish in wishes if wish.name in placed.refused]
    away = [wish for wish in wishes if wish.name in fleet.at and _must_leave(fleet, wish)]
    origin = {wish.name: fleet.at[wish.name] for wish in away}
    away = [wish for wish in away if fleet.remove(wish.name)]
    left = _search(fleet, away, fresh, wishes)
    for wish in left:
        if wish.name not in origin:
            placed.left.append(wish)
            continue
        placed.stuck[wish.name] = "its host is drained"
        if not fleet.add(wish, origin[wish.name], placed.before[wish.name].node):
            placed.left.append(wish)  # its seat was not kept: cannot be, since nothing enters a drained host
    _ask_planners(placed)
    placed.seats = {name: room.seats[name] for name, room in sorted(fleet.at.items())}
    return placed


def _take_up(placed: Placed, room: Room, mine: Sequence[tuple[Wish, int | None]]) -> None:
    """Let a host's guests sit where they are; those that the node's planner refuses stand beside."""
    fleet = placed.fleet
    try:
        fleet.sit(room, mine)
    except PinningError as error:
        sitting: list[tuple[Wish, int | None]] = []
        for wish, node in mine:
            if refusal := _refusal(fleet, room, [*sitting, (wish, node)]):
                placed.refused[wish.name] = refusal
            else:
                sitting.append((wish, node))
        if _refusal(fleet, room, sitting):
            room.close(str(error))
    for name, seat in room.seats.items():
        placed.before[name] = seat


def _refusal(fleet: Fleet, room: Room, sitting: Sequence[tuple[Wish, int | None]]) -> str:
    """Let guests sit, and return why the node's planner refuses that."""
    try:
        fleet.sit(room, sitting)
    except PinningError as error:
        return str(error)
    return ""


def _must_leave(fleet: Fleet, wish: Wish) -> bool:
    return fleet.by_name[wish.home].host.drained and not wish.fixed and fleet.options.moves != "none"


def _judge_memory(fleet: Fleet, wishes: Sequence[Wish]) -> None:
    """Learn how much memory guests ask for each core: it shows which rest of a NUMA node is of use."""
    strict = [wish for wish in wishes if wish.strict]
    cores = sum(wish.cores(1) or 0 for wish in strict)
    fleet.mib_per_core = max(sum(wish.guest.memory_mib for wish in strict) // max(cores, 1), 1)


def _search(fleet: Fleet, away: Sequence[Wish], fresh: Sequence[Wish], wishes: Sequence[Wish]) -> list[Wish]:
    """Seat the guests of drained hosts, then new ones; return those without a seat."""
    left = fill_best(fleet, away)
    left = improve(fleet, {wish.name: wish for wish in away}, left)
    left += fill_best(fleet, fresh)
    loose = {wish.name: wish for wish in [*away, *fresh]}
    first = {wish.name for wish in away}
    left = improve(fleet, loose, left, first)
    movable = set(loose)
    if fleet.options.moves == "needed":
        movable |= {wish.name for wish in wishes if not wish.fixed}
    ordered = sorted(in_order(fleet, left), key=lambda wish: wish.name not in first)
    return [wish for wish in ordered if not fleet.seat(wish) and not make_room(fleet, wish, movable)]


def _ask_planners(placed: Placed) -> None:
    """Ask every node's planner whether it accepts its guests; one that it does not accept is taken away again.

    Counting is exact, so that this takes none away; but the node decides, and the plan must not promise what it refuses.
    """
    fleet = placed.fleet
    for room in fleet.rooms:
        while room.wishes and not room.host.refusal:
            try:
                found = room.arranged()
                check_pages(room.host, list(room.wishes.values()), found)
                placed.placements[room.host.name] = found
                break
            except (PinningError, HugepageError):
                late = [name for name in room.wishes if placed.before.get(name, Seat("")).host != room.host.name]
                if not late:
                    break
                wish = room.wishes[late[-1]][0]
                room.forget(wish.name)
                fleet.at.pop(wish.name)
                placed.left.append(wish)
