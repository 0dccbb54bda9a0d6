# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of moves: each guest enters a host only when it fits beside all that are there at that moment. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .fleet import Fleet
from .model import Wish
from .placing import Placed


@dataclass(frozen=True)
class Step:
    """One move. With ``wait`` the guest is shut down and leaves now, and enters its new host at a later step: a ring of moves has no other way."""

    guest: str
    source: str
    target: str
    node: int | None
    wait: bool = False  # it leaves only
    enter: bool = False  # it left at an earlier step


def ordered_moves(placed: Placed) -> list[Step]:
    """Return the moves of a placement in an order that exceeds no host's CPUs or memory at any step."""
    fleet = placed.fleet
    wishes = {name: wish for room in fleet.rooms for name, (wish, _node) in room.wishes.items()}
    moving = {name: placed.seats[name] for name in placed.moves}
    if not moving:
        return []
    now = Fleet(fleet.hosts, (), fleet.options)
    for room in now.rooms:
        if room.host.refusal or fleet.rooms[room.index].host.refusal:
            continue
        names = sorted(name for name, seat in placed.before.items() if seat.host == room.host.name)
        sitting = [(wishes[name], placed.before[name].node) for name in names if name in wishes]
        now.sit(room, sitting)
    return _steps(now, placed, {name: wishes[name] for name in moving})


def _steps(now: Fleet, placed: Placed, moving: dict[str, Wish]) -> list[Step]:
    steps: list[Step] = []
    out: set[str] = set()
    pending = dict(moving)

    def enters(name: str) -> bool:
        seat = placed.seats[name]
        now.begin()
        fine = name in out or now.remove(name)
        fine = fine and now.add(pending[name], now.by_name[seat.host], seat.node)
        if fine:
            now.commit()
        else:
            now.rollback()
        return fine

    while pending:
        name = next((name for name in sorted(pending, key=lambda name: (name not in out, name)) if enters(name)), "")
        if name:
            seat = placed.seats[name]
            steps.append(Step(name, placed.before[name].host, seat.host, seat.node, enter=name in out))
            del pending[name]
            continue
        waiting = sorted((pending[name].guest.memory_mib, name) for name in pending if name not in out)
        if not waiting:  # the planner refuses an order of entries that it accepts as a whole; the rest enter by a new plan
            break
        name = waiting[0][1]
        now.remove(name)
        out.add(name)
        steps.append(Step(name, placed.before[name].host, placed.seats[name].host, placed.seats[name].node, wait=True))
    return steps
