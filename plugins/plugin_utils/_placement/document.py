# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a placement as plain data, for review. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB

from .digests import digest
from .model import UNKNOWN_MIB, Seat, Wish
from .moves import Step, ordered_moves
from .placing import Placed
from .reasons import Reasons
from .room import Room

FORMAT = 1


def plan_document(
    placed: Placed,
    inputs: str,
    *,
    away: Mapping[str, str] | None = None,
    unread: Mapping[str, str] | None = None,
    what_if: Any = None,
) -> dict[str, Any]:
    """Return the plan: what becomes of each guest, the moves in their order, each host before and after, and who has no host.

    ``inputs`` is the digest of what it was made from; ``away`` are guests of hosts that take no part, which are in ``unread`` with the reason.
    """
    steps = ordered_moves(placed)
    reasons = Reasons(placed.fleet, placed.left)
    unplaced = [_unplaced(placed, wish, reasons) for wish in sorted(placed.left, key=lambda wish: wish.name)]
    guests = _guests(placed, away or {})
    document: dict[str, Any] = {
        "format": FORMAT,
        "inputs": inputs,
        "summary": _summary(placed, away or {}, unplaced),
        "unplaced": unplaced,
        "moves": [_step(number, step, placed) for number, step in enumerate(steps, 1)],
        "guests": guests,
        "hosts": {room.host.name: _host(placed, room) for room in placed.fleet.rooms},
        "left_out": dict(sorted((unread or {}).items())),
        "remarks": _remarks(placed),
    }
    if what_if:
        document["what_if"] = what_if
    document["digest"] = digest(document)
    return document


def _summary(placed: Placed, away: Mapping[str, str], unplaced: Sequence[Any]) -> dict[str, int]:
    moves = set(placed.moves)
    stay = [name for name in placed.seats if name in placed.before and name not in moves]
    return {
        "guests": len(placed.seats) + len(unplaced) + len(away),
        "new": len(placed.new),
        "moved": len(moves),
        "stay": len(stay) + len(away),
        "unplaced": len(unplaced),
    }


# -- guests ----------------------------------------------------------------------------------------


def _guests(placed: Placed, away: Mapping[str, str]) -> list[dict[str, Any]]:
    found = []
    for name in sorted({*placed.seats, *away}):
        if name in away:
            found.append(
                {"guest": name, "host": away[name], "node": None, "change": "stays", "why": "its host takes no part in this plan"}
            )
            continue
        seat = placed.seats[name]
        change, why = _change(placed, name, seat)
        entry: dict[str, Any] = {"guest": name, "host": seat.host, "node": seat.node, "change": change}
        if change == "moves":
            entry["from"] = placed.before[name].host
        found.append({**entry, "why": why})
    return found


def _change(placed: Placed, name: str, seat: Seat) -> tuple[str, str]:
    room = placed.fleet.by_name[seat.host]
    before = placed.before.get(name)
    if before is None:
        return "new", f"{_fit(room, seat)}"
    if before.host == seat.host:
        if name in placed.stuck:
            return "stays", placed.stuck[name]
        return "stays", "it is there"
    source = placed.fleet.by_name[before.host].host
    why = f"{before.host} is drained" if source.drained else placed.due.get(name) or f"it makes room on {before.host}"
    return "moves", f"{why}; {_fit(room, seat)}"


def _fit(room: Room, seat: Seat) -> str:
    """Return what is left beside a guest on its host at the end."""
    if seat.node is not None:
        return f"node {seat.node} keeps {counted(room.cores[seat.node], 'core')} and {_mib(room.memory[seat.node])} free"
    if seat.cores:
        return f"on nodes {', '.join(str(node) for node, _count in seat.cores)}, which keep {counted(sum(room.cores.values()), 'core')} free"
    return f"its host keeps {counted(max(room.floating, 0), 'vCPU')} to float and {_mib(room.slack)} free"


def _mib(mib: int) -> str:
    known = _known(mib)
    return "memory" if known is None else f"{known} MiB"


def _unplaced(placed: Placed, wish: Wish, reasons: Reasons) -> dict[str, Any]:
    if wish.name in placed.refused:
        reason, certain = placed.refused[wish.name], True
        change = "give it what it has there, or what that host can give, or move it"
        if wish.home:
            reason = f"it cannot stay on {wish.home} as it is asked for: {reason}"
    else:
        found = reasons.of(wish)
        reason, change, certain = found.text, found.change, found.certain
    return {
        "guest": wish.name,
        "vcpus": wish.guest.vcpus,
        "memory_mib": wish.guest.memory_mib,
        "reason": reason,
        "change": change,
        "proven": certain,
    }


# -- hosts and moves -------------------------------------------------------------------------------


def _step(number: int, step: Step, placed: Placed) -> dict[str, Any]:
    how = "moves"
    if step.wait:
        how = "leaves now, and enters at a later step"
    elif step.enter:
        how = "enters; it left before"
    entry: dict[str, Any] = {
        "step": number,
        "guest": step.guest,
        "from": step.source,
        "to": step.target,
        "node": step.node,
        "how": how,
    }
    if placed.fleet.by_name[step.source].host.drained:
        entry["why"] = "drain"
    return entry


def _host(placed: Placed, room: Room) -> dict[str, Any]:
    host = room.host
    before = {name: seat for name, seat in placed.before.items() if seat.host == host.name}
    after = {name: seat for name, seat in placed.seats.items() if seat.host == host.name}
    entry: dict[str, Any] = {"state": "drained" if host.drained else "open"}
    if host.refusal:
        entry = {"state": "closed", "reason": host.refusal}
    entry["room"] = _room(room)
    entry["before"], entry["after"] = _use(room, before), _use(room, after)
    if pages := _pages(placed, room):
        entry["pages_1g_missing"] = pages
    if leaving := sorted(before.keys() - after.keys()):
        entry["leave"] = leaving
    if coming := sorted(after.keys() - before.keys()):
        entry["come"] = coming
    return entry


def _room(room: Room) -> dict[str, dict[str, int | None]]:
    """Return the realtime cores and memory (MiB, None: unknown) of each NUMA node that guests of the list can have."""
    cores, memory = dict(room.cores), dict(room.memory)  # what is free at the end, and then what is used
    for seat in room.seats.values():
        for node, count in seat.cores:
            cores[node] = cores.get(node, 0) + count
        for node, mib in seat.memory:
            memory[node] = memory.get(node, 0) + mib
    return {
        str(node): {"cores": cores.get(node, 0), "memory_mib": _known(memory.get(node, 0))} for node in sorted({*cores, *memory})
    }


def _known(mib: int) -> int | None:
    return max(mib, 0) if mib < UNKNOWN_MIB // 2 else None


def _use(room: Room, seats: Mapping[str, Seat]) -> dict[str, Any]:
    """Return how many guests there are, and the used realtime cores and memory (MiB) of each NUMA node.

    Beside them, where there are any: vCPUs that float, and memory (MiB) that is bound to no NUMA node.
    """
    used: dict[int, list[int]] = {node: [0, 0] for node in sorted({*room.cores, *room.memory})}
    for seat in seats.values():
        for node, count in seat.cores:
            used.setdefault(node, [0, 0])[0] += count
        for node, mib in seat.memory:
            used.setdefault(node, [0, 0])[1] += mib
    nodes = {str(node): {"cores": cores, "memory_mib": mib} for node, (cores, mib) in sorted(used.items())}
    found: dict[str, Any] = {"guests": len(seats), "nodes": nodes}
    if floating := sum(seat.floating for seat in seats.values()):
        found["floating_vcpus"] = floating
    if loose := sum(seat.loose_mib for seat in seats.values()):
        found["unbound_mib"] = loose
    return found


def _pages(placed: Placed, room: Room) -> dict[str, int]:
    """Return how many pages of 1 GiB each NUMA node lacks: only a boot makes them."""
    needed: dict[int, int] = {}
    placements = placed.placements.get(room.host.name, {})
    for name, (wish, _node) in room.wishes.items():
        if wish.guest.hugepages == "1G" and name in placements:
            for node, mib in placements[name].memory_by_node(wish.guest.memory_mib, PAGE_MIB["1G"]).items():
                needed[node] = needed.get(node, 0) + mib // PAGE_MIB["1G"]
    missing = {node: count - room.host.pages.get((node, "1G"), 0) for node, count in sorted(needed.items())}
    return {str(node): count for node, count in missing.items() if count > 0 and room.host.total_mib}


def _remarks(placed: Placed) -> list[str]:
    """Return what the plan leaves as it is although a rule says otherwise."""
    found = []
    groups = placed.fleet.groups
    for number, rule in enumerate(groups.rules):
        excess = groups.excess(number)
        what = "a required rule" if rule.required else "a wish"
        if rule.apart and excess:
            where = ", ".join(f"{count} on {domain}" for domain, count in sorted(excess.items()))
            found.append(f"rule {rule.name} ({what}) is not kept: {where}, at most {rule.most} each")
        elif excess:
            found.append(f"rule {rule.name} ({what}) is not kept: its guests are on {', '.join(sorted(excess))}")
    found += [
        f"{name} should leave {placed.seats[name].host}: {why}"
        for name, why in sorted(placed.stuck.items())
        if name in placed.seats
    ]
    return found
