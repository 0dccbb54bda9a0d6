# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action rt_latency_run with a stand-in for the module that it has run on node or guest."""

from __future__ import annotations

import json
import os
import re
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.realtime.kvm.plugins.action.rt_latency_run import SPEC, ActionModule
from ansible_collections.realtime.kvm.plugins.modules import rt_latency_run
from ansible_collections.realtime.kvm.plugins.plugin_utils import _facts, _project
from unit.fleets import latency
from unit.hostile import LARGE, TEXTS, VALUES, nested
from yaml import safe_load

#: A result with it is none that the report could read.
LONG = max(TEXTS, key=len)

PLATFORM = {"host": "n1", "virtual": False, "partition_digest": "d"}
RESULT = latency("n1", started="2026-11-28T04:05:06Z")
BEGUN = {"changed": False, "seconds": 60, "command": ["cyclictest"], "load_command": [], "platform": PLATFORM}
HALF = {"changed": False, "finished": False, "minutes_left": 1, "seconds_left": 20}
DONE = {"changed": False, "finished": True, "summary": "good", "result": RESULT, "ansible_facts": {"discovered": 1}}
OWN = {"clock": 0.0, "stamp": "20261128T040507Z", "joined": False}
ENDED = {**{key: DONE[key] for key in ("finished", "summary", "result")}, "own": {**OWN, "took": 3700}}


class Controller:
    """Runs the action for node n1, with vm1 in the inventory; ``answers`` are the module's, ``asked`` how it was called."""

    def __init__(self, monkeypatch):
        self.answers, self.asked = [], []
        self.monkeypatch = monkeypatch

    def run(self, *, check=False, facts=None, host="n1", **arguments):
        if arguments["state"] == "planned":
            arguments = {"folder": "/tmp", **arguments}
        task = SimpleNamespace(args=arguments, check_mode=check, async_val=0, action="realtime.kvm.rt_latency_run")
        connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nonexistent"))
        action = ActionModule(task, connection, None, None, None, None)

        def execute(*, module_name, module_args, task_vars):
            assert module_name == "realtime.kvm.rt_latency"
            assert task_vars["inventory_hostname"] == host
            self.asked.append((task.check_mode, module_args))
            return self.answers.pop(0)

        self.monkeypatch.setattr(action, "_execute_module", execute)
        return action.run(task_vars={"inventory_hostname": host, "groups": {"all": ["n1", "vm1"]}, "ansible_facts": facts or {}})


@pytest.fixture(name="controller")
def _controller(monkeypatch):
    return Controller(monkeypatch)


@pytest.fixture(name="one")
def _one(controller):
    (run,) = controller.run(state="planned", profile="standard")["runs"]
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
    begun = controller.run(state="started", run=one)
    own = begun.pop("own")
    assert begun == {"changed": False, "finished": False, "lacks": [], "summary": "runs for 60 s: cyclictest; load: none"}
    assert re.fullmatch(r"\d{8}T\d{6}Z", own["stamp"])
    seen = controller.run(state="polled", run=one, seen={**begun, "own": own})
    assert seen == {"changed": False, "finished": False, "summary": "cyclictest: 1 minutes left (20 s)", "own": own}
    assert controller.run(state="absent", run=one) == {"changed": False}
    assert controller.asked == [(False, {**one["arguments"], "state": state}) for state in ("started", "polled", "absent")]


def test_a_run_that_has_ended_is_not_asked_again(controller, one):
    controller.answers = [DONE]
    seen = controller.run(state="polled", run=one, seen={"finished": False, "summary": "", "own": OWN})
    took = seen["own"].pop("took")
    assert took > 0
    assert seen == {"changed": False, "finished": True, "summary": "good", "result": RESULT, "own": OWN}
    assert controller.run(state="polled", run=one, seen=seen) == seen
    assert len(controller.asked) == 1


@pytest.mark.parametrize("state", ["started", "polled", "absent"])
def test_a_refusal_stays_what_it_is(controller, one, state):
    controller.answers = [
        {"failed": True, "changed": True, "msg": "a \x1b[2J runs already", "ansible_facts": {"bios_address": "x"}}
    ]
    told = controller.run(state=state, run=one, seen={"finished": False, "own": OWN})
    assert told == {"changed": False, "failed": True, "msg": r"a \x1b[2J runs already"}


LACKS = {
    "failed": True, "msg": "n1: cyclictest is not installed", "lacks": ["stress-ng", "cyclictest", "rm -rf /", 7], "seconds": 60, "package_manager": "apt",
    "command": ["cyclictest", "-q"], "load_command": ["stress-ng"],
}  # fmt: skip


def test_a_node_that_lacks_programs_is_reported_for_their_installation(controller, one):
    controller.answers = [LACKS]
    seen = controller.run(state="started", run=one, install=True)
    assert seen == {
        "changed": False, "finished": False, "lacks": ["cyclictest", "stress-ng"], "package_manager": "apt",
        "summary": "cyclictest, stress-ng are not installed yet; after that, it runs for 60 s: cyclictest -q; load: stress-ng",
    }  # fmt: skip
    controller.answers = [{**LACKS, "package_manager": "{{ x }}"}, BEGUN]
    assert controller.run(state="started", run=one, install=True)["package_manager"] == ""
    assert controller.run(state="started", run=one)["lacks"] == []


@pytest.mark.parametrize("guest", [{"name": "plc1"}, {"name": "vm1"}])
def test_a_guest_that_lacks_programs_is_refused(controller, guest):
    controller.answers = [BEGUN] if guest["name"] == "vm1" else []
    (run,) = controller.run(state="planned", node=False, guests=[guest])["runs"]
    controller.answers = [LACKS]
    assert controller.run(state="started", run=run, install=True)["failed"]


@pytest.mark.parametrize(
    "answer", [{"failed": True, "msg": "no", "lacks": []}, {"failed": True, "msg": "no", "lacks": "cyclictest"}]
)
def test_another_refusal_is_none_for_lack_of_programs(controller, one, answer):
    controller.answers = [answer]
    assert controller.run(state="started", run=one, install=True) == {"changed": False, "failed": True, "msg": "no"}


def test_check_mode_says_what_would_run(controller, one):
    controller.answers = [BEGUN]
    assert controller.run(state="started", run=one, check=True)["summary"] == "would run for 60 s: cyclictest; load: none"
    assert controller.asked[0][0] is True


def test_a_result_is_kept_beside_the_earlier_ones(controller, one, tmp_path):
    earlier = {**RESULT, "tool": "oslat"}
    kept = controller.run(state="kept", run=one, seen=ENDED, folder=str(tmp_path), results=[earlier])
    path = tmp_path / "n1" / "20261128T040507Z.json"
    assert (kept["changed"], kept["file"], kept["summary"]) == (True, str(path), "good")
    assert path.read_text() == json.dumps(RESULT, sort_keys=True) + "\n"
    assert kept["results"] == [earlier, RESULT]
    assert [verdict["tool"] for verdict in kept["verdicts"]] == ["oslat", "cyclictest"]
    assert controller.asked == []


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_no_answer_chooses_where_the_controller_writes(controller, one, tmp_path, value):
    result = {**RESULT, "started": value if isinstance(value, str) else "", "more": {"path": value, "folder": value}}
    controller.answers = [
        {**BEGUN, "own": value, "stamp": value, "joined": value},
        {**DONE, "result": result, "own": {"stamp": value}},
    ]
    begun = controller.run(state="started", run=one)
    begun["own"]["clock"] -= 3700
    seen = controller.run(state="polled", run=one, seen=begun)
    if value == LONG:
        with pytest.raises(AnsibleActionFail, match="n1 answered no result of cyclictest"):
            controller.run(state="kept", run=one, seen=seen, folder=str(tmp_path / "out"))
        assert os.listdir(tmp_path) == []
        return
    kept = controller.run(state="kept", run=one, seen=seen, folder=str(tmp_path / "out"))
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert str(path) == kept["file"]
    assert re.fullmatch(r"out/n1/\d{8}T\d{6}Z\.json", str(path.relative_to(tmp_path)))
    assert kept.keys() == {"changed", "file", "summary", "results", "verdicts"}


def test_a_folder_that_cannot_be_told_or_written_is_refused_before_anything_is_measured(controller, tmp_path, monkeypatch):
    monkeypatch.setattr(_project.constants, "CONFIG_FILE", None)
    with pytest.raises(AnsibleActionFail, match=r"^rt_latency_results: the folder results/latency is below the project's, which"):
        controller.run(state="planned", folder="")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AnsibleActionFail, match=r"rt_latency_results: .*/file/n1 cannot be written: .*/file is not a directory"):
        controller.run(state="planned", folder=str(tmp_path / "file"))


def test_results_are_kept_below_the_project(controller, one, tmp_path, monkeypatch):
    (tmp_path / "ansible.cfg").write_text("")
    monkeypatch.setattr(_project.constants, "CONFIG_FILE", str(tmp_path / "ansible.cfg"))
    kept = controller.run(state="kept", run=one, seen=ENDED)
    assert kept["file"] == str(tmp_path / "results" / "latency" / "n1" / "20261128T040507Z.json")


def test_an_earlier_result_is_never_written_over(controller, one, tmp_path):
    first, second = (controller.run(state="kept", run=one, seen=ENDED, folder=str(tmp_path))["file"] for _turn in range(2))
    assert first.endswith("/20261128T040507Z.json")
    assert second.endswith("/20261128T040507Z-2.json")


@pytest.mark.parametrize("host", ["../host_vars", "a/b", "..", ".", "/etc"])
def test_a_host_whose_name_is_a_path_has_no_folder(controller, one, tmp_path, host):
    run = {**one, "arguments": {**one["arguments"], "host": host}}
    seen = {**ENDED, "result": {**RESULT, "host": host}}
    with pytest.raises(AnsibleActionFail, match=r"rt_latency_results: .* cannot name a folder; give the host another name"):
        controller.run(state="kept", run=run, seen=seen, folder=str(tmp_path / "out"), host=host)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("inject", "facts", "refused"),
    [
        (True, {"rt_latency_results": "/etc/ansible/host_vars"}, True),
        (True, {"discovered_interpreter_python": "/usr/bin/python3"}, False),
        (True, {}, False),
        (False, {"rt_latency_results": "/etc/ansible/host_vars"}, False),
    ],
)
def test_a_folder_that_a_node_may_have_chosen_is_refused(controller, one, tmp_path, monkeypatch, inject, facts, refused):
    monkeypatch.setattr(_facts.constants.config, "get_config_value", lambda _name: inject)
    if not refused:
        assert controller.run(state="kept", run=one, seen=ENDED, folder=str(tmp_path), facts=facts)["changed"]
        return
    with pytest.raises(AnsibleActionFail, match=r"rt_latency_results: n1 has answered facts, .* inject_facts_as_vars = false"):
        controller.run(state="kept", run=one, seen=ENDED, folder=str(tmp_path), facts=facts)
    assert os.listdir(tmp_path) == []


def test_check_mode_names_the_file_and_writes_none(controller, one, tmp_path):
    kept = controller.run(state="kept", run=one, seen=ENDED, folder=str(tmp_path), check=True)
    assert kept["changed"]
    assert kept["file"].endswith("/n1/20261128T040507Z.json")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({**ENDED, "finished": False}, "has not ended in its time"),
        ({**ENDED, "result": {**RESULT, "host": "n2"}}, "its host is 'n2', not 'n1'"),
        ({**ENDED, "result": "text"}, "it holds no JSON object"),
        ({**ENDED, "result": {key: value for key, value in RESULT.items() if key != "guest"}}, "it lacks guest"),
        ({**ENDED, "result": {**RESULT, "max_us": 1.75e308}}, "max_us or limit_us is not a number from 0 to 1e"),
        # what the report could not read
        ({**ENDED, "result": {**RESULT, "more": float("inf")}}, "Infinity is no number"),
        ({**ENDED, "result": {**RESULT, "more": nested(100)}}, "nested more than 64 levels deep"),
        ({**ENDED, "result": {**RESULT, "more": LARGE * 4}}, "characters, at most"),
    ],
)
def test_an_answer_that_is_no_result_writes_nothing(controller, one, tmp_path, seen, reason):
    with pytest.raises(AnsibleActionFail, match=reason):
        controller.run(state="kept", run=one, seen=seen, folder=str(tmp_path / "out"))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_refused_by_name(controller, one, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AnsibleActionFail, match=r"rt_latency_results: .*/file/n1 cannot be written: "):
        controller.run(state="kept", run=one, seen=ENDED, folder=str(tmp_path / "file"))


def test_a_verdict_that_counts_fails(controller):
    slow = {**RESULT, "verdict": {"result": "fail", "virtual": True, "reasons": ["virtual", "too slow"]}}
    assert controller.run(state="judged", results=[RESULT, slow]) == {"changed": False}
    with pytest.raises(AnsibleActionFail, match="virtual; too slow"):
        controller.run(state="judged", results=[RESULT, slow], gate="always")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"state": "started"}, "state is started but all of the following are missing: run"),
        ({"state": "kept", "run": {}}, "seen"),
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
