# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a playbook: its steps, the words meant for people, and why it failed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
import yaml
from ansible_collections.realtime.kvm.demo import playbooks
from ansible_collections.realtime.kvm.demo.playbooks import BATCH, MARKS, Reader, StopError, run, run_playbook, wrapped
from ansible_collections.realtime.kvm.demo.progress import Progress, Step
from ansible_collections.realtime.kvm.demo.run import STEPS
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


def plays(path):
    """The plays of a playbook and of those that it imports."""
    for play in yaml.safe_load(path.read_text(encoding="utf-8")):
        imported = play.get("ansible.builtin.import_playbook")
        if imported is None:
            yield play["name"]
        elif imported.startswith("realtime.kvm."):
            yield from plays(ROOT / "playbooks" / f"{imported.rpartition('.')[2]}.yml")


def named(value):
    """All names in a file of tasks."""
    if isinstance(value, dict):
        yield value.get("name")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from named(item)


@pytest.mark.parametrize("mark", MARKS, ids=" ".join)
def test_every_mark_names_something_that_exists(mark):
    playbook, play, task, step = mark
    places = {"create.yml": "molecule/lab", "guests.yml": "molecule/lab", "site.yml": ".", "report.yml": "playbooks"}
    path = ROOT / places[playbook] / playbook
    assert not play or play in set(plays(path))
    if task and not (ROOT / "roles" / task).is_dir():
        files = [path, *(ROOT / "molecule/lab/tasks").glob("*.yml"), *(ROOT / "roles/rt_kernel/tasks").glob("*.yml")]
        assert task in {name for file in files for name in named(yaml.safe_load(file.read_text(encoding="utf-8")))}
    assert step in STEPS


def test_every_step_of_a_playbook_has_its_mark_in_this_order():
    order = [name for name in STEPS if name not in ("packages", "python", "kvm")]
    assert set(order) == {step for *_where, step in MARKS}


def reader(*names):
    out = io.StringIO()
    return Reader(Progress([Step(name, name, 0) for name in names or STEPS], out=out)), out


def test_a_playbook_moves_from_step_to_step():
    found, out = reader()
    events = [
        {"event": "playbook", "name": "site.yml"},
        {"event": "play", "name": "Plan the nodes"},
        {"event": "task", "name": "x", "role": "rt_kernel"},
        {"event": "play", "name": BATCH},
        {"event": "task", "name": "x", "role": "cpu_partition"},
        {"event": "task", "name": "x", "role": "kvm_host"},
        {"event": "task", "name": "x", "role": "packages"},  # belongs to the role that includes it
        {"event": "task", "name": "x", "role": "rt_kernel"},
        {"event": "play", "name": "Compare the nodes with their partition files"},
        {"event": "task", "name": "x", "role": "rt_verify"},
    ]
    for event in events:
        found.take(event)
    titles = [line.split("  ")[1] for line in out.getvalue().splitlines()]
    assert titles == ["plan", "sets", "host", "kernel", "verify"]


def event(kind, **keys):
    return {
        "event": kind,
        "host": "node1",
        "name": "Do it",
        "action": "debug",
        "changed": False,
        "msg": "",
        "files": [],
        "stderr": "",
        **keys,
    }


def test_only_words_for_people_are_shown():
    found, out = reader("plan")
    found.take({"event": "playbook", "name": "site.yml"})
    found.take(event("ok", msg=["12 CPUs", "", "set   CPUs"]))
    found.take(event("ok", action="cpu_partition", msg="for programs", changed=True))
    found.take({"event": "playbook", "name": "report.yml"})
    found.take(event("ok", msg="again"))
    found.take(event("ok", action="rt_report", files=["/r/report.html"], changed=True))
    assert out.getvalue() == "\n   12 CPUs\n\n   set   CPUs\n\n"
    assert "for programs" not in out.getvalue()
    assert "again" not in out.getvalue()
    assert found.files == ["/r/report.html"]
    assert found.changed == 1


def test_long_lines_are_broken_and_tables_are_not():
    text = "word " * 40
    assert max(map(len, wrapped(text))) <= 100
    assert wrapped("a" * 60 + "  " + "b" * 60) == ["   " + "a" * 60 + "  " + "b" * 60]
    assert wrapped("") == ["   "]


def program(folder, text):
    folder.mkdir(exist_ok=True)
    path = folder / "ansible-playbook"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


@pytest.fixture(name="ansible")
def _ansible(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(playbooks, "_INTERVAL_S", 0.01)
    return lambda text: program(tmp_path / "bin", text)


def test_a_failure_says_what_and_where(ansible, tmp_path):
    lines = [
        {"event": "playbook", "name": "create.yml"},
        event("ignored", msg="never mind"),
        event("failed", name="Build it", msg="non-zero return code", stderr="E: no space"),
    ]
    said = "\n".join(map(json.dumps, lines))
    ansible(f"echo to the log\ncat >>$PROGRESS_EVENTS <<'END'\n{said}\nEND\nexit 2\n")
    found, log = reader()[0].progress, tmp_path / "log"
    with pytest.raises(StopError) as stopped:
        run_playbook(found, log, Path("x.yml"), ["-i", "y"])
    assert stopped.value.lines == ["   node1: Build it:", "   E: no space"]
    assert stopped.value.log == log
    assert log.read_text().split("\n")[1:3] == ["$ ansible-playbook -i y x.yml", "to the log"]


def test_a_failure_without_a_word_shows_the_end_of_the_log(ansible, tmp_path):
    ansible("echo ERROR: no such file\nexit 4\n")
    with pytest.raises(StopError) as stopped:
        run_playbook(reader()[0].progress, tmp_path / "log", Path("x.yml"), [])
    assert "   ERROR: no such file" in stopped.value.lines


def test_half_a_line_of_an_event_waits_for_its_end(ansible, tmp_path):
    text = json.dumps({"event": "play", "name": "a long play"})
    ansible(f"printf '%s' '{text[:12]}' >>$PROGRESS_EVENTS\nsleep 0.3\nprintf '%s\\n' '{text[12:]}' >>$PROGRESS_EVENTS\n")
    assert run_playbook(reader()[0].progress, tmp_path / "log", Path("x.yml"), []).play == "a long play"


def test_an_interrupted_run_ends_what_it_has_started(ansible, tmp_path):
    ansible(f"sleep 60 &\necho $! >{tmp_path}/pid\nwait\n")

    def look():
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(reader()[0].progress, tmp_path / "log", ["ansible-playbook"], None, look)
    state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert wait_until(lambda: not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z")
