# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements as the controller carries them out: which runs, where, and what is kept of their answers. Pure.

What a node or a guest answers is data: it is shown and stored, and decides only whether a run has ended. How long is waited, which host is asked
and where the controller writes follow from the inventory and the role's options.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._latency.job import interval_for
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LIMITS_US, PROFILES, LatencyError
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.latency import check_result

#: Questions after a run beyond those that its duration needs: tools start and stop slowly under load.
_MORE_TURNS = 4
#: Intervals that a lease spans at least, so that one question that gets lost ends no measurement.
_LEASE_INTERVALS = 3


def check_given(options: Mapping[str, Any]) -> None:
    """``LatencyError`` if ``run``, ``seen`` or ``results`` are not what earlier states returned."""
    run, seen = options["run"], options["seen"]
    if run is not None and not (
        isinstance(run.get("label"), str)
        and isinstance(run.get("machine"), str)
        and isinstance(run.get("arguments"), Mapping)
        and "tool" in run["arguments"]
    ):
        raise LatencyError('run: give an item of "runs", which state "planned" returned')
    if seen is not None and "finished" not in seen:
        raise LatencyError('seen: give the result of state "started" or "polled"')
    for number, result in enumerate(options["results"]):
        if reason := check_result(result):
            raise LatencyError(f'results[{number}]: {reason}; give the "results" of state "kept"')


def over_ssh(guests: Sequence[Mapping[str, Any]], inventory: Container[str]) -> bool:
    """Whether one of the guests is a host of the inventory, so that it is measured from inside."""
    return any(guest["name"] in inventory for guest in guests)


def plan_runs(
    host: str,
    options: Mapping[str, Any],
    inventory: Container[str],
    platform: Mapping[str, Any] | None,
    *,
    check_mode: bool,
) -> list[dict[str, Any]]:
    """Return the runs of a node in their order: every tool in one place, then in the next.

    Each has ``label``, ``machine`` (the host of the inventory that is asked), ``interval`` and ``turns`` (of the questions after it, none in check mode), and
    the ``arguments`` of rt_latency. ``LatencyError`` if there is no run. ``platform`` is what the node says of itself, for guests that are hosts
    of the inventory.
    """
    places = [*([None] if options["node"] else []), *options["guests"]]
    if not places:
        raise LatencyError("rt_latency_node: it is false, and rt_latency_guests is empty, so there is nothing to measure")
    if not options["tools"]:
        raise LatencyError(f"rt_latency_tools: it is empty, so nothing would be measured; choose from {', '.join(LIMITS_US)}")
    seconds = options["seconds"] or PROFILES[options["profile"]]
    interval = interval_for(seconds)
    common = {
        "host": host,
        "lease": max(options["lease"], _LEASE_INTERVALS * interval),
        **{key: options[key] for key in ("profile", "seconds", "cpu_set", "occupied", "load", "max_disruption")},
    }
    runs = []
    for place in places:
        inside = place is not None and place["name"] in inventory
        where = {
            "guest": place["name"] if place else None,
            "cpus": place.get("cpus") if place else options["cpus"],
            "platform": dict(platform or {}) if inside else None,
        }
        for tool in options["tools"]:
            wanted = {**common, **where, "tool": tool, "limit_us": options["limits_us"].get(tool)}
            runs.append(
                {
                    "label": f"{tool} in {place['name']}" if place else tool,
                    "machine": place["name"] if place and inside else host,
                    "interval": interval,
                    "turns": 0 if check_mode else seconds // interval + _MORE_TURNS,
                    "arguments": {key: value for key, value in wanted.items() if value is not None},
                }
            )
    return runs


def begun(answer: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Return how far a run is that was started, from the answer to that; in check mode, what would run."""
    verb = "would run" if check_mode else "runs"
    command, load = _words(answer.get("command")), _words(answer.get("load_command")) or "none"
    return {"finished": False, "summary": f"{verb} for {answer.get('seconds')} s: {command}; load: {load}"}


def progress(run: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return how far a run is from the answer to the question after it; once it has ended, with its result."""
    if answer.get("finished") is True:
        return {"finished": True, "summary": str(answer.get("summary")), "result": answer.get("result")}
    left = f"{answer.get('minutes_left')} minutes left ({answer.get('seconds_left')} s)"
    return {"finished": False, "summary": f"{run['arguments']['tool']}: {left}"}


def _words(value: Any) -> str:
    return " ".join(str(word) for word in value) if isinstance(value, list) else ""


def result_of(run: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a run that has ended; ``LatencyError`` where it has not, or the answer is no result of it."""
    if seen.get("finished") is not True:
        raise LatencyError("the measurement has not ended in its time; it is left to end by itself")
    wanted: Mapping[str, Any] = run["arguments"]
    result: Any = seen.get("result")
    if reason := check_result(result):
        raise LatencyError(f"{run['machine']} answered no result of {run['label']}: {reason}")
    for key in ("host", "guest", "tool"):
        if result.get(key) != wanted.get(key):
            raise LatencyError(
                f"{run['machine']} answered another result than that of {run['label']}: its {key} is {result.get(key)!r}, not {wanted.get(key)!r}"
            )
    file_name(result)
    return dict(result)


def file_name(result: Mapping[str, Any]) -> str:
    """Return how a result's file is called: by the time at which the run began, which is read as a time and written again."""
    started = result["started"]
    try:
        if not re.fullmatch(r"[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z", started):
            raise ValueError
        return datetime.strptime(started, "%Y-%m-%dT%H:%M:%SZ").strftime("%Y%m%dT%H%M%SZ.json")
    except (ValueError, TypeError):
        raise LatencyError(
            f"started: {started!r} is no time such as 2026-11-28T04:05:06Z, so the result has no file name"
        ) from None


def verdicts(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return results as a job's artefact shows them."""
    return [
        {**{key: result.get(key) for key in ("guest", "tool", "profile", "max_us")}, **result["verdict"]} for result in results
    ]


def complaints(results: Sequence[Mapping[str, Any]], gate: str) -> list[str]:
    """Return the reasons of all verdicts that are no pass and that a gate counts; ``physical`` does not count virtual machines."""
    if gate == "never":
        return []
    counted = [result["verdict"] for result in results if gate == "always" or not result["verdict"].get("virtual")]
    bad = [verdict for verdict in counted if verdict["result"] != "pass"]
    return [str(reason) for verdict in bad for reason in verdict.get("reasons") or [verdict["result"]]]
