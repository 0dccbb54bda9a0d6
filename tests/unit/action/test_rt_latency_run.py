# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action rt_latency_run with a stand-in for the module that it has run on node or guest."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.realtime.kvm.plugins.action.rt_latency_run import SPEC, ActionModule
from ansible_collections.realtime.kvm.plugins.modules import rt_latency_run
from unit.fleets import latency
from yaml import safe_load

PLATFORM = {"host": "n1", "virtual": False, "partition_digest": "d"}
RESULT = latency("n1", started="2026-11-28T04:05:06Z")
BEGUN = {"changed": False, "seconds": 60, "command": ["cyclictest"], "load_command": [], "platform": PLATFORM}
HALF = {"changed": False, "finished": False, "minutes_left": 1, "seconds_left": 20}
DONE = {"changed": False, "finished": True, "summary": "good", "result": RESULT, "ansible_facts": {"discovered": 1}}


class Controller:
    """Runs the action for node n1, with vm1 in the inventory; ``answers`` are the module's, ``asked`` how it was called."""

    def __init__(self, monkeypatch):
        self.answers, self.asked = [], []
        self.monkeypatch = monkeypatch

    def run(self, *, check=False, **arguments):
        task = SimpleNamespace(args=arguments, check_mode=check, async_val=0, action="realtime.kvm.rt_latency_run")
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
        action = ActionModule(task, connection, None, None, None, None)

        def execute(*, module_name, module_args, task_vars):
            assert module_name == "realtime.kvm.rt_latency"
            assert task_vars["inventory_hostname"] == "n1"
            self.asked.append((task.check_mode, module_args))
            return self.answers.pop(0)

        self.monkeypatch.setattr(action, "_execute_module", execute)
        return action.run(task_vars={"inventory_hostname": "n1", "groups": {"all": ["n1", "vm1"]}})


@pytest.fixture(name="controller")
def _controller(monkeypatch):
    return Controller(monkeypatch)


@pytest.fixture(name="one")
def _one(controller):
    (run,) = controller.run(state="planned")["runs"]
    return run


def test_a_plan_without_guests_of_the_inventory_asks_no_machine(controller):
    assert len(controller.run(state="planned", guests=[{"name": "plc1"}])["runs"]) == 2
    assert controller.asked == []


@pytest.mark.parametrize("check", [False, True])
def test_a_node_is_asked_in_check_mode_what_its_guest_measures_on(controller, check):
    controller.answers = [BEGUN]
    (run,) = controller.run(state="planned", node=False, guests=[{"name": "vm1"}], check=check)["runs"]
    assert controller.asked == [(True, {"host": "n1", "state": "absent"})]
    assert (run["machine"], run["arguments"]["platform"]) == ("vm1", PLATFORM)
    assert (run["turns"] == 0) is check, "the run's own check mode counts, not that of the question"


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "no python"}, {"platform": "text"}, {}])
def test_a_node_that_does_not_answer_has_no_plan(controller, answer):
    controller.answers = [answer]
    if answer.get("failed"):
        assert controller.run(state="planned", guests=[{"name": "vm1"}]) == {"changed": False, **answer}
    else:
        with pytest.raises(AnsibleActionFail, match="n1 did not answer what its guests measure on"):
            controller.run(state="planned", guests=[{"name": "vm1"}])


def test_each_step_asks_once_with_the_same_arguments(controller, one):
    controller.answers = [BEGUN, HALF, {"changed": False}]
    assert controller.run(state="started", run=one) == {
        "changed": False,
        "finished": False,
        "summary": "runs for 60 s: cyclictest; load: none",
    }
    seen = controller.run(state="polled", run=one, seen={"finished": False, "summary": ""})
    assert seen == {"changed": False, "finished": False, "summary": "cyclictest: 1 minutes left (20 s)"}
    assert controller.run(state="absent", run=one) == {"changed": False}
    assert controller.asked == [(False, {**one["arguments"], "state": state}) for state in ("started", "polled", "absent")]


def test_a_run_that_has_ended_is_not_asked_again(controller, one):
    controller.answers = [DONE]
    seen = controller.run(state="polled", run=one, seen={"finished": False, "summary": ""})
    assert seen == {"changed": False, "finished": True, "summary": "good", "result": RESULT}
    assert controller.run(state="polled", run=one, seen=seen) == seen
    assert len(controller.asked) == 1


@pytest.mark.parametrize("state", ["started", "polled", "absent"])
def test_a_refusal_stays_what_it_is(controller, one, state):
    controller.answers = [{"failed": True, "changed": False, "msg": "a measurement runs already"}]
    told = controller.run(state=state, run=one, seen={"finished": False})
    assert (told["failed"], told["msg"]) == (True, "a measurement runs already")


def test_check_mode_says_what_would_run(controller, one):
    controller.answers = [BEGUN]
    assert controller.run(state="started", run=one, check=True)["summary"] == "would run for 60 s: cyclictest; load: none"
    assert controller.asked[0][0] is True


def test_a_result_is_kept_beside_the_earlier_ones(controller, one, tmp_path):
    earlier = {**RESULT, "tool": "oslat"}
    kept = controller.run(state="kept", run=one, seen=DONE, folder=str(tmp_path), results=[earlier])
    path = tmp_path / "n1" / "20261128T040506Z.json"
    assert (kept["changed"], kept["file"], kept["summary"]) == (True, str(path), "good")
    assert path.read_text() == json.dumps(RESULT, sort_keys=True) + "\n"
    assert kept["results"] == [earlier, RESULT]
    assert [verdict["tool"] for verdict in kept["verdicts"]] == ["oslat", "cyclictest"]
    assert controller.asked == []


def test_check_mode_names_the_file_and_writes_none(controller, one, tmp_path):
    kept = controller.run(state="kept", run=one, seen=DONE, folder=str(tmp_path), check=True)
    assert kept["changed"]
    assert kept["file"].endswith("/n1/20261128T040506Z.json")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({**DONE, "finished": False}, "has not ended in its time"),
        ({**DONE, "result": {**RESULT, "started": "../../../x"}}, "is no time such as"),
        ({**DONE, "result": {**RESULT, "host": "n2"}}, "its host is 'n2', not 'n1'"),
        ({**DONE, "result": "text"}, "it holds no JSON object"),
    ],
)
def test_an_answer_that_is_no_result_writes_nothing(controller, one, tmp_path, seen, reason):
    with pytest.raises(AnsibleActionFail, match=reason):
        controller.run(state="kept", run=one, seen=seen, folder=str(tmp_path / "out"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_refused_by_name(controller, one, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AnsibleActionFail, match=r"rt_latency_results: .*/file/n1 cannot be written: "):
        controller.run(state="kept", run=one, seen=DONE, folder=str(tmp_path / "file"))


def test_a_verdict_that_counts_fails(controller):
    slow = {**RESULT, "verdict": {"result": "fail", "virtual": True, "reasons": ["virtual", "too slow"]}}
    assert controller.run(state="judged", results=[RESULT, slow]) == {"changed": False}
    with pytest.raises(AnsibleActionFail, match="virtual; too slow"):
        controller.run(state="judged", results=[RESULT, slow], gate="always")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"state": "started"}, "state is started but all of the following are missing: run"),
        ({"state": "kept", "run": {}}, "seen, folder"),
        ({"state": "planned", "guests": [{"cpus": "1"}]}, "name"),
        ({"state": "planned", "tools": ["sysjitter"]}, "cyclictest"),
    ],
)
def test_options_are_validated(controller, arguments, reason):
    with pytest.raises(AnsibleActionFail, match=reason):
        controller.run(**arguments)


def test_the_documentation_has_the_options_of_the_action():
    def told(options):
        keys = ("type", "elements", "choices", "default", "required")
        found = {}
        for name, option in options.items():
            nested = option.get("options") or option.get("suboptions")
            found[name] = {**{key: option[key] for key in keys if key in option}, **({"": told(nested)} if nested else {})}
        return found

    assert told(safe_load(rt_latency_run.DOCUMENTATION)["options"]) == told(SPEC)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": "started", "run": {}}, '^run: give an item of "runs", which state "planned" returned'),
        ({"state": "absent", "run": {"label": "a", "machine": "n1", "arguments": 3}}, "^run: "),
        ({"state": "started", "run": {"label": "a", "machine": "n1", "arguments": {}}}, "^run: "),
        ({"state": "started", "run": {"label": "a", "machine": ["n1"], "arguments": {"tool": "oslat"}}}, "^run: "),
        ({"state": "judged", "results": [{"tool": "oslat"}]}, r"^results\[0\]: .*; give the \"results\" of state \"kept\""),
        ({"state": "planned", "node": False}, "^rt_latency_node: it is false, and rt_latency_guests is empty"),
        (
            {"state": "planned", "tools": []},
            "^rt_latency_tools: it is empty, so nothing would be measured; choose from cyclictest, ",
        ),
    ],
)
def test_what_no_earlier_state_returned_is_refused(controller, arguments, message):
    with pytest.raises(AnsibleActionFail, match=message):
        controller.run(**arguments)


@pytest.mark.parametrize("state", ["polled", "kept"])
def test_a_look_that_no_earlier_state_returned_is_refused(controller, one, state):
    with pytest.raises(AnsibleActionFail, match=r'^seen: give the result of state "started" or "polled"'):
        controller.run(state=state, run=one, seen={"summary": "x"}, folder="/nonexistent")
