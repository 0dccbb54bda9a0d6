# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every role, module and module_utils file of the collection has in common."""

from __future__ import annotations

import ast
import fnmatch
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NAME = "realtime.kvm"

ROLES = sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir())
MODULES = sorted(path for path in (ROOT / "plugins" / "modules").glob("*.py") if path.stem != "__init__")

#: The top of the tree as it is shipped; everything else there has to be kept out by galaxy.yml's build_ignore.
SHIPPED = {
    "CHANGELOG.rst",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "ansible.cfg",
    "changelogs",
    "docs",
    "extensions",
    "galaxy.yml",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "roles",
}

#: Variables that roles share. Those of reboots are in the defaults of the roles that reboot, which name them.
SHARED = {"realtime_guests", "realtime_networks", "realtime_priority_limit", "realtime_max_disruption"}

TASK_KEYWORDS = {
    "always",
    "become",
    "become_user",
    "block",
    "changed_when",
    "check_mode",
    "delegate_to",
    "diff",
    "environment",
    "failed_when",
    "loop",
    "loop_control",
    "module_defaults",
    "name",
    "no_log",
    "register",
    "rescue",
    "run_once",
    "tags",
    "vars",
    "when",
}


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def by_name(path: Path) -> str:
    return path.stem


def canonical(value: Any) -> str:
    """Text that distinguishes 1 from true and from "1"."""
    return json.dumps(value, sort_keys=True)


# The tree


def top_of_tree() -> list[str]:
    """The tracked entries at the top, or all entries where the tree is no git checkout."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-tree", "--name-only", "HEAD"]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            return answer.stdout.splitlines()
    return os.listdir(ROOT)


def test_only_what_is_meant_to_be_shipped_is_built():
    ignored = read_yaml(ROOT / "galaxy.yml")["build_ignore"]
    stray = [
        entry
        for entry in top_of_tree()
        if entry not in SHIPPED and not any(fnmatch.fnmatch(entry, pattern) for pattern in ignored)
    ]
    assert stray == [], "name these in galaxy.yml's build_ignore"
    kept_out = [entry for entry in SHIPPED for pattern in ignored if fnmatch.fnmatch(entry, pattern)]
    assert kept_out == []


def test_name_and_version():
    galaxy = read_yaml(ROOT / "galaxy.yml")
    assert f"{galaxy['namespace']}.{galaxy['name']}" == NAME
    assert len(galaxy["tags"]) <= 20, "Galaxy refuses more"


def test_action_group_names_every_module():
    groups = read_yaml(ROOT / "meta" / "runtime.yml").get("action_groups", {})
    if "all" in groups:
        assert sorted(groups["all"]) == [path.stem for path in MODULES]


# Roles


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_role_is_complete(role):
    wanted = ["README.md", "meta/argument_specs.yml", "meta/main.yml", "tasks/main.yml"]
    assert [file for file in wanted if not (role / file).is_file()] == []


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_role_has_a_scenario(role):
    scenario = ROOT / "molecule" / role.name
    assert {"molecule.yml", "prepare.yml", "converge.yml", "tests"} <= {path.name for path in scenario.iterdir()}
    assert f"realtime.kvm.{role.name}\n" in (scenario / "converge.yml").read_text()


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_role_entry_points_exist(role):
    entry_points = read_yaml(role / "meta" / "argument_specs.yml")["argument_specs"]
    assert "main" in entry_points
    assert [name for name in entry_points if not (role / "tasks" / f"{name}.yml").is_file()] == []


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_role_options_belong_to_the_role(role):
    """An option is the role's own, one of the few that the whole collection shares, or the result of another role, which is optional."""
    prefixes, results = (f"{role.name}_", "realtime_"), {f"{other.name}_result" for other in ROLES}
    foreign = [
        option
        for _entry, option, spec in role_options(role)
        if not option.startswith(prefixes)
        and not (option in results and spec == {"description": spec["description"], "type": "dict"})
    ]
    assert foreign == []


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_what_a_role_reads_from_elsewhere_is_among_its_options(role):
    """Shared variables, and results of other roles but for those that it runs itself."""
    text = "\n".join(path.read_text() for folder in ("tasks", "vars", "defaults") for path in (role / folder).rglob("*.yml"))
    own = {role.name, *re.findall(rf"name: {NAME}\.(\w+)", text)}
    results = {f"{other.name}_result" for other in ROLES if other.name not in own}
    read = {name for name in re.findall(r"(?<![\w.])\w+", text) if name in results or name in SHARED}
    assert sorted(read - {option for _entry, option, _spec in role_options(role)}) == []


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_role_defaults_are_the_documented_ones(role):
    defaults_file = role / "defaults" / "main.yml"
    defaults = (read_yaml(defaults_file) if defaults_file.is_file() else None) or {}
    findings = []
    documented = set()
    for entry, option, spec in role_options(role):
        documented.add(option)
        if option.startswith("realtime_"):  # shared by roles, so it has its default where it is used (docs/test_roles.py)
            continue
        findings += [f"{entry}: {option}: {finding}" for finding in compare_default(option, spec, defaults)]
    findings += [f"{option}: in defaults, not in argument_specs" for option in defaults if option not in documented]
    assert findings == []


def role_options(role: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """(entry point, option, its spec) for every top-level option of a role."""
    entry_points = read_yaml(role / "meta" / "argument_specs.yml")["argument_specs"]
    return [
        (entry, option, spec)
        for entry, content in entry_points.items()
        for option, spec in (content.get("options") or {}).items()
    ]


def compare_default(option: str, spec: dict[str, Any], defaults: dict[str, Any]) -> list[str]:
    """What is wrong between one option's spec and the role's defaults."""
    if option not in defaults:
        return ["default documented, but not in defaults"] if "default" in spec else []
    if spec.get("required"):
        return ["required, yet it has a default"]
    value = defaults[option]
    if "default" not in spec:
        # A default that is computed from something else is described in words.
        computed = isinstance(value, str) and "{{" in value
        return [] if computed else [f"default {value!r} not documented"]
    if canonical(spec["default"]) != canonical(value):
        return [f"documented default {spec['default']!r}, real default {value!r}"]
    return []


@pytest.mark.parametrize(
    ("spec", "defaults", "sound"),
    [
        ({"default": 1}, {"x": 1}, True),
        ({"default": 1}, {"x": True}, False),
        ({"default": 1}, {"x": 2}, False),
        ({"default": {"a": [1]}}, {"x": {"a": [1]}}, True),
        ({"default": 1}, {}, False),
        ({}, {}, True),
        ({}, {"x": 1}, False),
        ({}, {"x": "{{ y }}"}, True),
        ({"required": True}, {}, True),
        ({"required": True}, {"x": 1}, False),
    ],
)
def test_compare_default(spec, defaults, sound):
    assert (compare_default("x", spec, defaults) == []) is sound


INCLUDES = ("include_tasks", "import_tasks", "include_vars", "include_role", "import_role")


def included_from_facts(text: str) -> list[str]:
    """What a role includes by a name that is made of what a node says of itself; a dictionary of names is an allow-list."""
    lines = re.findall(rf"(?:{'|'.join(INCLUDES)}):(?:\n +file:)? (.*)", text)
    return [line for line in lines if "ansible_facts" in re.sub(r"\{'[^{}]*'\}\[ansible_facts\['\w+'\]\]", "", line)]


@pytest.mark.parametrize("role", ROLES, ids=by_name)
def test_no_file_is_named_by_a_node(role):
    assert [line for path in role.rglob("tasks/*.yml") for line in included_from_facts(path.read_text())] == []


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("  ansible.builtin.include_vars: \"{{ ansible_facts['os_family'] }}.yml\"", False),
        ("  ansible.builtin.include_tasks:\n    file: \"x_{{ ansible_facts['os_family'] }}.yml\"", False),
        ("  ansible.builtin.include_vars: \"{{ {'Debian': 'Debian.yml'}[ansible_facts['os_family']] }}\"", True),
        ("  ansible.builtin.include_tasks: apt.yml", True),
    ],
)
def test_included_from_facts(text, sound):
    assert (included_from_facts(text) == []) is sound


# Modules


def module_docs(path: Path) -> dict[str, Any]:
    """The constants of a module that hold YAML, parsed."""
    docs = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
                    docs[target.id] = yaml.safe_load(node.value.value)
    return docs


def actions(node: Any) -> list[str]:
    """The names of the actions in a list of example tasks or plays."""
    if isinstance(node, list):
        return [action for item in node for action in actions(item)]
    if not isinstance(node, dict):
        return []
    if "hosts" in node:
        lists = ("pre_tasks", "tasks", "post_tasks", "handlers")
        return [action for key in lists for action in actions(node.get(key))]
    nested = [action for key in ("block", "rescue", "always") for action in actions(node.get(key))]
    return nested + [key for key in node if key not in TASK_KEYWORDS]


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_module_is_documented(module):
    docs = module_docs(module)
    assert [part for part in ("DOCUMENTATION", "EXAMPLES", "RETURN") if not docs.get(part)] == []
    assert docs["DOCUMENTATION"]["module"] == module.stem


@pytest.mark.parametrize("module", MODULES, ids=by_name)
def test_module_examples_show_the_full_name(module):
    used = actions(module_docs(module).get("EXAMPLES"))
    assert f"{NAME}.{module.stem}" in used
    assert [action for action in used if action.count(".") < 2] == []
