# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nodes put into an artefact of a job, bounded: AWX hands artefacts on as variables, so those of all nodes stay below 1 MB together. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Bytes of what all nodes put into an artefact.
MOST = 1_000_000
#: Bytes beside what a node puts in: its name and punctuation.
_NAME = 80
#: What is kept of a finding, of a verdict, of a setting that differs, where all of it would be too much.
_FINDING = ("severity", "rule", "resource")
_VERDICT = ("guest", "tool", "profile", "max_us", "result", "virtual")
_SETTING = ("attribute", "current", "wanted", "state")
#: From the worst result of a measurement to the best.
_RESULTS = ("fail", "inconclusive", "pass")
_SEE = "see the job's output"

Entries = Sequence[Mapping[str, Any]]


def bounded_findings(findings: Entries, nodes: int) -> list[dict[str, Any]]:
    """Return a node's findings in its share of the bytes: whole, else in short, else the first ones and how many more there are.

    >>> bounded_findings([{"severity": "error", "rule": "a", "resource": "b", "remedy": "c"}], 3)
    [{'severity': 'error', 'rule': 'a', 'resource': 'b', 'remedy': 'c'}]
    """
    return _bounded(findings, _FINDING, _more_findings, _share(nodes))


def bounded_verdicts(verdicts: Entries, nodes: int) -> list[dict[str, Any]]:
    """Return the verdicts of a node's measurements in its share of the bytes: whole, else without reasons, else the first ones and how many more.

    >>> bounded_verdicts([{"guest": "vm1", "result": "fail", "reasons": ["too late"]}], 10_000)
    [{'result': 'fail', 'reasons': ["1 more, see the job's output"]}]
    """
    return _bounded(verdicts, _VERDICT, _more_verdicts, _share(nodes))


def bounded_firmware(summary: Mapping[str, Any], nodes: int) -> dict[str, Any]:
    """Return the summary of a node's firmware in its share of the bytes: whole, else with settings in short, else with their number instead.

    The rollback stays in any case: it may be the only copy of the former values.

    >>> bounded_firmware({"state": "differs", "differences": [{"attribute": "a"}], "rollback": {"a": 1}}, 100_000)
    {'state': 'differs', 'rollback': {'a': 1}, 'more': "1 differences, see the job's output"}
    """
    share = _share(nodes)
    whole = dict(summary)
    differences = whole.get("differences", [])
    short = {**whole, "differences": _short(differences, _SETTING)} if differences else whole
    for found in (whole, short):
        if _size(found) <= share:
            return found
    kept = {key: value for key, value in whole.items() if key not in ("differences", "absent", "foreign_pending")}
    return {**kept, "more": f"{len(differences)} differences, {_SEE}"}


def _bounded(
    entries: Entries, keys: Sequence[str], more: Callable[[Entries], dict[str, Any]], share: int
) -> list[dict[str, Any]]:
    whole = [dict(entry) for entry in entries]
    short = _short(whole, keys)
    for found in (whole, short):
        if _size(found) <= share:
            return found
    kept: list[dict[str, Any]] = []
    room = share - _size([more(short)])
    for entry in short:
        room -= _size([entry])
        if room < 0:
            break
        kept.append(entry)
    return [*kept, more(short[len(kept) :])]


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
    return MOST // max(nodes, 1) - _NAME


def _size(value: Any) -> int:
    return len(json.dumps(value, default=str).encode())
