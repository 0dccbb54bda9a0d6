# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook awx with the modules of awx.awx, against a mock of AWX's API (awx_api.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from playbooks.awx_api import COLLECTIONS, Awx, needs_awx
from playbooks.conftest import environment
from tools.patterns import read_source

ROOT = Path(__file__).resolve().parents[2]
pytestmark = needs_awx
SOURCE = read_source()


@pytest.fixture(name="setup")
def _setup(tmp_path, collections):
    """A mock of AWX, and runs of the playbook against it."""
    awx = Awx()

    def run(*arguments, **variables):
        awx.changes.clear()
        given = [text for name, value in variables.items() for text in ("-e", f"{name}={value}")]
        env = {**environment(tmp_path, f"{collections}:{COLLECTIONS}"), **awx.environment}
        command = [sys.executable, "-m", "ansible.cli.playbook", "realtime.kvm.awx", *arguments, *given]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
        return done.returncode, done.stdout + done.stderr, list(awx.changes)

    yield awx, run
    awx.stop()


GIVEN = {
    "awx_inventory": "plant",
    "awx_project_url": "https://git.example.com/realtime.git",
    "awx_image": "registry.example.com/realtime/kvm_ee:1",
    "awx_slices": "3",
}


def test_the_first_run_makes_everything_and_the_second_changes_nothing(setup):
    awx, run = setup
    code, said, _changes = run(**GIVEN)
    assert code == 0, said
    templates = awx.named("job_templates")
    assert set(templates) == {template["name"] for template in SOURCE["awx_templates"]}
    for template in SOURCE["awx_templates"]:
        made = templates[template["name"]]
        assert made["ask_limit_on_launch"], "else a launch with a limit runs on all hosts"
        assert made["job_slice_count"] == (3 if template.get("sliced") else 1)
        assert awx.names_of(made, "labels") == SOURCE["awx_labels"]
        asked = [question["variable"] for question in awx.surveys.get(made["id"], {"spec": []})["spec"]]
        assert asked == [SOURCE["awx_questions"][name]["variable"] for name in template.get("survey", [])]
        assert made["survey_enabled"] == bool(asked)
        assert (ROOT / made["playbook"]).is_file()
    injected = awx.named("credential_types")["BMC of real-time nodes"]["injectors"]["extra_vars"]
    assert injected == {"bios_username": "{{ username }}", "bios_password": "{{ password }}"}
    for workflow in SOURCE["awx_workflows"]:
        number = awx.named("workflow_job_templates")[workflow["name"]]["id"]
        made = awx.lists["workflow_job_template_nodes"].values()
        nodes = {node["identifier"]: node for node in made if node["workflow_job_template"] == number}
        assert {name: awx.names_of(node, "success_nodes") for name, node in nodes.items()} == {
            "plan": ["approve"], "approve": ["site"], "site": ["verify"], "verify": [],
        }  # fmt: skip
        assert nodes["approve"]["related"]["unified_job_template"].startswith("/api/v2/workflow_approval_templates/")
        slices = None if workflow["sliced"] else 1
        assert {name: node.get("job_slice_count") for name, node in nodes.items()} == {
            "plan": None, "approve": None, "site": slices, "verify": slices,
        }  # fmt: skip
    assert set(awx.named("schedules")) == {schedule["name"] for schedule in SOURCE["awx_schedules"]}

    def counted():
        return {name: len(things) for name, things in awx.lists.items() if name != "project_updates"}  # there is one in each run

    kept = counted()
    code, said, _changes = run(**GIVEN)
    assert code == 0, said
    assert " changed=0 " in said
    assert counted() == kept

    awx.revision = "b2"
    code, said, _changes = run(**GIVEN)
    assert code == 0, said
    assert " changed=1 " in said, "a new revision of the project is fetched before templates are made"

    templates["realtime-site"]["job_slice_count"] = 7
    code, said, _changes = run("--check", **GIVEN)
    assert code == 0, said
    assert " changed=1 " in said, "check mode shows what somebody has changed by hand"
    assert templates["realtime-site"]["job_slice_count"] == 7


def test_without_an_inventory_there_are_templates_but_no_workflow(setup):
    awx, run = setup
    awx.add("projects", {"name": SOURCE["awx_project"]["name"], "organization": 1})
    code, said, _changes = run()
    assert code == 0, said
    assert len(awx.lists["job_templates"]) == len(SOURCE["awx_templates"])
    assert {template["job_slice_count"] for template in awx.lists["job_templates"].values()} == {1}
    assert awx.lists.get("schedules", {}) == awx.lists["workflow_job_templates"] == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("awx_forks", "many"), ("awx_project_type", "svn"), ("awx_credentials", "plant"), ("awx_schedules_enabled", "maybe")],
)
def test_what_awx_would_take_for_something_else_is_refused_before_anything_is_made(setup, name, value):
    _awx, run = setup
    code, said, changes = run(**{**GIVEN, name: value})
    assert code != 0
    assert "awx: nothing was changed. " in " ".join(said.split())
    assert changes == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"awx_inventory": "nowhere"}, "no inventory nowhere (awx_inventory)"),
        ({"awx_inventory": "twice"}, "2 inventory twice (awx_inventory)"),
        ({"awx_organization": "Plants"}, "no organization Plants (awx_organization)"),
        ({"awx_credentials": "[machine, bmc]"}, "no credential bmc (awx_credentials)"),
        ({"awx_project_url": ""}, "no project realtime-kvm (awx_project_url is empty)"),
    ],
)
def test_what_awx_does_not_have_is_refused_before_anything_is_made(setup, given, told):
    awx, run = setup
    awx.add("credentials", {"name": "machine"})
    for organization in (1, 2):
        awx.add("inventories", {"name": "twice", "organization": organization})
    known = {**GIVEN, **given}
    code, said, changes = run("-e", json.dumps({"awx_credentials": yaml.safe_load(known.pop("awx_credentials", "[]"))}), **known)
    assert code != 0
    assert f"awx: nothing was changed. In AWX there is {told}. Make what is missing" in " ".join(said.split())
    assert changes == []


def test_names_that_awx_has_and_numbers_are_taken(setup):
    awx, run = setup
    awx.add("credentials", {"name": "machine"})
    number = awx.named("inventories")["plant"]["id"]
    code, said, _changes = run(
        "-e", "{awx_credentials: [machine], awx_schedules_enabled: null}", **{**GIVEN, "awx_inventory": number}
    )
    assert code == 0, said
    assert {schedule["enabled"] for schedule in awx.lists["schedules"].values()} == {True}


def test_check_mode_says_that_it_cannot_show_a_first_set_up(setup):
    _awx, run = setup
    code, said, changes = run("--check", **GIVEN)
    assert code != 0
    said = " ".join(said.split())
    assert "awx: check mode compares a set-up that is there" in said
    assert "no execution environment realtime-kvm (awx_image)" in said
    assert "run the playbook without --check first" in said
    assert changes == []
