# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements as the controller carries them out: which runs, where, and what is kept of their answers. Pure.

What a node or a guest answers is data: it is shown and stored, and decides only whether a run has ended. How long is waited, which host is asked,
where the controller writes, and what a result is a result of follow from the inventory, the role's options and the controller's clock.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import CpuListError, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._latency.job import PACKAGES, interval_for
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import (
    LIMITS_US,
    PROFILES,
    LatencyError,
    named_profile,
    shortest,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.latency import check_result

#: Questions after a run beyond those that its duration needs: tools start and stop slowly under load.
_MORE_TURNS = 4
#: Intervals that a lease spans at least, so that one question that gets lost ends no measurement.
_LEASE_INTERVALS = 3
#: Bounds of what is taken over from an answer: characters of a line, reasons of a verdict.
_MOST_WORDS = 2000
_MOST_REASONS = 50


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
            "platform": _platform(host, platform or {}) if inside else None,
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


def _platform(host: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a node says of itself, for the record of its guests; a node that does not say so is no machine but a virtual one."""
    digest = answer.get("partition_digest")
    return {
        "host": host,
        "virtual": answer.get("virtual") is not False,
        "partition_digest": plain(digest, 64) if isinstance(digest, str) else "",
    }


def begun(answer: Mapping[str, Any], clock: float, stamp: str, *, check_mode: bool) -> dict[str, Any]:
    """Return how far a run is that was started, from the answer to that; in check mode, what would run.

    ``clock`` and ``stamp`` are the controller's time. A run that was joined has begun earlier than both.
    """
    verb = "would run" if check_mode else "runs"
    command, load = _words(answer.get("command")), _words(answer.get("load_command")) or "none"
    seconds = plain(str(answer.get("seconds")), 20)
    own = {"clock": clock, "stamp": stamp, "joined": answer.get("joined") is True}
    return {"finished": False, "summary": f"{verb} for {seconds} s: {command}; load: {load}", "own": own}


def progress(run: Mapping[str, Any], seen: Mapping[str, Any], answer: Mapping[str, Any], clock: float) -> dict[str, Any]:
    """Return how far a run is from the answer to the question after it; once it has ended, with its result."""
    own = dict(seen["own"])
    if answer.get("finished") is True:
        summary = plain(str(answer.get("summary")), _MOST_WORDS)
        return {
            "finished": True,
            "summary": summary,
            "result": answer.get("result"),
            "own": {**own, "took": clock - own["clock"]},
        }
    minutes, seconds = (plain(str(answer.get(key)), 20) for key in ("minutes_left", "seconds_left"))
    return {"finished": False, "summary": f"{run['arguments']['tool']}: {minutes} minutes left ({seconds} s)", "own": own}


def refused(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the refusal of a node or a guest: its words and nothing else of its answer."""
    return {"failed": True, "msg": plain(str(answer.get("msg") or "it gave no reason"), _MOST_WORDS)}


def lacking(run: Mapping[str, Any], answer: Mapping[str, Any]) -> list[str]:
    """Return the programs that a node lacks, by its refusal to start a run; a guest is nobody's to install in."""
    named = answer.get("lacks")
    if run["machine"] != run["arguments"]["host"] or run["arguments"].get("guest") or not isinstance(named, list):
        return []
    return [program for program in PACKAGES if program in named]


def to_install(answer: Mapping[str, Any], programs: Sequence[str]) -> dict[str, Any]:
    """Return what would run once the programs are installed, from a refusal for lack of them."""
    command, load = _words(answer.get("command")), _words(answer.get("load_command")) or "none"
    seconds = plain(str(answer.get("seconds")), 20)
    what = f"{', '.join(programs)} {'is' if len(programs) == 1 else 'are'} not installed yet; after that, it runs for {seconds} s: {command}; load: {load}"
    manager = answer.get("package_manager")
    return {
        "finished": False,
        "summary": what,
        "package_manager": manager if manager in ("apt", "dnf") else "",
        "lacks": list(programs),
    }


def _words(value: Any) -> str:
    return plain(" ".join(str(word) for word in value), _MOST_WORDS) if isinstance(value, list) else ""


def result_of(run: Mapping[str, Any], seen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a run that has ended; ``LatencyError`` where it has not, or the answer is no result of it."""
    if seen.get("finished") is not True:
        raise LatencyError("the measurement has not ended in its time; it is left to end by itself")
    wanted: Mapping[str, Any] = run["arguments"]
    result: Any = seen.get("result")
    if reason := check_result(result):
        raise LatencyError(f"{run['machine']} answered no result of {run['label']}: {reason}")
    for key, value in _expected(wanted).items():
        found = frozenset(result["cpus"]) if key == "cpus" else result.get(key)
        if found != value or isinstance(found, bool):
            raise LatencyError(
                f"{run['machine']} answered another result than that of {run['label']}: its {key} is {plain(repr(result.get(key)), 100)}, "
                f"not {sorted(value) if key == 'cpus' else repr(value)}"
            )
    platform = wanted.get("platform")
    if platform and bool(result["verdict"].get("virtual")) is not platform["virtual"]:
        raise LatencyError(
            f"{run['machine']} answered another platform than that of {wanted['host']}, on which it runs: "
            f"virtual is {result['verdict'].get('virtual')!r}, not {platform['virtual']}"
        )
    return _doubted(result, seen["own"], by_word=bool(platform))


def _expected(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a result that the controller knows: a guest's word is not asked for them."""
    seconds = wanted["seconds"] or PROFILES[wanted["profile"]]
    fields = {key: wanted.get(key) for key in ("host", "guest", "tool")}
    fields["profile"] = named_profile(wanted["profile"], seconds)
    fields["seconds"] = seconds
    fields["limit_us"] = wanted.get("limit_us") or LIMITS_US[wanted["tool"]]
    if wanted.get("cpus"):
        try:
            fields["cpus"] = parse_cpulist(wanted["cpus"])
        except CpuListError as error:
            raise LatencyError(f"cpus: {error}") from None
    return fields


def _doubted(result: Mapping[str, Any], own: Mapping[str, Any], *, by_word: bool) -> dict[str, Any]:
    """Return a result without a pass that the controller has reasons to doubt; ``by_word``: its machine is a guest that answers itself."""
    doubts = []
    if own["joined"] and by_word:
        doubts.append("it ran already when it was to be started, so how long it took is the guest's word")
    if not own["joined"] and own["took"] < shortest(result["seconds"]):
        doubts.append(f"it ended {own['took']:.0f} s after its start by the controller's clock")
    if result["max_us"] is None or result["max_us"] > result["limit_us"]:
        doubts.append("its maximum is no pass")
    verdict = result["verdict"]
    if verdict["result"] != "pass" or not doubts:
        return dict(result)
    return {**result, "verdict": {**verdict, "result": "inconclusive", "reasons": [*verdict.get("reasons", []), *doubts]}}


def verdicts(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return results as a job's artefact shows them."""
    return [
        {
            **{key: result.get(key) for key in ("guest", "tool", "profile", "max_us")},
            "result": result["verdict"]["result"],
            "virtual": bool(result["verdict"].get("virtual")),
            "reasons": _reasons(result["verdict"]),
        }
        for result in results
    ]


def _reasons(verdict: Mapping[str, Any]) -> list[str]:
    return [plain(str(reason), _MOST_WORDS) for reason in (verdict.get("reasons") or [])[:_MOST_REASONS]]


def complaints(results: Sequence[Mapping[str, Any]], gate: str) -> list[str]:
    """Return the reasons of all verdicts that are no pass and that a gate counts; ``physical`` does not count virtual machines."""
    if gate == "never":
        return []
    counted = [result["verdict"] for result in results if gate == "always" or not result["verdict"].get("virtual")]
    bad = [verdict for verdict in counted if verdict["result"] != "pass"]
    return [reason for verdict in bad for reason in _reasons(verdict) or [verdict["result"]]]
