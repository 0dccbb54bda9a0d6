# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts' lists of guests after a plan, or after its first moves. Pure."""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.known import PLACED

from .model import PlacementError, Wish, as_written
from .plan_file import to_flow

GROUP, HOSTS, HOST_VARS = "realtime_nodes", "hosts.yml", "host_vars"
HEADER = """\
# Written by realtime.kvm.place from a plan: the guests of each host. Give this folder as the last inventory (-i), so that it wins over the hosts' own lists.
"""


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
        if step["how"].startswith("leaves"):
            at[step["guest"]] = "-"  # between two hosts
    new = {entry["guest"] for entry in plan["guests"] if entry["change"] == "new"}
    return {**at, **({} if with_new else dict.fromkeys(new, "-"))}, gone, node


def inventory_files(guests: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Return the files of an inventory in YAML with these guests, one line for each.

    A host has a file below ``host_vars``: of two inventories the later one's ``host_vars`` win, but a variable in ``hosts.yml`` loses to any ``host_vars``.
    """
    hosts = "".join(f"    {to_flow(host)}:\n" for host in sorted(guests))
    files = {HOSTS: f"{HEADER}---\n{GROUP}:\n  hosts:{'' if guests else ' {}'}\n{hosts}"}
    for host, entries in sorted(guests.items()):
        lines = [f"{HEADER}---", f"{PLACED}: {to_flow(sorted(entry['name'] for entry in entries))}"]
        lines += [f"realtime_guests:{'' if entries else ' []'}", *(f"  - {to_flow(entry)}" for entry in entries)]
        files[os.path.join(HOST_VARS, f"{_file_name(host)}.yml")] = "\n".join(lines) + "\n"
    return files


def _file_name(host: str) -> str:
    if not re.fullmatch(r"[^/\0]+", host) or host.startswith("."):
        raise PlacementError(f"{host!r} cannot name a file of host_vars; give the host another name in the inventory")
    return host
