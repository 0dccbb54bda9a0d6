# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts' lists of guests after a plan, or after its first moves. Pure."""

from __future__ import annotations

import os.path
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import PLACED, PLACED_FILE, PLACED_FILES, PLACED_LEAVE

from .digests import digest
from .model import PlacementError, Wish, as_written
from .plan_file import to_flow

GROUP, HOSTS, HOST_VARS = "realtime_nodes", "hosts.yml", "host_vars"
HEADER = """\
# Written by realtime.kvm.place from a plan: the guests of each host. Give this folder as the last inventory (-i), so that it wins over the hosts' own lists.
"""
LEAVE_HEADER = """\
# Written by realtime.kvm.place from a plan: what is left on each host once the guests that move have left. Only for one run of guests, as the last inventory.
"""
#: A host's file is read by Ansible with one of these endings, or none.
_ENDINGS = (".yml", ".yaml", ".json")


def guests_by_host(
    plan: Mapping[str, Any], wishes: Sequence[Wish], lists: Mapping[str, Sequence[Mapping[str, Any]]], steps: int | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return ``realtime_guests`` of each host that takes part.

    ``steps``: only the first moves of the plan are made, and new guests come after the last. A guest that leaves is absent on its old host; entries
    of a host's own list that are absent already stay. ``lists`` are these lists.
    """
    total = len(plan["moves"])
    if steps is not None and not 0 <= steps <= total:
        raise PlacementError(f"realtime_place_steps: {steps} is not in 0-{total}, the moves of the plan")
    _refuse_between(plan["moves"], steps)
    made = plan["moves"] if steps is None else plan["moves"][:steps]
    at, gone, node = _positions(plan, made, with_new=steps is None or steps == total)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in plan["hosts"]}
    for wish in as_written(wishes):
        host = at.get(wish.name, wish.home)
        if not host or host not in found:
            continue
        entry = dict(wish.given)
        if wish.strict and node.get(wish.name) is not None:
            entry["numa_node"] = node[wish.name]
        found[host].append(entry)
    for name, old in gone.items():
        found[old].append({"name": name, "state": "absent"})
    for host, entries in found.items():
        names = {entry["name"] for entry in entries}
        entries += [dict(item) for item in lists.get(host, ()) if item.get("state") == "absent" and item.get("name") not in names]
    return found


def _refuse_between(moves: Sequence[Mapping[str, Any]], steps: int | None) -> None:
    """Refuse to end while a guest of a ring has left and not entered: no host's list would have it, and nobody would know it any more."""
    whole, out, between = [0], set(), []
    for number, step in enumerate(moves, 1):
        if step["how"].startswith("leaves"):
            out.add(step["guest"])
        else:
            out.discard(step["guest"])
        if not out or number == len(moves):
            whole.append(number)
        elif number == steps:
            between = sorted(out)
    if steps is not None and steps not in whole:
        after = min(number for number in whole if number > steps)
        raise PlacementError(
            f"realtime_place_steps: after {steps} {', '.join(between)} has left its host and is on no other; "
            f"choose {max(number for number in whole if number < steps)} or {after}"
        )


def leaving(
    guests: Mapping[str, Sequence[Mapping[str, Any]]], domains: Mapping[str, Collection[str]]
) -> tuple[dict[str, list[Mapping[str, Any]]], dict[str, list[str]]]:
    """Return the lists with which guests leave their old hosts, before any enters a new one, and the guests that leave, by host.

    ``domains`` are those that each host has. The lists have what is there and stays, and what leaves; a guest that is on two hosts is given
    up by one before the other one has it.
    """
    out = {
        host: [entry["name"] for entry in entries if entry.get("state") == "absent" and entry["name"] in domains.get(host, ())]
        for host, entries in guests.items()
    }
    listed = {entry["name"] for entries in guests.values() for entry in entries if entry.get("state") != "absent"}
    out = {host: sorted(names) for host, found in out.items() if (names := listed.intersection(found))}
    away = {name for names in out.values() for name in names}
    first = {
        host: [
            entry
            for entry in entries
            if entry.get("state") == "absent" or (entry["name"] in domains.get(host, ()) and entry["name"] not in away)
        ]
        for host, entries in guests.items()
    }
    return first, out


def _positions(
    plan: Mapping[str, Any], made: Sequence[Mapping[str, Any]], *, with_new: bool
) -> tuple[dict[str, str], dict[str, str], dict[str, int | None]]:
    """Return where each guest is, the hosts that guests have left, and the NUMA nodes."""
    at: dict[str, str] = {}
    gone: dict[str, str] = {}
    node: dict[str, int | None] = {}
    for entry in plan["guests"]:
        if entry["change"] != "moves" and (with_new or entry["change"] != "new"):
            at[entry["guest"]], node[entry["guest"]] = entry["host"], entry["node"]
    for step in made:
        gone[step["guest"]] = step["from"]
        at[step["guest"]], node[step["guest"]] = step["to"], step["node"]
    new = {entry["guest"] for entry in plan["guests"] if entry["change"] == "new"}
    return {**at, **({} if with_new else dict.fromkeys(new, "-"))}, gone, node


def inventory_files(
    guests: Mapping[str, Sequence[Mapping[str, Any]]], kept: Mapping[str, str] | None = None, *, leave: bool = False
) -> dict[str, str]:
    """Return the files of an inventory in YAML with these guests, one line for each.

    A host has a file below ``host_vars``: of two inventories the later one's ``host_vars`` win, but a variable in ``hosts.yml`` loses to any ``host_vars``.
    ``hosts.yml`` has what each file must say of itself, so that a folder that was written by half is refused. ``kept`` are the texts of files that
    stay, by host; with ``leave`` it is the inventory with which guests leave their hosts.
    """
    header = LEAVE_HEADER if leave else HEADER
    _refuse_same_files([*guests, *(kept or {})])
    files: dict[str, str] = {}
    states: dict[str, str] = {}
    for host, entries in guests.items():
        lines = [
            f"{PLACED}: {to_flow(sorted(entry['name'] for entry in entries))}",
            *([f"{PLACED_LEAVE}: true"] if leave else []),
        ]
        lines += [f"realtime_guests:{'' if entries else ' []'}", *(f"  - {to_flow(entry)}" for entry in entries)]
        states[host] = digest(lines)
        files[file_of(host)] = "\n".join([f"{header}---", f"{PLACED_FILE}: {to_flow(states[host])}", *lines]) + "\n"
    for host, text in (kept or {}).items():
        files[file_of(host)] = text
        if state := re.search(rf'^{PLACED_FILE}: "?(\w+)"?$', text, re.MULTILINE):
            states[host] = state[1]
    of_hosts = "".join(f"      {to_flow(host)}: {to_flow(state)}\n" for host, state in sorted(states.items()))
    first = f"{header}---\n{GROUP}:\n  vars:\n    {PLACED_FILES}:{'' if states else ' {}'}\n{of_hosts}"
    return {HOSTS: first, **dict(sorted(files.items()))}


def file_of(host: str) -> str:
    """Return the file of a host, below the folder of the inventory."""
    if not re.fullmatch(r"[^/\0]+", host) or host.startswith("."):
        raise PlacementError(f"{host!r} cannot name a file of host_vars; give the host another name in the inventory")
    return os.path.join(HOST_VARS, f"{host}.yml")


def _refuse_same_files(hosts: Collection[str]) -> None:
    """Refuse hosts of which one is named like another one's file: Ansible would read that file for both."""
    found = set(hosts)
    if both := sorted(
        host for host in found if any(host != host.removesuffix(end) and host.removesuffix(end) in found for end in _ENDINGS)
    ):
        stems = [next(host.removesuffix(end) for end in _ENDINGS if host.endswith(end)) for host in both]
        pairs = [f"{stem} and {host}" for stem, host in zip(stems, both)]
        raise PlacementError(
            f"hosts {', '.join(pairs)}: the file of one would be read for both; give one of them another name in the inventory"
        )
