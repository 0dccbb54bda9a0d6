# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes put into an artefact of a job, bounded: AWX hands artefacts on as variables, so those of all nodes stay below 1 MB together. Pure.

A node adds an entry with its name, which has a share of the bytes. Where not even a short one has room, all such nodes have one entry together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted

#: Bytes of what all nodes put into an artefact.
MOST = 1_000_000
#: What stands for the nodes whose entries have no room, and the bytes that it may have.
REST, _REST = "(more)", 200
#: What is kept of a finding, of a verdict, of a setting that differs, where all of it would be too much.
_FINDING = ("severity", "rule", "resource")
_VERDICT = ("guest", "tool", "profile", "max_us", "result", "virtual")
_SETTING = ("attribute", "current", "wanted", "state")
#: From the worst result of a measurement to the best.
_RESULTS = ("fail", "inconclusive", "pass")
_SEE = "see the job's output"
_NODES = f"nodes that have no room here, {_SEE}"
#: The same from every such node, since one takes the place of the other.
_REST_FINDINGS = [{"severity": "error", "rule": "more", "resource": _NODES}]
_REST_VERDICTS = [{"result": "inconclusive", "reasons": [_NODES]}]
_REST_FIRMWARE = {"more": _NODES}

Entries = Sequence[Mapping[str, Any]]


def bounded_findings(findings: Entries, nodes: int, host: str) -> dict[str, Any]:
    """Return a node's entry of findings in its share of the bytes: whole, else in short, else the first ones and how many more there are.

    >>> bounded_findings([{"severity": "error", "rule": "a", "resource": "b", "remedy": "c"}], 3, "kvm1")
    {'kvm1': [{'severity': 'error', 'rule': 'a', 'resource': 'b', 'remedy': 'c'}]}
    """
    return _bounded(host, findings, _FINDING, _more_findings, _share(nodes)) or {REST: _REST_FINDINGS}


def bounded_verdicts(verdicts: Entries, nodes: int, host: str) -> dict[str, Any]:
    """Return a node's entry of verdicts in its share of the bytes: whole, else without reasons, else the first ones and how many more.

    >>> bounded_verdicts([{"guest": "vm1", "result": "fail", "reasons": ["too late"] * 9}], 10_000, "kvm1")
    {'kvm1': [{'guest': 'vm1', 'result': 'fail'}]}
    """
    return _bounded(host, verdicts, _VERDICT, _more_verdicts, _share(nodes)) or {REST: _REST_VERDICTS}


def bounded_firmware(summary: Mapping[str, Any], nodes: int, host: str) -> dict[str, Any]:
    """Return a node's entry of its firmware in its share of the bytes: whole, else with settings in short, else with their number instead.

    The rollback stays in any case and may exceed the share: it may be the only copy of the former values.

    >>> bounded_firmware({"state": "differs", "differences": [{"attribute": "a"}], "rollback": {"a": 1}}, 12_000, "kvm1")
    {'kvm1': {'state': 'differs', 'rollback': {'a': 1}, 'more': "1 difference, see the job's output"}}
    """
    share = _share(nodes)
    whole = dict(summary)
    differences = whole.get("differences", [])
    short = {**whole, "differences": _short(differences, _SETTING)} if differences else whole
    kept = {key: value for key, value in whole.items() if key not in ("differences", "absent", "foreign_pending")}
    kept = {**kept, "more": f"{counted(len(differences), 'difference')}, {_SEE}"}
    for found in (whole, short, kept):
        if _size({host: found}) <= share:
            return {host: found}
    if whole.get("rollback"):
        return {host: kept}
    return {REST: _REST_FIRMWARE}


def _bounded(
    host: str, entries: Entries, keys: Sequence[str], more: Callable[[Entries], dict[str, Any]], share: int
) -> dict[str, Any]:
    """Return the entry, an empty one where there is no room."""
    whole = [dict(entry) for entry in entries]
    short = _short(whole, keys)
    for found in (whole, short):
        if _size({host: found}) <= share:
            return {host: found}
    room = share - _size({host: [more(short)]})
    if room < 0:
        return {}
    kept: list[dict[str, Any]] = []
    for entry in short:
        room -= _size([entry])
        if room < 0:
            break
        kept.append(entry)
    return {host: [*kept, more(short[len(kept) :])]}


def _more_findings(left: Entries) -> dict[str, Any]:
    worst = "error" if any(finding.get("severity") == "error" for finding in left) else "warning"
    return {"severity": worst, "rule": "more", "resource": f"{len(left)} more, {_SEE}"}


def _more_verdicts(left: Entries) -> dict[str, Any]:
    found = {verdict.get("result") for verdict in left}
    worst = next((result for result in _RESULTS if result in found), "inconclusive")
    return {"result": worst, "reasons": [f"{len(left)} more, {_SEE}"]}


def _short(entries: Entries, keys: Sequence[str]) -> list[dict[str, Any]]:
    return [{key: entry[key] for key in keys if key in entry} for entry in entries]


def _share(nodes: int) -> int:
    return (MOST - _REST) // max(nodes, 1)


def _size(value: Any) -> int:
    return len(json.dumps(value, default=str).encode())
