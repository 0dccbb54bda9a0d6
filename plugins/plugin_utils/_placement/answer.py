# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan in a few lines, as a person reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.module_utils._tables import text_table
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few, natural

#: The most rows of a table; the plan's file has all.
MOST = 40
#: A host with more NUMA nodes is shown by those that change.
FEW = 2


def headline(summary: Mapping[str, int]) -> str:
    """Return what becomes of all guests, in a sentence."""
    words = (
        ("stay", "stays", "stay"),
        ("moved", "moves", "move"),
        ("new", "is new", "are new"),
        ("unplaced", "has no host", "have no host"),
    )
    return f"{counted(summary['guests'], 'guest')}: {', '.join(counted(summary[key], one, many) for key, one, many in words)}"


def plan_lines(plan: Mapping[str, Any], path: str) -> list[str]:
    """Return the answer first, then what is not placed, the moves, and the hosts."""
    summary = plan["summary"]
    what = headline(summary)
    lines = [what]
    for entry in plan["unplaced"][:MOST]:
        proof = "" if entry["proven"] else " (not proven)"
        lines += [f"  {entry['guest']}: {entry['reason']}{proof}", f"    would help: {entry['change']}"]
    lines += _beyond(plan["unplaced"])
    for name, why in sorted(plan["left_out"].items(), key=lambda item: natural(item[0]))[:MOST]:
        lines.append(f"  {name} takes no part: {why}; its guests stay")
    lines += _beyond(plan["left_out"])
    lines += [f"  {remark}" for remark in plan["remarks"][:MOST]]
    if plan["moves"]:
        rows = [[str(step["step"]), step["guest"], step["from"], step["to"], step["how"]] for step in plan["moves"]]
        lines += ["", *text_table(["step", "guest", "from", "to", ""], rows[:MOST]), *_beyond(rows)]
    changed = [name for name, host in plan["hosts"].items() if host["before"] != host["after"]]
    rows = [_row(name, plan["hosts"][name]) for name in sorted(changed, key=natural)]
    if rows:
        lines += ["", *text_table(["host", "guests", "cores by NUMA node", "memory by NUMA node"], rows[:MOST]), *_beyond(rows)]
    asked = plan.get("what_if") or {"hosts": [], "guests": {}}
    lines += [f"With {few(asked['hosts'])}, which do not exist"] if asked["hosts"] else []
    lines += [
        f"{counted(found['more'], 'more guest')} like {name} {'fits' if found['more'] == 1 else 'fit'}"
        for name, found in asked["guests"].items()
    ]
    return [*lines, "", f"Plan: {path}" if path else "Check mode: no plan was written"]


def _beyond(items: Any) -> list[str]:
    return [f"  and {len(items) - MOST} more, see the plan"] if len(items) > MOST else []


def _row(name: str, host: Mapping[str, Any]) -> list[str]:
    before, after = host["before"], host["after"]
    guests = f"{before['guests']} -> {after['guests']}"
    cores = _cell(host, "cores", "floating_vcpus", "vCPUs that float")
    memory = _cell(host, "memory_mib", "unbound_mib", "bound to no node")
    return [name, guests, cores, memory]


def _cell(host: Mapping[str, Any], what: str, beside: str, named: str) -> str:
    """Return what is used on each NUMA node before and after; of many nodes only those on which that differs, with their numbers."""
    before, after, room = host["before"], host["after"], host["room"]
    parts, same = [], 0
    for node in room:
        was, now, total = before["nodes"][node][what], after["nodes"][node][what], room[node][what]
        if len(room) > FEW and was == now:
            same += 1
            continue
        parts.append(f"{f'{node}: ' if len(room) > FEW else ''}{was} -> {now}{'' if total is None else f' of {total}'}")
    texts = [" | ".join(parts)] if parts else []
    if same:
        texts.append(f"{counted(same, 'node')} as before" if parts else "as before")
    if before.get(beside, 0) != after.get(beside, 0):
        texts.append(f"{named}: {before.get(beside, 0)} -> {after.get(beside, 0)}")
    return "; ".join(texts)
