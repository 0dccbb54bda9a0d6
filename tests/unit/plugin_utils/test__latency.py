# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs a node has, how answers are read, and that none chooses a file, a host or a waiting time."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LatencyError
from ansible_collections.realtime.kvm.plugins.plugin_utils._latency import (
    begun,
    complaints,
    over_ssh,
    plan_runs,
    progress,
    refused,
    result_of,
    verdicts,
)
from unit.fleets import latency
from unit.hostile import VALUES, nested, variants

OPTIONS = {
    "tools": ["cyclictest"], "profile": "smoke", "seconds": 0, "node": True, "guests": [], "cpu_set": "realtime", "cpus": "",
    "occupied": False, "load": "stress-ng", "limits_us": {}, "lease": 300, "max_disruption": "reboot",
}  # fmt: skip
PLATFORM = {"host": "n1", "virtual": False, "partition_digest": "d"}


def plan(*, inventory=("n1", "vm1"), platform=None, check_mode=False, **options):
    return plan_runs("n1", {**OPTIONS, **options}, inventory, platform, check_mode=check_mode)


def test_a_node_alone_is_measured_with_what_the_role_says():
    (run,) = plan()
    assert run == {
        "label": "cyclictest", "machine": "n1", "interval": 10, "turns": 10,
        "arguments": {
            "host": "n1", "lease": 300, "profile": "smoke", "seconds": 0, "cpu_set": "realtime", "occupied": False, "load": "stress-ng",
            "max_disruption": "reboot", "cpus": "", "tool": "cyclictest",
        },
    }  # fmt: skip


def test_every_tool_runs_in_one_place_before_the_next():
    runs = plan(tools=["oslat", "cyclictest"], guests=[{"name": "plc1"}, {"name": "plc2"}])
    assert [run["label"] for run in runs] == [
        "oslat", "cyclictest", "oslat in plc1", "cyclictest in plc1", "oslat in plc2", "cyclictest in plc2",
    ]  # fmt: skip


@pytest.mark.parametrize(("options", "variable"), [({"node": False}, "rt_latency_node"), ({"tools": []}, "rt_latency_tools")])
def test_a_plan_without_a_run_is_refused(options, variable):
    """A gate that counts no verdict would be open."""
    with pytest.raises(LatencyError, match=f"^{variable}: it is "):
        plan(**options)


def test_a_guest_of_the_inventory_is_asked_itself_and_any_other_through_its_node():
    guests = [{"name": "plc1", "cpus": "1-3"}, {"name": "vm1", "cpus": None}]
    agent, ssh = plan(node=False, cpus="4", guests=guests, platform=PLATFORM)
    assert (agent["machine"], agent["arguments"]["guest"], agent["arguments"]["cpus"]) == ("n1", "plc1", "1-3")
    assert "platform" not in agent["arguments"]
    assert (ssh["machine"], ssh["arguments"]["guest"], ssh["arguments"]["platform"]) == ("vm1", "vm1", PLATFORM)
    assert ssh["arguments"]["host"] == "n1"
    assert "cpus" not in ssh["arguments"], "CPUs of the node are none of the guest's"
    assert over_ssh(guests, ("n1", "vm1"))
    assert not over_ssh(guests, ("n1",))


@pytest.mark.parametrize(
    ("options", "interval", "turns", "lease"),
    [
        ({"profile": "standard"}, 300, 16, 900),
        ({"profile": "certify"}, 300, 148, 900),
        ({"seconds": 600, "lease": 60}, 50, 16, 150),
        ({"seconds": 5, "lease": 10}, 10, 4, 30),
        ({"profile": "certify", "lease": 3000}, 300, 148, 3000),
    ],
)
def test_a_lease_spans_three_questions_from_the_start_on(options, interval, turns, lease):
    (run,) = plan(**options)
    assert (run["interval"], run["turns"], run["arguments"]["lease"]) == (interval, turns, lease)


def test_limits_belong_to_their_tool():
    first, second = plan(tools=["oslat", "cyclictest"], limits_us={"oslat": 15})
    assert first["arguments"]["limit_us"] == 15
    assert "limit_us" not in second["arguments"]


def test_check_mode_asks_after_nothing():
    assert [run["turns"] for run in plan(check_mode=True, tools=["oslat", "cyclictest"])] == [0, 0]


# -- answers ---------------------------------------------------------------------------------------


def test_what_runs_is_shown():
    answer = {"seconds": 60, "command": ["cyclictest", "-m"], "load_command": ["stress-ng", "--cpu", "2"]}
    assert begun(answer, 7.5, "T", check_mode=False) == {
        "finished": False,
        "summary": "runs for 60 s: cyclictest -m; load: stress-ng --cpu 2",
        "own": {"clock": 7.5, "stamp": "T", "joined": False},
    }
    bare = begun({**answer, "load_command": []}, 0, "", check_mode=True)
    assert bare["summary"] == "would run for 60 s: cyclictest -m; load: none"
    assert begun({}, 0, "", check_mode=False)["finished"] is False
    assert begun({"joined": True}, 0, "", check_mode=False)["own"]["joined"] is True
    assert begun({"joined": "yes"}, 0, "", check_mode=False)["own"]["joined"] is False


def test_progress_is_shown_until_there_is_a_result():
    (run,) = plan()
    start = {"own": {"clock": 10, "stamp": "T", "joined": False}}
    half = progress(run, start, {"finished": False, "minutes_left": 1, "seconds_left": 31}, 20)
    assert half == {"finished": False, "summary": "cyclictest: 1 minutes left (31 s)", **start}
    answer = {"finished": True, "summary": "good", "result": {"a": 1}, "ansible_facts": {"x": 1}, "own": {"took": 10**9}}
    done = progress(run, half, answer, 75)
    assert done == {"finished": True, "summary": "good", "result": {"a": 1}, "own": {**start["own"], "took": 65}}
    assert progress(run, start, {"finished": "yes"}, 20)["finished"] is False


def test_an_answers_words_are_printable_and_its_refusal_is_only_words():
    (run,) = plan()
    start = {"own": {"clock": 0, "stamp": "T", "joined": False}}
    for text in ("\x1b]0;owned\x07", "a\nb", "{{ x }}", "x" * (10 << 20), nested(), None):
        shown = [
            begun({"seconds": text, "command": [text], "load_command": [text]}, 0, "T", check_mode=False)["summary"],
            progress(run, start, {"minutes_left": text, "seconds_left": text}, 1)["summary"],
            progress(run, start, {"finished": True, "summary": text}, 1)["summary"],
            refused({"failed": True, "msg": text})["msg"],
        ]
        assert all(line.isprintable() and len(line) < 10_000 for line in shown)
    answer = {
        "failed": True,
        "msg": "no",
        "ansible_facts": {"bios_address": "x"},
        "add_host": {"host_name": "n2"},
        "exception": "x",
    }
    assert refused(answer) == {"failed": True, "msg": "no"}


OWN = {"clock": 0, "stamp": "20261128T040506Z", "joined": False, "took": 3605}


def seen(own=None, **changed):
    return {
        "finished": True,
        "summary": "",
        "result": {**latency("n1", started="2026-11-28T04:05:06Z"), **changed},
        "own": own or OWN,
    }


def test_a_result_of_the_run_is_kept_as_it_is():
    (run,) = plan(profile="standard")
    assert result_of(run, seen(more={"x": "{{ y }}"})) == seen(more={"x": "{{ y }}"})["result"]


def test_a_run_that_has_not_ended_has_no_result():
    (run,) = plan()
    with pytest.raises(LatencyError, match="has not ended in its time; it is left to end by itself"):
        result_of(run, {**seen(), "finished": False})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"host": "n2"}, "n1 answered another result than that of cyclictest: its host is 'n2', not 'n1'"),
        ({"guest": "plc1"}, "its guest is 'plc1', not None"),
        ({"tool": "oslat"}, "its tool is 'oslat', not 'cyclictest'"),
        ({"verdict": {"result": "good"}}, "n1 answered no result of cyclictest: its verdict is not one of"),
        ({"profile": "certify"}, "its profile is 'certify', not 'standard'"),
        ({"seconds": 60}, "its seconds is 60, not 3600"),
        ({"seconds": True}, "cpus or seconds are not numbers"),
        ({"limit_us": 4000}, "its limit_us is 4000, not 40"),
        ({"cpus": [0]}, "its cpus is [0], not [2, 3, 4, 5]"),
        ({"cpus": [[2]]}, "cpus or seconds are not numbers"),
    ],
)
def test_another_answer_is_refused(changed, reason):
    (run,) = plan(profile="standard", cpus="2-5")
    with pytest.raises(LatencyError, match=re.escape(reason)):
        result_of(run, seen(**changed))


@pytest.mark.parametrize(
    ("options", "profile", "seconds"),
    [({"seconds": 5}, "custom", 5), ({"profile": "certify"}, "certify", 43200), ({}, "smoke", 60)],
)
def test_the_profile_is_what_was_asked_for(options, profile, seconds):
    (run,) = plan(**options)
    kept = result_of(run, seen({**OWN, "took": seconds}, profile=profile, seconds=seconds))
    assert (kept["profile"], kept["seconds"], kept["verdict"]["result"]) == (profile, seconds, "pass")


@pytest.mark.parametrize(
    ("own", "changed", "reason"),
    [
        ({"took": 70}, {}, "it ended 70 s after its start by the controller's clock"),
        ({}, {"max_us": 41}, "its maximum is no pass"),
        ({}, {"max_us": None}, "its maximum is no pass"),
    ],
)
def test_a_pass_that_the_controller_doubts_is_none(own, changed, reason):
    """A guest answers after a minute that it was measured for an hour, or passes itself."""
    (run,) = plan(profile="standard")
    verdict = result_of(run, seen({**OWN, **own}, **changed))["verdict"]
    assert (verdict["result"], verdict["reasons"]) == ("inconclusive", [reason])
    failed = seen({**OWN, **own}, **changed, verdict={"result": "fail", "virtual": False, "reasons": ["slow"]})
    assert result_of(run, failed)["verdict"]["reasons"] == ["slow"], "a failure stays what it is"


def test_a_run_that_was_joined_has_no_beginning_to_compare():
    (run,) = plan(profile="standard")
    joined = {**OWN, "joined": True, "took": 5}
    assert result_of(run, seen(joined))["verdict"]["result"] == "pass"


def test_a_guest_that_answers_itself_neither_joins_nor_chooses_its_platform():
    guest = {"guest": "vm1"}
    (run,) = plan(profile="standard", node=False, guests=[{"name": "vm1"}], platform=PLATFORM)
    assert result_of(run, seen(**guest))["verdict"]["result"] == "pass"
    verdict = result_of(run, seen({**OWN, "joined": True}, **guest))["verdict"]
    assert verdict["result"] == "inconclusive"
    assert "is the guest's word" in verdict["reasons"][0]
    with pytest.raises(LatencyError, match="answered another platform than that of n1"):
        result_of(run, seen(**guest, verdict={"result": "pass", "virtual": True, "reasons": []}))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_a_nodes_word_of_itself_is_two_fields(value):
    answer = {"host": value, "virtual": value, "partition_digest": value, "more": value}
    (run,) = plan(node=False, guests=[{"name": "vm1"}], platform=answer)
    platform = run["arguments"]["platform"]
    assert platform.keys() == {"host", "virtual", "partition_digest"}
    assert (platform["host"], platform["virtual"]) == ("n1", True)
    assert platform["partition_digest"].isprintable()
    assert len(platform["partition_digest"]) <= 64


def test_no_value_in_any_field_of_a_result_ends_in_a_traceback():
    (run,) = plan(profile="standard", cpus="2-5")
    small = {key: value for key, value in seen()["result"].items() if key not in ("per_cpu", "histogram")}
    good = {**small, "per_cpu": [{"cpu": 2, "max_us": 9}], "histogram": {"bucket_us": 1, "counts": {"3": {"2": 7}}}}
    kept = 0
    for result in variants(good):
        try:
            found = result_of(run, {**seen(), "result": result})
        except LatencyError:
            continue
        kept += 1
        assert [found[key] for key in ("host", "guest", "tool", "profile", "seconds", "limit_us", "cpus")] == [
            "n1", None, "cyclictest", "standard", 3600, 40, [2, 3, 4, 5],
        ]  # fmt: skip
        (verdict,) = verdicts([found])
        assert verdict.keys() == {"guest", "tool", "profile", "max_us", "result", "virtual", "reasons"}
        assert verdict["tool"] == "cyclictest"
        assert all(reason.isprintable() for reason in verdict["reasons"])
        assert all(reason.isprintable() for reason in complaints([found], "always"))
    assert kept


def test_an_answer_without_a_result_is_refused():
    (run,) = plan()
    with pytest.raises(LatencyError, match="it holds no JSON object"):
        result_of(run, {"finished": True, "result": None})


# -- verdicts --------------------------------------------------------------------------------------


def result(verdict, *reasons, virtual=False):
    return {**seen()["result"], "verdict": {"result": verdict, "virtual": virtual, "reasons": list(reasons)}}


def test_the_artefact_has_verdicts_without_samples():
    (verdict,) = verdicts([result("fail", "too slow")])
    assert verdict == {
        "guest": None, "tool": "cyclictest", "profile": verdict["profile"], "max_us": verdict["max_us"],
        "result": "fail", "virtual": False, "reasons": ["too slow"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("gate", "expected"),
    [("physical", ["slow", "doubt", "lost"]), ("always", ["slow", "doubt", "lost", "virtual", "stall", "fail"]), ("never", [])],
)
def test_the_gate_says_whose_verdict_counts(gate, expected):
    results = [
        result("pass"), result("pass", "virtual", virtual=True), result("fail", "slow", "doubt"), result("inconclusive", "lost"),
        result("inconclusive", "virtual", "stall", virtual=True), result("fail", virtual=True),
    ]  # fmt: skip
    assert complaints(results, gate) == expected
