# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs that others reach a node by the way Ansible came: seen before a reboot, they must be there after it. Edge, read-only.

A route and an address exist without a cable, too: a bridge keeps its address when the driver of its network card is missing. So two
signs come from outside: a card with a link below the route's interface, and a neighbour that has answered (ip-neighbour(8)).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

#: Runs a program: exit code, output, errors.
Runner = Callable[[Sequence[str]], "tuple[int, str, str]"]
#: How a cable shows: not at all, by the interface's own link, by the link of a network card below it.
NO_LINK, LINK, CARD = 0, 1, 2
#: States of a neighbour that has answered; the table is empty after a boot.
_ANSWERED = {"REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"}
_NET = "/sys/class/net"


@dataclass(frozen=True)
class Signs:
    """What shows on the way to an address."""

    source: str = ""  # where packets to it begin
    device: str = ""
    cable: int = NO_LINK
    neighbour: bool = False  # the next hop, or a gateway of the same interface, has answered


def look_at_way(runner: Runner, base: str, peer: str) -> Signs:
    """Return the signs of the way to an address; none where ``ip`` is missing. ``base`` stands before /sys."""
    route = next(_shown(runner, "route", "get", peer), {})
    device = str(route.get("dev", ""))
    if not device or "/" in device or device == "lo":
        return Signs()
    hops = {_hop(route) or peer}
    hops.update(_hop(found) for found in _shown(runner, "-6" if ":" in peer else "-4", "route", "show", "default", "dev", device))
    neighbours = _shown(runner, "neigh", "show", "dev", device)
    answered = any(_ANSWERED & set(found.get("state", ())) for found in neighbours if found.get("dst") in hops)
    return Signs(str(route.get("prefsrc", "")), device, _cable(base, device), answered)


def _hop(route: dict[str, Any]) -> str:
    via = route.get("via")
    return str(route.get("gateway") or (via.get("host", "") if isinstance(via, dict) else ""))


def _shown(runner: Runner, *arguments: str) -> Iterator[dict[str, Any]]:
    code, out, _err = runner(["ip", "-json", *arguments])
    try:
        found = json.loads(out) if code == 0 and out.strip() else []
    except ValueError:
        found = []
    return (entry for entry in found if isinstance(entry, dict)) if isinstance(found, list) else iter(())


def _cable(base: str, device: str) -> int:
    lowest = _lowest(base, device, set())
    if any(os.path.exists(f"{base}{_NET}/{name}/device") and _has_link(base, name) for name in lowest):
        return CARD
    return LINK if _has_link(base, device) else NO_LINK


def _lowest(base: str, device: str, seen: set[str]) -> set[str]:
    """Return the interfaces at the bottom of a bridge, bond, VLAN or the like."""
    seen.add(device)
    try:
        names = os.listdir(f"{base}{_NET}/{device}")
    except OSError:
        return set()
    below = {name[len("lower_") :] for name in names if name.startswith("lower_")} - seen
    return {name for lower in below for name in _lowest(base, lower, seen)} if below else {device}


def _has_link(base: str, device: str) -> bool:
    try:
        with open(f"{base}{_NET}/{device}/carrier", encoding="ascii") as stream:
            return stream.read().strip() == "1"
    except (OSError, ValueError):  # an interface that is down has no answer
        return False
