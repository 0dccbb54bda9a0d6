# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of all modules: how results, notes and failures reach Ansible, and how programs run."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change, Planner
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.runner import Transaction
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import Edges, Outcome
from ansible_collections.realtime.kvm.plugins.module_utils._module._door import finish, run_module, runner_of
from ansible_collections.realtime.kvm.plugins.module_utils._module._ends import ENDS
from ansible_collections.realtime.kvm.plugins.module_utils._watch.runs import leave_runs, read_runs
from unit.hosts import KEPT, SYSCTL, tree
from unit.trees import fill, snapshot

DEFINED, STOPPED = Change("domain a", None, "x"), Change("domain a: state", "running", "shut off", "guest")

# -- finish ----------------------------------------------------------------------------------------


class EndedError(Exception):
    """The module has returned."""


class FakeModule:
    def __init__(self, **params):
        self.params, self.warnings, self.result = params, [], None

    def warn(self, text):
        self.warnings.append(text)

    def exit_json(self, **result):
        self.result = result
        raise EndedError

    def fail_json(self, **result):
        self.exit_json(failed=True, **result)


def finished(body, *, always=None):
    module, planner = FakeModule(max_disruption="none"), Planner()
    with pytest.raises(EndedError):
        finish(module, "x", SimpleNamespace(planner=planner), body, always or {})
    return module


def test_notes_become_warnings():
    def body(edges, _parameters):
        edges.planner.notes += ["one", "two"]
        return Outcome({"a": 1})

    module = finished(body)
    assert module.warnings == ["one", "two"]
    assert module.result == {"a": 1, "changed": False, "changes": [], "diff": [], "disruption": "none"}


def test_every_result_holds_what_always_holds_and_its_own_wins():
    def refused(_edges, _parameters):
        raise HostError("no")

    assert (
        finished(lambda _edges, _parameters: Outcome({"a": 1}), always={"a": 0, "b": 0}).result.items()
        >= {"a": 1, "b": 0}.items()
    )
    assert finished(refused, always={"b": 0}).result == {"failed": True, "b": 0, "changed": False, "msg": "x: no"}


def test_notes_are_shown_with_a_failure_too():
    def refused(edges, _parameters):
        edges.planner.notes.append("one")
        raise HostError("no")

    assert finished(refused).warnings == ["one"]


def test_an_unexpected_error_after_changes_says_what_was_changed():
    def body(edges, _parameters):
        edges.planner.follow_up(Change("file", None, "x"), lambda: None)
        return Outcome({}, after=lambda: {}["bug"])

    result = finished(body).result
    assert (result["failed"], result["changed"]) == (True, True)
    assert result["msg"] == "x: unexpected KeyError: 'bug'. Changed before it failed: file"
    assert "Traceback" in result["exception"]


def test_a_file_that_cannot_be_opened_is_a_refusal_in_words():
    def body(_edges, _parameters):
        raise OSError(36, "File name too long", "/images/x")

    result = finished(body).result
    assert (result["failed"], result["changed"]) == (True, False)
    assert result["msg"] == "x: unexpected OSError: [Errno 36] File name too long: '/images/x'"


def test_other_errors_are_not_taken_for_refusals():
    def broken(_edges, _parameters):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        finish(FakeModule(), "x", SimpleNamespace(planner=Planner()), broken, {})


# -- run_module ------------------------------------------------------------------------------------


def called(capsys, body, *, check=False, info=False, edges=Edges, **arguments):
    with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
        run_module(AnsibleModule({"fsroot": {"type": "str"}}, supports_check_mode=True), "test", body, info=info, edges=edges)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("check", "info"), [(True, False), (False, True), (True, True)])
def test_an_info_module_is_always_in_check_mode(capsys, check, info):
    seen = []

    def body(edges, _parameters):
        seen.append((edges.host.dry, edges.host.captured, edges.host.root, edges.host.owner))
        return Outcome({})

    called(capsys, body, check=check, info=info)
    assert seen == [(True, False, "", "test")]


def test_a_module_that_is_neither_writes(capsys, tmp_path, monkeypatch):
    root = tree(tmp_path)
    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))

    def body(edges, _parameters):
        edges.host.set_value(SYSCTL, "5")
        return Outcome({})

    called(capsys, body)
    assert (root / SYSCTL[1:]).read_text() == "5"


def test_a_snapshot_is_never_written(capsys, tmp_path):
    root = tree(tmp_path)
    before = snapshot(root)

    def body(edges, _parameters):
        assert edges.host.captured
        edges.host.set_file(KEPT, b"x")
        return Outcome({}, after=lambda: edges.host.write_file(KEPT, b"read back") or {})

    assert called(capsys, body, fsroot=f"{root}/")["changed"] is True
    assert snapshot(root) == before


def test_a_body_gets_the_edges_that_its_module_makes(capsys, tmp_path):
    class Mine(Edges):
        pass

    seen = []
    called(capsys, lambda edges, _parameters: seen.append(type(edges)) or Outcome({}), edges=Mine, fsroot=str(tmp_path))
    assert seen == [Mine]


def test_programs_run_in_a_locale_that_can_be_read_and_end_in_their_time(monkeypatch):
    def run_command(command, before_communicate_callback):
        with subprocess.Popen(command) as process:
            if before_communicate_callback:
                before_communicate_callback(process)
        return process.returncode, f"{command}", "why"

    module = SimpleNamespace(run_command=run_command, run_command_environ_update={})
    assert runner_of(module)(("sh", "-c", "exit 3")) == (3, "['sh', '-c', 'exit 3']", "why")
    monkeypatch.setattr(_door, "COMMAND_S", 0.3)
    with pytest.raises(HostError, match=r"^sleep 60 has not ended within .* s and was killed; look at what it waits for, and"):
        runner_of(module)(("sleep", "60"))
    assert runner_of(module)(Transaction(["sleep", "1"]))[0] == 0, "packages are changed to the end"
    assert module.run_command_environ_update == {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


# -- the ends of playbooks -------------------------------------------------------------------------

OPTIONS = {"fsroot": {"type": "str"}, **ENDS}


def run_ending(body, *, info=False, end=leave_runs):
    run_module(AnsibleModule(OPTIONS, supports_check_mode=True), "test", body, info=info, end=end)


@pytest.mark.parametrize(
    ("arguments", "ended", "kept"),
    [
        ({"runs": ["site", "verify"]}, True, ["site", "verify"]),
        ({"runs": []}, True, []),
        ({}, True, []),
        ({"runs": ["site"]}, False, []),
        ({"runs": ["site"], "_ansible_check_mode": True}, True, []),
    ],
)
@pytest.mark.parametrize("info", [False, True])
def test_a_playbook_that_ends_with_a_module_leaves_its_time(capsys, tmp_path, monkeypatch, arguments, ended, kept, info):
    root = fill(tree(tmp_path), {"/etc/realtime-kvm/rt_metrics.json": "{}"})
    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))
    with patch_module_args(arguments), pytest.raises(SystemExit):
        run_ending(lambda _edges, _given: Outcome({}, ended=ended), info=info)
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert sorted(read_runs(str(root))) == kept


def test_a_refusal_is_no_end(capsys, tmp_path, monkeypatch):
    root = fill(tree(tmp_path), {"/etc/realtime-kvm/rt_metrics.json": "{}"})
    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))

    def refused(_edges, _parameters):
        raise HostError("no")

    with patch_module_args({"runs": ["site"]}), pytest.raises(SystemExit):
        run_ending(refused)
    assert json.loads(capsys.readouterr().out)["failed"] is True
    assert read_runs(str(root)) == {}


def test_a_time_that_cannot_be_kept_is_a_warning(capsys, tmp_path, monkeypatch):
    root = fill(tree(tmp_path), {"/etc/realtime-kvm/rt_metrics.json": "{}"})
    monkeypatch.setattr(_door, "Host", lambda _root, **options: Host(str(root), **options))
    warned = []  # Ansible keeps warnings for the process, and elsewhere where the control node's code is loaded
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warned.append(text))
    with patch_module_args({"runs": ["site"]}), pytest.raises(SystemExit):
        run_ending(lambda _edges, _given: Outcome({}), end=lambda names, _root: f"cannot keep {names[0]}")
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert warned == ["cannot keep site"]
