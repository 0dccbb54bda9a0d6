# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bios_baseline_info: the action within Ansible's own process, and the module that runs elsewhere. Both are the same code."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.action.bios_baseline_info import ActionModule
from ansible_collections.realtime.kvm.plugins.modules import bios_baseline_info
from bmc.captures import baselines
from bmc.modules import info
from bmc.replay import PASSWORD, USER, Bmc, make_certificate
from bmc.small import locked, tree


@pytest.fixture(name="bmc")
def _bmc(tmp_path):
    bmc = Bmc(tree(), make_certificate(tmp_path))
    yield bmc
    bmc.close()


def action(bmc, *, transport="local", become=False, **arguments):
    """Run the action; what it cannot do here itself, a module does."""
    options = {
        "address": bmc.address,
        "username": USER,
        "password": PASSWORD,
        "ca_path": str(bmc.certificate),
        "baselines": baselines(),
        "timeout": 20,
        "wait": 5,
        **arguments,
    }
    task = SimpleNamespace(
        args={name: value for name, value in options.items() if value is not ...}, check_mode=False, async_val=0
    )
    connection = SimpleNamespace(transport=transport, _shell=SimpleNamespace(tmpdir="/nonexistent"))
    made = ActionModule(task, connection, SimpleNamespace(become=become), None, None, None)
    made._execute_module = lambda **_options: {"module": "ran"}
    result = made.run(task_vars={})
    header = base64.b64encode(f"{USER}:{options['password']}".encode()).decode()
    assert not any(secret in json.dumps(result) for secret in (str(options["password"]), header))
    return result


def test_the_action_answers_what_the_module_answers(capsys, bmc):
    by_action, by_module = action(bmc), info(capsys, bmc)
    same = {key for key in by_module if key not in ("invocation", "requests")}
    assert same - set(by_action) == set()
    assert {key: by_action[key] for key in same} == {key: by_module[key] for key in same}
    assert set(by_action["invocation"]["module_args"]) == set(by_module["invocation"]["module_args"])
    assert (by_action["changed"], by_action["state"], bmc.machine.patches) == (False, "differs", [])


def test_it_returns_what_is_documented_and_nothing_else(bmc):
    documented = set(yaml.safe_load(bios_baseline_info.RETURN))
    common = {"changed", "changes", "disruption", "diff", "invocation", "warnings"}
    assert set(action(bmc)) - common == documented


@pytest.mark.parametrize("more", [{"transport": "ssh"}, {"become": True}])
def test_elsewhere_or_as_another_user_the_module_runs(bmc, more):
    assert action(bmc, **more)["module"] == "ran"
    assert bmc.machine.requests == [], "the controller itself has asked nothing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"address": ...}, "missing required arguments: address"),
        ({"profile": "fast"}, "value of profile must be one of: latency, balanced, none, got: fast"),
        ({"overides": {}}, "overides"),
        ({"timeout": 0}, "bios_timeout: 0 is not a number of seconds from 1 on"),
        ({"baselines": [{"name": "own"}]}, "bios_baselines: a baseline is a dictionary with name, title"),
        ({"password": "wrong-password"}, r"refuses the credentials (HTTP 401)"),
        ({"overrides": {"ProcC1E": "Off"}}, "bios_overrides: ProcC1E is 'Off', which is not in the registry: Enabled, Disabled"),
    ],
)
def test_what_cannot_be_done_is_a_failure_in_words(bmc, arguments, said):
    result = action(bmc, **arguments)
    assert (result["failed"], result["changed"]) == (True, False)
    assert said in result["msg"]


def test_expected_values_are_waited_for_and_named_if_they_do_not_come(bmc):
    result = action(bmc, expect={"ProcC1E": "Enabled", "CorrEccSmi": "Disabled"}, settle=1)
    assert result["not_taken"] == ["CorrEccSmi"]


def test_notes_are_warnings(bmc):
    bmc.machine.entry("CorrEccSmi")["ReadOnly"] = True
    assert action(bmc)["warnings"] == ["CorrEccSmi cannot be set: locked: the registry has ReadOnly"]


def test_a_lockdown_is_a_result_and_no_failure(tmp_path):
    bmc = Bmc(locked(), make_certificate(tmp_path))
    try:
        result = action(bmc)
        assert (result.get("failed"), result["state"], result["lockdown"]) == (
            None,
            "locked",
            "the system is in lockdown mode (Lockdown.1.SystemLockdown is Enabled)",
        )
    finally:
        bmc.close()
