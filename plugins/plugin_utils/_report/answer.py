# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a report says, in a few lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.module_utils._tables import paragraph
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import BEFORE_TEXT, few

from .view import STATES, mib

#: How many reasons of nodes that are not well are given.
_MOST = 20
#: The most places of a rule that are named.
_PLACES = 3


def report_answer(view: Mapping[str, Any], files: Iterable[str]) -> list[str]:
    """Return the answer of a report: how the nodes are, what is free, what is found, and where the files are."""
    nodes, totals = view["nodes"], view["totals"]
    rows = [
        (f"{totals['states'][state]} {STATES[state][1]}", _names(nodes, state)) for state in STATES if totals["states"][state]
    ]
    unwell = [node for node in nodes if node["state"] not in ("ok", "new", "findings", "captured")]
    rows += [(node["host"], node["reason"]) for node in unwell[:_MOST] if node["reason"]]
    lines = _lines(rows)
    for row in view["rules"]:
        lines += [*_lines([(f"{row['severity'] or 'finding'} {row['rule']}", _finding(row))]), *_places(row, nodes)]
    rows = [("guests", str(totals["guests"])), ("realtime CPUs", _free(totals)), ("latency", _latency(totals))]
    rows += [("placement", _placement(view["placement"]))]
    rows += [("written", path) for path in files]
    return ["== Report ==", *lines, *_lines(rows)]


def _lines(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [line for name, text in rows if text for line in paragraph(f"{name}: {text}")]


def _finding(row: Mapping[str, Any]) -> str:
    return f"on {few(row['nodes'], BEFORE_TEXT)}{'; what must hold: ' if row['meaning'] else ''}{row['meaning']}"


def _places(row: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the first places of a rule, each with what is there and what to do."""
    key = (row["rule"], row["severity"])
    found = [(node["host"], item) for node in nodes for item in node["findings"] if (item["rule"], item["severity"]) == key]
    lines = []
    for host, item in found[:_PLACES]:
        wanted = f", expected {item['expected']}" if item["expected"] else ""
        remedy = f"; remedy: {item['repair']}" if item["repair"] else ""
        lines += paragraph(f"{host}, {item['subject']}: {item['actual']}{wanted}{remedy}", "  ", "    ")
    return [*lines, *([f"  and {len(found) - _PLACES} more, in the report"] if len(found) > _PLACES else [])]


def _names(nodes: Sequence[Mapping[str, Any]], state: str) -> str:
    return few([node["host"] for node in nodes if node["state"] == state])


def _free(totals: Mapping[str, Any]) -> str:
    realtime, best = totals["realtime"], totals["largest"]
    if not realtime["capacity"]:
        return ""
    text = f"{realtime['free']} of {realtime['capacity']} free"
    if best and best["largest"]["vcpus"]:
        fit = best["largest"]
        text += f"; the largest real-time guest that fits has {fit['vcpus']} vCPUs and up to {mib(fit['memory_mib'])}, on {best['host']}"
    return text


def _latency(totals: Mapping[str, Any]) -> str:
    verdicts = totals["verdicts"]
    return f"{verdicts['pass']} of {totals['measured']} passed, {verdicts['fail']} failed" if totals["measured"] else ""


def _placement(placement: Mapping[str, Any] | None) -> str:
    if not placement:
        return ""
    if placement["refusal"]:
        return f"the plan in {placement['file']} is not shown: {placement['refusal']}"
    count = len(placement["differences"])
    differ = f"; {counted(count, 'difference')} from what was read, in the report" if count else ""
    return f"{placement['summary']}{differ}"
