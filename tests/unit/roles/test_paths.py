# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No role or playbook loads a file, or writes one on the controller, whose name a node's answer chooses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted(path for name in ("roles", "playbooks") for path in (ROOT / name).rglob("*.yml"))
LOADS = re.compile(r"^(ansible\.builtin\.)?(include|import)_(vars|tasks|role|playbook)$")
#: What a template of a path may be: a look-up in a dictionary of literals, or an item of a filtered list of literals.
DICTIONARY = re.compile(r"^\{\{ (\{'[^{}]*'\})\[[\w\[\]'.]+\] \}\}$")
ANSWERS = (
    "../../../inventory/group_vars/all",
    "Debian/../../x",
    "{{ lookup('pipe', 'id') }}",
    "/etc/passwd",
    "Gentoo",
    "",
    None,
    7,
)


def tasks(node):
    """Every mapping of a file, tasks of blocks included."""
    if isinstance(node, list):
        for item in node:
            yield from tasks(item)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from tasks(value)


def loads():
    """Every task that loads a file by a template, with its file."""
    for path in FILES:
        for task in tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
            for key, value in task.items():
                names = value if isinstance(value, str) else " ".join(map(str, value.values())) if isinstance(value, dict) else ""
                if LOADS.match(str(key)) and "{{" in names:
                    yield pytest.param(task, names, id=f"{path.relative_to(ROOT)}:{task.get('name')}")


@pytest.mark.parametrize(("task", "names"), list(loads()))
def test_a_path_with_a_fact_in_it_is_one_of_a_few(task, names):
    literal = DICTIONARY.match(names)
    if literal:
        assert set(yaml.safe_load(literal[1]).values()) <= {"Debian.yml", "RedHat.yml", "Ubuntu.yml"}
        return
    variable = task["loop_control"]["loop_var"]
    assert names == f"{{{{ {variable} }}}}.yml"
    for answer in ANSWERS:
        facts = {"os_family": answer, "distribution": answer}
        assert Templar(loader=None, variables={"ansible_facts": facts}).template(trust_as_template(task["loop"])) == []
    known = {"os_family": "Debian", "distribution": "Ubuntu"}
    assert Templar(loader=None, variables={"ansible_facts": known}).template(trust_as_template(task["loop"])) == [
        "Debian",
        "Ubuntu",
    ]


def test_the_search_finds_the_loads():
    assert len(list(loads())) >= 3
