# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places guests: those that have a host keep it, drained hosts are emptied, new ones get what suits best. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import PinningError, Placement
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import HugepageError

from .bans import Bans
from .fleet import Fleet
from .groups import Lost
from .model import Host, Options, Rule, Seat, Wish
from .reach import breach, refusal_of
from .room import Room, check_pages
from .search import fill_best, improve, in_order, make_room


@dataclass
class Placed:
    """What became of every guest."""

    fleet: Fleet
    before: dict[str, Seat]  # of guests that had a host, there
    seats: dict[str, Seat]  # of guests that have one now
    left: list[Wish]  # new guests without a host
    stuck: dict[str, str]  # guests that should leave their host and stay there, with both reasons
    due: dict[str, str] = field(default_factory=dict)  # guests that should leave their host, and why
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
    lost: Lost | None = None,
) -> Placed:
    """Return a host for every guest for which one is found.

    ``homes`` are the NUMA nodes of guests that the inventory has put on their host, and whose domain may not exist yet; ``lost`` the guests of
    hosts that take no part, which rules count.
    """
    hosts = sorted(hosts, key=lambda host: host.name)
    wishes = sorted(wishes, key=lambda wish: wish.name)
    bans = Bans()
    for number in count():
        placed = _attempt(Fleet(hosts, rules, options, bans=bans, lost=lost), wishes, homes or {})
        if not _learn(placed, bans, number):
            break
    return placed


def _attempt(fleet: Fleet, wishes: Sequence[Wish], homes: Mapping[str, int | None]) -> Placed:
    placed = Placed(fleet, {}, {}, [], {})
    sitting: dict[str, list[tuple[Wish, int | None]]] = {}
    for wish in wishes:
        sitting.setdefault(wish.home, []).append((wish, homes.get(wish.name)))
    for room in fleet.rooms:
        _take_up(placed, room, sitting.get(room.host.name, []))
    _judge_memory(fleet, wishes)
    fresh = [wish for wish in wishes if wish.home not in fleet.by_name]
    placed.left += [wish for wish in wishes if wish.name in placed.refused]
    placed.due = _due(fleet, wishes)
    due = [wish for wish in wishes if wish.name in placed.due]
    away = [wish for wish in due if not (fleet.bans.stays(wish) or _held(fleet, wish))]
    away = [wish for wish in away if fleet.remove(wish.name)]
    left = _search(fleet, away, fresh, wishes)
    out = {wish.name for wish in away}
    for wish in left:
        if wish.name in out:
            fleet.put_back(wish, placed.before[wish.name])
        else:
            placed.left.append(wish)
    for wish in due:
        if fleet.at[wish.name].host.name == wish.home:
            placed.stuck[wish.name] = f"{placed.due[wish.name]}, but {_why_stuck(fleet, wish)}"
    placed.seats = {name: room.seats[name] for name, room in sorted(fleet.at.items())}
    return placed


def _due(fleet: Fleet, wishes: Sequence[Wish]) -> dict[str, str]:
    """Return the guests that should leave their host, and why: it is drained, or their own placement says so."""
    found, had = {}, Counter[tuple[str, str]]()
    for wish in wishes:
        if wish.name not in fleet.at:
            continue
        host = fleet.by_name[wish.home].host
        had.update((host.name, device) for device in wish.devices)
        short = sorted(device for device in wish.devices if had[host.name, device] > host.devices.get(device, 0))
        if host.drained:
            found[wish.name] = "its host is drained"
        elif reason := breach(wish, host):
            found[wish.name] = f"{host.name} is not a host for it ({reason})"
        elif short:
            found[wish.name] = f"{host.name} is not a host for it (another guest has its device {', '.join(short)})"
    return found


def _held(fleet: Fleet, wish: Wish) -> bool:
    """Whether realtime_place_moves keeps a guest where it is."""
    drained = fleet.by_name[wish.home].host.drained
    return fleet.options.moves == "none" or (fleet.options.moves == "drain" and not drained)


def _why_stuck(fleet: Fleet, wish: Wish) -> str:
    if wish.stays:
        return f"{wish.anchor} keeps it there"
    if _held(fleet, wish):
        return f"realtime_place_moves: {fleet.options.moves} keeps it there"
    if not fleet.eligible(wish):
        return "no other host can have it"
    return f"no other host has room for it{' that its rules allow' if fleet.groups.bound(wish.name) else ''}"


def _take_up(placed: Placed, room: Room, mine: Sequence[tuple[Wish, int | None]]) -> None:
    """Let a host's guests sit where they are; those that the node's planner refuses stand beside."""
    fleet = placed.fleet
    if not room.host.refusal:
        placed.refused.update({wish.name: found for wish, _node in mine if (found := refusal_of(wish, room.host))})
        mine = [(wish, node) for wish, node in mine if wish.name not in placed.refused]
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
        movable |= {wish.name for wish in wishes if not fleet.bans.stays(wish)}
    ordered = sorted(in_order(fleet, left), key=lambda wish: wish.name not in first)
    return [wish for wish in ordered if not fleet.seat(wish) and not make_room(fleet, wish, movable)]


def _learn(placed: Placed, bans: Bans, number: int) -> bool:
    """Ask every node's planner whether it accepts its guests; True where one does not, so that guests must be placed in another way.

    Counting is exact, so that this is rare; but the node decides, and the plan must not promise what it refuses. A guest that found no other host
    is back where it was: where others broke a rule with it meanwhile, it counts there from the beginning.
    """
    again = False
    for room in placed.fleet.rooms:
        host = room.host.name
        before = [name for name, seat in placed.before.items() if seat.host == host]
        left = [name for name in before if name not in room.wishes]
        if room.host.refusal or not (room.wishes or left):
            continue
        try:
            found = room.arranged()
            check_pages(room.host, list(room.wishes.values()), found, room.leaving)
            placed.placements[host] = found
        except (PinningError, HugepageError) as error:
            come = [name for name in room.wishes if name not in before]
            again |= bans.learn(host, str(error), come, left, number)
    broken = [name for name in placed.stuck if name not in bans.held and placed.fleet.groups.broken(name)]
    bans.held |= set(broken)
    return again or bool(broken)
