# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal as it is on disk: what a run adds to it, what a boot and an undo take from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL, LOCK, STATE_DIR
from unit.hosts import ORIGINALS
from unit.trees import fill, snapshot, writable

ONE, TWO = "/proc/sys/one", "/proc/sys/two"
X, Y = "thread:x:1:10:affinity", "thread:y:2:20:affinity"


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(name="root")
def _root(tmp_path):
    fill(
        tmp_path,
        {BOOT_ID: "boot-1\n", ONE: "1", TWO: "2", "/var/lib/": None, "/boot/vmlinuz-6.1": "", "/boot/vmlinuz-6.12-rt": ""},
    )
    return tmp_path


def run(root, planner, owner="test"):
    host = writable(root, owner)
    with host.locked():
        planner(host)
        host.commit()
    return host


def note(resource, kind, original=None):
    """A change that is only journalled."""
    before = ORIGINALS.get(kind, "old") if original is None else original
    return lambda host: host.change(Change(resource, "old", "new"), lambda: None, kind=kind, original=before)


def document(root):
    return json.loads(Path(f"{root}{JOURNAL}").read_text())


def test_the_document(root):
    run(root, lambda host: (host.set_value(ONE, "5"), host.set_file("/etc/a/b/c.conf", b"x")))
    found = document(root)
    found["entries"] = {
        name: {key: entry[key] for key in ("owner", "kind", "before", "boot_id")} for name, entry in found["entries"].items()
    }
    assert found == {
        "schema": 1,
        "kernels": ["6.1", "6.12-rt"],
        "directories": ["/etc/a/b", "/etc/a", "/etc"],
        "entries": {
            ONE: {"owner": "test", "kind": "value", "before": "1", "boot_id": "boot-1"},
            "/etc/a/b/c.conf": {"owner": "test", "kind": "file", "before": {"file": None}, "boot_id": "boot-1"},
        },
    }
    text = Path(f"{root}{JOURNAL}").read_text()
    assert text.startswith('{\n "directories"'), "a person can read it"
    assert os.stat(f"{root}{JOURNAL}").st_mode & 0o7777 == 0o600
    assert os.stat(f"{root}{STATE_DIR}").st_mode & 0o7777 == 0o700
    assert os.stat(f"{root}{LOCK}").st_mode & 0o7777 == 0o600


def test_the_first_original_stays_whoever_comes_later(root):
    run(root, note(X, "thread", "0"), "one")
    run(root, lambda host: (note(X, "thread", "1")(host), note(Y, "thread", "2")(host)), "two")
    assert {name: (entry["owner"], entry["before"]) for name, entry in document(root)["entries"].items()} == {
        X: ("one", "0"),
        Y: ("two", "2"),
    }
    assert writable(root, "two").entries("thread") == {Y: "2"}
    assert writable(root, "two").entries("value") == {}


def test_what_is_known_already_writes_nothing(root):
    run(root, note(X, "thread"))
    before = os.stat(f"{root}{JOURNAL}").st_ino
    run(root, note(X, "thread"))
    assert os.stat(f"{root}{JOURNAL}").st_ino == before


def test_originals_are_for_root_alone_without_the_lock_too(root):
    host = writable(root)
    note(X, "thread")(host)
    host.commit()
    assert os.stat(f"{root}{STATE_DIR}").st_mode & 0o7777 == 0o700


def test_folders_are_kept_once_and_for_paths_alone(root):
    run(
        root,
        lambda host: (host.set_file("/srv/a/one", b"1"), host.set_file("/srv/a/two", b"2"), note("/none/value", "value")(host)),
    )
    assert document(root)["directories"] == ["/srv/a", "/srv"]
    run(root, lambda host: host.restore_files())
    assert not (root / "srv").exists()
    assert "/none/value" in document(root)["entries"]


def test_a_folder_that_others_use_meanwhile_stays(root):
    run(root, lambda host: host.set_file("/srv/a/one", b"1"))
    fill(root, {"/srv/theirs": "x"})
    run(root, lambda host: host.restore_files())
    assert (root / "srv").is_dir()
    assert not (root / "srv/a").exists()
    assert not (root / STATE_DIR[1:]).exists()


def test_originals_alone_are_not_kept(root):
    """They are there for the sake of a change; where there is none nothing is written."""
    before = snapshot(root)
    host = run(root, lambda host: host.keep(X, "thread", "0-3"))
    assert snapshot(root) == before
    assert host.changes == []

    run(root, lambda host: (host.keep(X, "thread", "0-3"), host.set_value(ONE, "5")))
    entry = document(root)["entries"][X]
    assert (entry["owner"], entry["kind"], entry["before"]) == ("test", "thread", "0-3")


def test_a_boot_ends_all_run_time_originals_and_no_other(root):
    kinds = ("value", "thread", "cgroup", "file", "link", "lines", "other")
    run(root, lambda host: [note(X if kind == "thread" else f"/{kind}", kind)(host) for kind in kinds])
    fill(root, {BOOT_ID: "boot-2\n"})
    host = run(root, note("/new", "value"))
    assert host.notes == ["3 run-time originals of an earlier boot were dropped from the journal"]
    assert set(document(root)["entries"]) == {"/file", "/link", "/lines", "/other", "/new"}
    assert document(root)["entries"]["/new"]["boot_id"] == "boot-2"
    assert document(root)["entries"]["/file"]["boot_id"] == "boot-1"
    assert run(root, lambda host: None).notes == []


def test_the_last_run_time_original_takes_the_journal_with_it(root):
    before = snapshot(root)
    run(root, note(X, "thread"))
    fill(root, {BOOT_ID: "boot-2\n"})
    run(root, lambda host: None)
    assert {path: kept for path, kept in snapshot(root).items() if path != BOOT_ID} == {
        path: kept for path, kept in before.items() if path != BOOT_ID
    }


@pytest.mark.parametrize("theirs", [False, True])
def test_folders_that_a_killed_run_made_go_with_the_last_original(root, theirs):
    run(root, note(X, "thread"))
    found = document(root)
    found["directories"] = ["/srv/a", "/srv/a/b", "/srv", "/gone", "/boot/vmlinuz-6.1"]
    fill(root, {JOURNAL: json.dumps(found), "/srv/a/b/": None, **({"/srv/a/theirs": "x"} if theirs else {})})
    run(root, lambda host: host.restore(None, X, lambda: None))
    assert (root / "srv/a").exists() is theirs
    assert (root / "srv").exists() is theirs
    assert not (root / "srv/a/b").exists()
    assert (root / "boot/vmlinuz-6.1").exists()


def test_a_journal_that_cannot_be_written_is_named(root, monkeypatch):
    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    host = writable(root)
    host.set_value(ONE, "5")
    with pytest.raises(HostError, match=f"^{JOURNAL} cannot be written: No space left on device$"):
        host.commit()
    assert (root / ONE[1:]).read_text() == "1", "nothing is changed whose original is not on disk"


def test_forgetting_is_on_disk_at_once(root):
    run(root, lambda host: (note(X, "thread")(host), note(Y, "thread")(host)))
    host = writable(root)
    with host.locked():
        host.forget(X)
        assert set(document(root)["entries"]) == {Y}
        host.forget("not there")
        host.forget(Y)
        assert not (root / JOURNAL[1:]).exists()


def test_only_what_was_put_back_is_forgotten(root):
    run(root, lambda host: (note(X, "thread")(host), note(Y, "thread")(host)))
    run(root, lambda host: host.restore(None, X, lambda: pytest.fail("it is back already")))
    assert set(document(root)["entries"]) == {Y}
    made = []
    run(root, lambda host: host.restore(None, Y, lambda: made.append("y"), anyway=True))
    assert made == ["y"]
    assert not (root / STATE_DIR[1:]).exists()


def test_what_a_killed_run_left_half_written_goes_and_nothing_else(root):
    run(root, lambda host: [note(f"/etc/{kind}", kind)(host) for kind in ("value", "file", "link", "lines")])
    names = [f"/etc/.realtime-kvm-{kind}" for kind in ("value", "file", "link", "lines")] + [
        f"{STATE_DIR}/.realtime-kvm-journal.json"
    ]
    fill(root, dict.fromkeys(names, "half"))
    run(root, lambda host: None)
    assert [name for name in names if (root / name[1:]).exists()] == ["/etc/.realtime-kvm-value"]


@pytest.mark.parametrize("text", ["{", '{"schema": 1, "directories": [], "kernels": {}, "entries": {}}'])
def test_a_damaged_journal_is_refused_in_these_words(root, text):
    fill(root, {JOURNAL: text})
    with pytest.raises(
        HostError, match=r"it was left as it is\. Restore it from a backup, or move it away to give up undo and start a new one$"
    ):
        writable(root).entries("value")
    assert Path(f"{root}{JOURNAL}").read_text() == text
