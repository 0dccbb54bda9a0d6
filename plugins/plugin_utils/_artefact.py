# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings as an artefact of a job, bounded: AWX hands artefacts on as variables, so those of all nodes stay below 1 MB together. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

#: Bytes of all nodes' findings together.
MOST = 1_000_000
#: Bytes beside a node's findings: its name and punctuation.
_NAME = 80
#: What is kept of a finding where all of it would be too much.
_KEPT = ("severity", "rule", "resource")


def bounded_findings(findings: Sequence[Mapping[str, Any]], nodes: int) -> list[dict[str, Any]]:
    """Return a node's findings in its share of the bytes: whole, else in short, else the first ones and how many more there are.

    >>> bounded_findings([{"severity": "error", "rule": "a", "resource": "b", "remedy": "c"}], 3)
    [{'severity': 'error', 'rule': 'a', 'resource': 'b', 'remedy': 'c'}]
    """
    share = MOST // max(nodes, 1) - _NAME
    whole = [dict(finding) for finding in findings]
    if _size(whole) <= share:
        return whole
    short = [{key: finding[key] for key in _KEPT if key in finding} for finding in whole]
    if _size(short) <= share:
        return short
    kept: list[dict[str, Any]] = []
    room = share - _size([_more(short)])
    for finding in short:
        room -= _size([finding])
        if room < 0:
            break
        kept.append(finding)
    return [*kept, _more(short[len(kept) :])]


def _more(left: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    worst = "error" if any(finding.get("severity") == "error" for finding in left) else "warning"
    return {"severity": worst, "rule": "more", "resource": f"{len(left)} more, see the job's output"}


def _size(value: Any) -> int:
    return len(json.dumps(value, default=str).encode())
