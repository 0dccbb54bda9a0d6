# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every playbook refuses facts that stand in for a variable: of each role, of the playbooks, or Ansible's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
(CHECK,) = yaml.safe_load((ROOT / "playbooks/tasks/facts.yml").read_text())
RESERVED = re.compile(CHECK["vars"]["reserved"].replace(" ", ""))
#: bios refuses all facts that are taken for variables; site begins with plan.
PLAYBOOKS = sorted(
    path for path in (ROOT / "playbooks").glob("*.yml") if path.stem not in ("awx", "bios", "site")
)  # awx asks no node


def every(node: object) -> Iterator[dict]:
    """Every mapping of a file."""
    if isinstance(node, list):
        for item in node:
            yield from every(item)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from every(value)


def names() -> set[str]:
    found: set[str] = set()
    for path in [*ROOT.glob("roles/*/defaults/**/*.yml"), *ROOT.glob("roles/*/vars/**/*.yml")]:
        found |= set(yaml.safe_load(path.read_text()) or {})
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]:
        text = path.read_text()
        found |= set(re.findall(r"\b_*(?:realtime|rt|bios)_\w+\b", text)) - {"rt_audit", "rt_domain", "rt_domain_info"}
        for task in every(yaml.safe_load(text)):
            found |= {task["register"]} if "register" in task else set()
            found |= set(task.get("ansible.builtin.set_fact") or {})
    return {name for name in found if name.count("_") > 1 or not name.startswith("rt_")}


@pytest.mark.parametrize("name", sorted(names()))
def test_no_fact_may_have_the_name_of_a_variable(name):
    assert RESERVED.match(name)


@pytest.mark.parametrize(
    "name",
    ["inventory_hostname", "limit", "ansible_limit", "facts", "groups", "skip_tags", "check_mode", "play_hosts_all", "needs"],
)
def test_no_fact_may_have_a_name_of_ansible(name):
    assert RESERVED.match(name)


@pytest.mark.parametrize(
    "name",
    [
        "local", "distribution", "os_family", "architecture", "packages", "services", "virtualization_role", "virtualization_type", "ens1", "loop0",
        "discovered_interpreter_python", "hostname", "fqdn", "kernel", "lsb", "user_id", "module_setup", "gather_subset", "facter_role", "realtime",
    ],
)  # fmt: skip
def test_facts_of_a_machine_are_no_such_names(name):
    assert not RESERVED.match(name)


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_playbook_begins_with_the_check(path):
    play = yaml.safe_load(path.read_text())[0]
    first, *_others = play.get("pre_tasks") or play["tasks"]
    assert first["ansible.builtin.import_tasks"] == "tasks/facts.yml"


def imports(path):
    """The files of tasks that a file of tasks, or the first play of a playbook, imports, in this order."""
    content = yaml.safe_load(path.read_text())
    tasks = content[0].get("tasks", ()) if "hosts" in content[0] else content
    return [Path(task.get("ansible.builtin.import_tasks", "")).name for task in tasks]


def test_the_check_is_repeated_before_a_refusal():
    assert imports(ROOT / "playbooks/tasks/reached.yml")[0] == "facts.yml"


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_the_check_is_repeated_after_the_last_answer_and_before_the_first_change(path):
    """A look and what is asked after it end with the check."""
    found = imports(path)
    if "show_and_refuse.yml" in found:
        assert found[found.index("show_and_refuse.yml") - 1] in ("facts.yml", "look.yml")
    assert imports(ROOT / "playbooks/tasks/look.yml").count("reached.yml") == 1
    assert imports(ROOT / "playbooks/tasks/further.yml")[-1] == "facts.yml"


def test_no_line_to_type_holds_what_a_node_calls_itself():
    for path in [*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("playbooks/**/*.yml")]:
        assert not re.search(r"--limit[^)]*inventory_hostname", path.read_text()), path


def test_names_of_nodes_come_from_ansible_alone():
    for path in ROOT.glob("playbooks/**/*.yml"):
        assert "map(attribute='inventory_hostname')" not in path.read_text(), path
