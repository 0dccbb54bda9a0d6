# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's CPUs as sockets, NUMA nodes, cores and threads, for drawing. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import Topology

from .accounting import SWITCH, Account

#: One letter per set, so that colour is never the only mark.
LETTERS = {"housekeeping": "H", "dataplane": "D", "realtime": "R", "shared": "S", "idle": "I", "": "?"}
CELL, WIDTH = 43, 132
#: Interrupts per second that fill the bar; the scale is logarithmic.
FULL = 100_000
_ROOM = 15


def short(text: str, length: int = _ROOM) -> str:
    """Return a text short enough for a drawing; the tooltip has the whole text."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def cpu_map(account: Account) -> list[dict[str, Any]]:
    """Return sockets with their NUMA nodes, these with their cores and threads."""
    topology = account.topology
    if topology is None:
        return []
    schedulers = {(guest["name"], thread["role"]): thread["scheduler"] for guest in account.guests for thread in guest["threads"]}
    load: Mapping[str, Any] = (account.info.get("interrupts") or {}).get("load", {})
    counted = "interrupts" in account.info  # a plan counts none
    sockets: dict[int, dict[int, list[dict[str, Any]]]] = {}
    for core in topology.cores:
        first = topology.cpus[min(core)]
        loads = {cpu: _load(load.get(str(cpu))) if counted else (0, "") for cpu in core}
        threads = [_thread(account, cpu, loads[cpu], schedulers) for cpu in sorted(core)]
        for number, thread in enumerate(threads):
            thread["y"] = number * CELL
        entry = {
            "cpus": format_cpulist(core),
            "height": len(threads) * CELL,
            "efficiency": first.efficiency,
            "threads": threads,
            "label": "; ".join(thread["title"] for thread in threads),
        }
        sockets.setdefault(first.package, {}).setdefault(first.node, []).append(entry)
    return [
        {
            "name": f"Socket {package}" if package >= 0 else "Socket",
            "nodes": [
                {
                    "name": f"NUMA node {node}",
                    "cpus": format_cpulist(topology.nodes[node] & _package(topology, package)),
                    "cores": cores,
                }
                for node, cores in sorted(nodes.items())
            ],
        }
        for package, nodes in sorted(sockets.items())
    ]


def _package(topology: Topology, package: int) -> frozenset[int]:
    return frozenset(cpu.number for cpu in topology.cpus.values() if cpu.package == package)


def _thread(account: Account, cpu: int, load: tuple[float, str], schedulers: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    name = account.set_of.get(cpu, "")
    users = [_user(user, schedulers) for user in account.users.get(cpu, ())]
    who, role = users[0] if users else _no_owner(account, cpu, name)
    if len(users) > 1:
        who, role = f"{len(users)} users!", ", ".join(user for user, _role in users)
    rate, words = load
    details = "; ".join(f"{user}, {what}" for user, what in users) or " ".join(filter(None, (who, role)))
    return {
        "cpu": cpu,
        "set": name or "none",
        "letter": LETTERS[name],
        "who": short(who),
        "role": short(role, 14),
        "used": bool(users),
        "conflict": len(users) > 1,
        "rate": f"{_round(rate)}/s" if rate else "",
        "bar": round(min(math.log10(1 + rate) / math.log10(1 + FULL), 1) * (WIDTH - 22), 1) if rate else 0,
        "title": "; ".join(filter(None, (f"CPU {cpu}: {name or 'in no set'}", details, words))),
    }


def _user(user: tuple[str, str, str], schedulers: Mapping[tuple[str, str], str]) -> tuple[str, str]:
    kind, name, role = user
    if kind == SWITCH:
        return "PMD", role
    scheduler = schedulers.get((name, role), "")
    what = f"vCPU {role[4:]}" if role.startswith("vcpu") else role
    return name, f"{what} {scheduler}" if scheduler and scheduler != "other" else what


def _no_owner(account: Account, cpu: int, name: str) -> tuple[str, str]:
    if cpu in account.stranded:
        return "stranded", ""
    floating = account.floating.get(cpu, [])
    if floating:
        return floating[0] if len(floating) == 1 else f"{len(floating)} guests", "floating"
    return {"realtime": "free", "dataplane": "free", "idle": "left idle", "housekeeping": "OS"}.get(name, ""), ""


def _load(load: Mapping[str, Any] | None) -> tuple[float, str]:
    if load is None:
        return 0, "interrupts unknown"
    if "devices_per_s" in load:
        devices, ticks, others = load["devices_per_s"], load["ticks_per_s"], load["others_per_s"]
        return devices + others, f"per second {devices:g} device interrupts, {ticks:g} timer ticks, {others:g} others"
    return 0, f"since boot {load['devices']} device interrupts, {load['ticks']} timer ticks, {load['others']} others"


def _round(rate: float) -> str:
    return f"{rate / 1000:.1f}k" if rate >= 1000 else f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def segments(parts: Sequence[tuple[str, float]], width: int = 300) -> list[dict[str, Any]]:
    """Return the segments of a capacity bar (name and amount), from left to right; empty ones are left out."""
    total = sum(amount for _name, amount in parts)
    found, left = [], 0.0
    for name, amount in parts:
        if amount > 0:
            size = width * amount / total
            found.append({"name": name, "x": round(left, 1), "width": round(size, 1), "amount": amount})
            left += size
    return found
