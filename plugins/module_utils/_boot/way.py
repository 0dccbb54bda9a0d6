# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs that others reach a node by the way Ansible came: seen before a reboot, they must be there after it. Edge, read-only.

A route and an address exist without a cable, too: a bridge keeps its address when the driver of its network card is missing. So two
signs come from outside: a card with a link below the route's interface, and a neighbour that has answered (ip-neighbour(8)).
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
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
#: So many bytes may come before the line by which an SSH server greets (RFC 4253, 4.2: other lines may).
_MOST_BYTES = 16 << 10


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


def server_problem(local: str, port: int, seconds: float, *, greets: bool = True) -> str:
    """Return why no SSH server is at an address of the node itself; empty: one greets there, within so many seconds.

    The kernel or systemd (``ssh.socket``) takes a connection for a server that hangs or cannot start. Without ``greets`` that is enough.
    """
    end, said, taken = time.monotonic() + seconds, b"", False
    try:
        with socket.create_connection((local, port), timeout=seconds, source_address=(local, 0)) as connection:
            taken = True
            while greets and not re.search(rb"(?m)^SSH-", said):
                connection.settimeout(max(end - time.monotonic(), 0.01))
                piece = connection.recv(4096)
                said += piece
                if not piece or len(said) > _MOST_BYTES:
                    raise ConnectionError("it ends the connection" if not piece else "it says something else")
                if time.monotonic() > end:
                    raise TimeoutError("timed out")
    except OSError as error:
        why = error.strerror or error
        return f"takes a connection, but no SSH server greets ({why})" if taken else f"does not answer ({why})"
    return ""


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
