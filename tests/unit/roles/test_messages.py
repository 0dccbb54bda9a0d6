# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has answered is shown only in a form that a terminal can bear, in every message of roles and playbooks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted([*ROOT.glob("roles/*/tasks/*.yml"), *ROOT.glob("roles/*/handlers/*.yml"), *ROOT.glob("playbooks/**/*.yml")])
SHOWING = {"ansible.builtin.assert", "ansible.builtin.debug", "ansible.builtin.fail"}
MESSAGES = {"msg", "fail_msg", "success_msg"}
#: Ansible's own names for what a node has answered, or may have where facts are injected.
ANSWERS = {"ansible_facts", "ansible_failed_result", "inventory_hostname"}
WORD = re.compile(r"\w+")


def tasks(node: object) -> Iterator[dict]:
    """Every mapping of a file, blocks and plays too."""
    if isinstance(node, list):
        for item in node:
            yield from tasks(item)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from tasks(value)


def load(path: Path) -> list[dict]:
    return list(tasks(yaml.safe_load(path.read_text())))


REGISTERED = {task["register"] for path in FILES for task in load(path) if "register" in task}


def messages(path: Path) -> Iterator[tuple[str, str]]:
    """Each message with its task's name, and with what the task's own variables add to it."""
    for task in load(path):
        for module in SHOWING & set(task):
            given = "".join(map(str, (task.get("vars") or {}).values()))
            for key in MESSAGES & set(task[module]):
                yield task["name"], str(task[module][key]) + given


CASES = [pytest.param(text, id=f"{path.relative_to(ROOT)}: {name}") for path in FILES for name, text in messages(path)]


@pytest.mark.parametrize("text", CASES)
def test_an_answer_of_a_node_is_made_printable(text: str) -> None:
    answers = {word for part in re.findall(r"\{\{.*?\}\}|\{%.*?%\}", text, re.DOTALL) for word in WORD.findall(part)}
    if answers & (ANSWERS | REGISTERED):
        assert "realtime.kvm.printable" in text


@pytest.mark.parametrize("text", CASES)
def test_a_name_of_a_node_is_made_printable(text: str) -> None:
    """Where facts are injected, a node may answer another name than the inventory's."""
    outside = re.sub(r"\{% filter realtime.kvm.printable -?%\}.*?\{% endfilter %\}", "", text, flags=re.DOTALL)
    assert not re.search(r"\{\{ inventory_hostname (?!\| realtime\.kvm\.printable)", outside)


def test_the_rule_sees_the_messages() -> None:
    assert len(CASES) > 35


def test_no_message_breaks_a_line_where_its_text_does_not():
    """A folded text keeps the line break before and after a line with more indentation, which shows as ``\\n`` in a message."""
    broken = []
    for path in FILES:
        for task in load(path):
            for name in SHOWING & task.keys():
                given = task[name] if isinstance(task[name], dict) else {}
                texts = [
                    re.sub(r"{{.*?}}|{%.*?%}", "", str(given[key]), flags=re.DOTALL).strip() for key in MESSAGES & given.keys()
                ]
                broken += [f"{path.relative_to(ROOT)}: {text[:60]}" for text in texts if "\n" in text]
    assert broken == []
