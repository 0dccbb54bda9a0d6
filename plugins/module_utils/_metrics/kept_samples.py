# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of what the collection keeps on a node: findings of its own audit, runs of playbooks, verdicts on latency. Edge, read-only."""

from __future__ import annotations

from .._host.paths import AUDIT_STATE, KEPT_LATENCY, RUNS
from .families import SEVERITIES
from .kept import read_audit_interval, read_kept
from .look import Look
from .samples import Samples

#: So many rules, playbooks or places have series.
_MOST = 256
#: How the series name the host, whose place has no guest's name.
_HOST = "host"


def audit_samples(look: Look, out: Samples) -> None:
    """The findings of the node's last audit of itself; of one that failed no old findings are shown."""
    if (interval := read_audit_interval(look.host)) is not None:
        out.add("audit_interval_seconds", interval)
    kept = read_kept(look.host, AUDIT_STATE)
    if kept is None:
        return
    out.add("audit_success", not kept["error"])
    out.add("audit_timestamp_seconds", kept["ended"])
    out.add("audit_duration_seconds", max(kept["ended"] - kept["began"], 0))
    if kept["error"]:
        return
    counts: dict[tuple[str, str], int] = {}
    for finding in (*kept["findings"], *kept["remarks"]):
        place = (finding["rule"], finding["severity"])
        counts[place] = counts.get(place, 0) + 1
    for (rule, severity), count in sorted(counts.items())[:_MOST]:
        out.add("audit_findings", count, rule, severity)
    for severity in SEVERITIES:
        out.add("audit_severity_findings", sum(count for (_rule, found), count in counts.items() if found == severity), severity)


def run_samples(look: Look, out: Samples) -> None:
    """When playbooks have run."""
    kept = read_kept(look.host, RUNS) or {"runs": {}}
    for playbook, when in sorted(kept["runs"].items())[:_MOST]:
        out.add("last_run_timestamp_seconds", when, playbook)


def latency_samples(look: Look, out: Samples) -> None:
    """The verdicts on latency."""
    kept = read_kept(look.host, KEPT_LATENCY) or {"places": []}
    for place in kept["places"][:_MOST]:
        name = place["guest"] or _HOST
        label = f"guest {name}" if place["guest"] == _HOST else name
        if place["passed"] is not None:
            out.add("latency_passed", place["passed"], label)
        out.add("latency_timestamp_seconds", place["ended"], label)
        if place["max_s"] is not None:
            out.add("latency_max_seconds", place["max_s"], label)
