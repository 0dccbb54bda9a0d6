# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection keeps on a node for those who watch it: findings of its own audit, runs of playbooks, verdicts on latency. Edge.

Each is one small file with a schema. A file of a newer release, or a damaged one, is refused with the reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._cpus.answers import AnswerError, decode
from .._cpus.errors import HostError
from .._host.host import Host
from .._host.paths import AUDIT_STATE, KEPT_LATENCY, RUNS, config_path

SCHEMA = 1
#: The options of the role rt_metrics; without this file nothing is kept for it.
OPTIONS = config_path("rt_metrics")
_NUMBER = (int, float)
_FINDING = {"rule": str, "severity": str, "resource": str, "expected": str, "actual": str, "remedy": str}
_FORMS: Mapping[str, Mapping[str, Any]] = {
    AUDIT_STATE: {
        "release": str,
        "began": _NUMBER,
        "ended": _NUMBER,
        "findings": [_FINDING],
        "remarks": [_FINDING],
        "unchecked": list,
        "error": str,
    },
    RUNS: {"runs": {str: _NUMBER}},
    KEPT_LATENCY: {
        "places": [
            {"guest": str, "tool": str, "max_s": (int, float, type(None)), "passed": (bool, type(None)), "ended": _NUMBER}
        ],
    },
}
#: So many places are kept.
_MOST = 256


def read_kept(host: Host, path: str) -> dict[str, Any] | None:
    """Return what one of the files says; None where there is none."""
    text = host.read(path)
    if text is None:
        return None
    try:
        found = decode(text, {"schema": int})
        if found["schema"] > SCHEMA:
            raise AnswerError(f"it was written by a newer release (schema {found['schema']}, this release knows {SCHEMA})")
        return dict(decode(text, _FORMS[path]))
    except AnswerError as error:
        raise HostError(f"{path} cannot be read: {error}") from None


def read_audit_interval(host: Host) -> int | None:
    """Return how many seconds pass between audits; None where the node does not audit itself, or nobody can tell."""
    try:
        found = decode(host.read(OPTIONS) or "", {"audit": bool, "audit_interval_s": int})
    except AnswerError:
        return None  # the audit itself names a damaged file
    return int(found["audit_interval_s"]) if found["audit"] else None


# -- keeping ---------------------------------------------------------------------------------------


def keep_latency(host: Host, result: Mapping[str, Any], ended: float) -> None:
    """Keep the verdict on a measurement, of each place the last; only where rt_metrics is set up.

    ``result`` is what docs/latency.md describes, ``ended`` the seconds since 1970.
    """
    if host.dry or not host.exists(OPTIONS):
        return
    top = result["max_us"]
    new = {
        "guest": result["guest"] or "",
        "tool": result["tool"],
        "max_s": None if top is None else round(top / 1e6, 9),
        "passed": {"pass": True, "fail": False}.get(result["verdict"]["result"]),  # None: it proves nothing
        "ended": ended,
    }
    try:
        places = (read_kept(host, KEPT_LATENCY) or {"places": []})["places"]
    except HostError:
        places = []  # written again as a whole
    if new in places:
        return
    others = [place for place in places if place["guest"] != new["guest"]]
    text = json.dumps({"schema": SCHEMA, "places": [*others, new][-_MOST:]}, indent=1, sort_keys=True)
    host.write_file(KEPT_LATENCY, f"{text}\n".encode())


# -- words -----------------------------------------------------------------------------------------


def age_text(seconds: float) -> str:
    """Return how long ago something was, for people; a clock that was set back makes it the future."""
    if seconds < 0:
        return f"{_duration(-seconds)} in the future, so the clock was set"
    return f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"
