# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs a node has, how answers are read, and that none chooses a file, a host or a waiting time."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LatencyError
from ansible_collections.realtime.kvm.plugins.plugin_utils._latency import (
    begun,
    complaints,
    file_name,
    over_ssh,
    plan_runs,
    progress,
    result_of,
    verdicts,
)
from unit.fleets import latency

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
    assert begun(answer, check_mode=False) == {
        "finished": False,
        "summary": "runs for 60 s: cyclictest -m; load: stress-ng --cpu 2",
    }
    assert begun({**answer, "load_command": []}, check_mode=True)["summary"] == "would run for 60 s: cyclictest -m; load: none"
    assert begun({}, check_mode=False)["finished"] is False


def test_progress_is_shown_until_there_is_a_result():
    (run,) = plan()
    half = progress(run, {"finished": False, "minutes_left": 1, "seconds_left": 31})
    assert half == {"finished": False, "summary": "cyclictest: 1 minutes left (31 s)"}
    done = progress(run, {"finished": True, "summary": "good", "result": {"a": 1}, "ansible_facts": {"x": 1}})
    assert done == {"finished": True, "summary": "good", "result": {"a": 1}}
    assert progress(run, {"finished": "yes"})["finished"] is False


def seen(**changed):
    return {"finished": True, "summary": "", "result": {**latency("n1", started="2026-11-28T04:05:06Z"), **changed}}


def test_a_result_of_the_run_is_kept_as_it_is():
    (run,) = plan()
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
        ({"started": "../../x"}, "started: '../../x' is no time such as"),
    ],
)
def test_another_answer_is_refused(changed, reason):
    (run,) = plan()
    with pytest.raises(LatencyError, match=reason.replace(".", r"\.")):
        result_of(run, seen(**changed))


def test_an_answer_without_a_result_is_refused():
    (run,) = plan()
    with pytest.raises(LatencyError, match="it holds no JSON object"):
        result_of(run, {"finished": True, "result": None})


def test_a_file_is_named_by_the_time_of_its_run():
    assert file_name({"started": "2026-11-28T04:05:06Z"}) == "20261128T040506Z.json"


@pytest.mark.parametrize(
    "started",
    [
        "../../../inventory/group_vars/all",
        "2026-11-28T04:05:06Z/../../x",
        "/etc/cron.d/x",
        "{{ lookup('pipe', 'id') }}",
        "2026-11-28T04:05:06Z\n",
        "2026-11-28T04:05:06Z\0",
        "2026-13-28T04:05:06Z",
        "2026-1-2T4:5:6Z",
        "٢٠٢٦-11-28T04:05:06Z",
        "",
        None,
        7,
        ["2026-11-28T04:05:06Z"],
        {"a": 1},
    ],
)
def test_anything_else_names_no_file(started):
    with pytest.raises(LatencyError, match="started: "):
        file_name({"started": started})


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
