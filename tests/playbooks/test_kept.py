# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node keeps the look's code, so that the next look need not send it; the module is the collection's own, and looks at this machine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess

import pytest
import yaml
from playbooks.conftest import ROOT

PYTHON = "/usr/bin/python3"
SENT = "Using module file "


@pytest.fixture(name="kept")
def _kept(nodes):
    """A node whose cache and partition file are in this test's folder."""
    shutil.copy(ROOT / "plugins" / "modules" / "rt_plan.py", nodes.base / "plugins" / "modules")
    paths = nodes.base / "plugins" / "module_utils" / "_host" / "paths.py"
    before = paths.read_text()
    document, folder = nodes.folder / "partition.fact", nodes.folder / "cache" / "realtime-kvm"
    document.write_text("{}")
    text = before.replace("/etc/ansible/facts.d/realtime_partition.fact", str(document))
    paths.write_text(text.replace("/var/cache/realtime-kvm", str(folder)))
    yield Kept(nodes, folder, document)
    paths.write_text(before)


class Kept:
    """Looks at the node."""

    def __init__(self, nodes, folder, document):
        self.nodes, self.folder, self.document = nodes, folder, document

    @property
    def files(self):
        return sorted(self.folder.glob("*")) if self.folder.exists() else []

    def look(self, *arguments, keep=True, **variables):
        """Return what the node answers, and whether the module was sent."""
        answer = self.nodes.folder / "answer.yml"
        answer.unlink(missing_ok=True)
        tasks = [
            {"realtime.kvm.rt_plan": {"roles": ["cpu_partition", "power"], "keep": keep}, "register": "look"},
            {
                "ansible.builtin.copy": {"content": "{{ look | to_yaml }}", "dest": str(answer)},
                "check_mode": False,
                "delegate_to": "localhost",
                "vars": {"ansible_pipelining": False},
            },
        ]
        book = self.nodes.folder / "book.yml"
        book.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": tasks}]))
        given = {"ansible_pipelining": True, "ansible_python_interpreter": PYTHON, **variables}
        code, said, _calls = self.nodes.run(str(book), {}, "-vvv", "--limit", "node1", *arguments, **given)
        assert code == 0, said[-3000:]
        sent = f"{SENT}{self.nodes.base}/plugins/modules/rt_plan.py" in said
        return yaml.safe_load(answer.read_text()), sent


def test_the_second_look_is_not_sent_and_answers_the_same(kept):
    assert kept.look("--check")[1]
    assert kept.look(keep=False)[1]
    assert kept.files == [], "neither check mode nor a look that is not to keep it has kept anything"
    first, sent = kept.look()
    assert sent
    assert "cpu_partition_result" in first["planned"]
    (program,) = kept.files
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    second, sent = kept.look()
    assert not sent
    assert second == first
    assert not kept.look("--check")[1]
    assert not kept.look(keep=False)[1]
    assert kept.files == [program]


def test_nothing_is_kept_on_a_node_without_a_partition(kept):
    kept.document.unlink()
    assert kept.look()[1]
    assert kept.files == []


@pytest.mark.parametrize("name", ["ansible_pipelining", "ansible_python_interpreter"])
def test_where_it_could_not_be_started_it_is_neither_kept_nor_used(kept, name):
    another = kept.nodes.folder / "python"
    another.symlink_to(PYTHON)
    variables = {name: {"ansible_pipelining": False, "ansible_python_interpreter": str(another)}[name]}
    assert kept.look(**variables)[1]
    assert kept.files == []
    kept.look()
    assert kept.look(**variables)[1]


def damage_cut(program):
    program.write_bytes(program.read_bytes()[:100_000])


def damage_nothing(program):
    program.write_bytes(b"")


def damage_answer(program):
    program.write_bytes(b'print("[1, 2]")')


def damage_other_python(program):
    """As byte code of another Python."""
    shown = "import importlib.util, sys; sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER)"
    magic = subprocess.run([PYTHON, "-c", shown], capture_output=True, check=True).stdout
    program.write_bytes(program.read_bytes().replace(magic, b"\x01\x02\r\n"))


def test_what_cannot_be_used_is_sent_and_kept_anew(kept):
    first, _sent = kept.look()
    (program,) = kept.files
    for damage in (damage_cut, damage_nothing, damage_answer, damage_other_python, os.unlink):
        damage(program)
        assert kept.look() == (first, True), damage.__name__
    assert kept.look() == (first, False)


def test_another_release_is_sent_and_takes_the_place_of_the_old_one(kept):
    kept.look()
    (old,) = kept.files
    (kept.folder / ".realtime-kvm-look-1.pyz").write_text("left by a killed run")
    changed = kept.nodes.base / "plugins" / "module_utils" / "_module" / "rt_plan.py"
    before = changed.read_text()
    try:
        changed.write_text(before + "\n# changed\n")
        assert kept.look()[1]
        (new,) = kept.files
        assert new != old
        assert not kept.look()[1]
    finally:
        changed.write_text(before)


def test_a_folder_that_others_may_change_is_left_alone(kept):
    kept.folder.mkdir(parents=True)
    kept.folder.chmod(0o777)
    assert kept.look()[1]
    assert kept.files == []


def test_what_a_node_answers_is_no_template(kept):
    kept.look()
    (program,) = kept.files
    planned = {"cpu_partition": {"failed": True, "msg": "{{ 1 + 1 }}", "changed": False}, "cpu_power": {"changed": False}}
    program.write_text(f"print(__import__('json').dumps({{'planned': {planned!r}, 'refused': ['{{{{ 1 + 1 }}}}'], 'open': []}}))")
    answer, sent = kept.look()
    assert not sent
    assert answer["refused"] == ["{{ 1 + 1 }}"]
