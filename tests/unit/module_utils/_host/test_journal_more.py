# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: originals at their first touch, the worst class since, damage that is refused, and boots that end originals."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL, LOCK, STATE_DIR, Journal
from unit.hosts import FOREIGN, KEPT, ORIGINALS, OURS, SYSCTL, THREAD, WANTS, apply, journal, plan_all, plan_undo, reboot, undo
from unit.trees import fill, snapshot, writable


def test_an_original_that_no_change_needs_is_not_journalled(root):
    before = snapshot(root)
    host = apply(root, lambda host: host.keep("thread:1:kswapd0", "affinity", "0-3"))
    assert not host.committed
    assert snapshot(root) == before


def test_the_original_is_kept_once_at_first_touch(root):
    apply(root)
    apply(root, lambda host: host.set_value(SYSCTL, "20"))
    apply(root, lambda host: host.set_file(KEPT, b"third"))
    assert journal(root)["entries"][SYSCTL]["before"] == "1"
    assert os.stat(f"{root}{JOURNAL}").st_mode & 0o7777 == 0o600
    assert os.stat(f"{root}{STATE_DIR}").st_mode & 0o7777 == 0o700
    assert [(change.resource, change.after) for change in undo(root).changes if change.resource == SYSCTL] == [(SYSCTL, "1")]


def test_originals_are_on_disk_before_the_first_change(root):
    seen = []
    host = writable(root)
    host.set_value(SYSCTL, "10")
    host.follow_up(Change("look", None, "x"), lambda: seen.append(set(journal(root)["entries"])))
    host.set_file(OURS, b"x")
    host.commit()
    assert seen == [{SYSCTL, OURS}]


def test_the_kernels_of_the_first_touch_are_kept(root):
    apply(root)
    fill(root, {"/boot/vmlinuz-6.1-rt": ""})
    apply(root, lambda host: host.set_value(SYSCTL, "20"))
    assert journal(root)["kernels"] == ["6.1"]


def test_an_earlier_boot_drops_runtime_originals_only(root):
    apply(root)
    reboot(root, {SYSCTL: "1"})
    host = undo(root)
    assert host.notes == ["1 run-time originals of an earlier boot were dropped from the journal"]
    assert [change.resource for change in host.changes] == [WANTS, KEPT, OURS]
    assert Path(f"{root}{KEPT}").read_bytes() == FOREIGN


def test_an_earlier_boots_original_is_not_written_back(root):
    apply(root, lambda host: host.set_value(SYSCTL, "10"))
    reboot(root, {SYSCTL: "3"})
    apply(root, lambda host: host.set_value(SYSCTL, "10"))
    undo(root)
    assert Path(f"{root}{SYSCTL}").read_text() == "3"


GOOD = {"schema": 1, "directories": [], "kernels": [], "entries": {}}
ENTRY = {"owner": "test", "kind": "value", "before": "1", "boot_id": "boot-1"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        "{}",
        b"\xff\xfe",
        json.dumps({**GOOD, "schema": 0}),
        json.dumps({**GOOD, "schema": "2"}),
        json.dumps({**GOOD, "schema": True}),
        json.dumps({**GOOD, "directories": [7]}),
        "[" * 100_000,
        '{"schema": ' + "9" * 10_000 + "}",
        json.dumps({**GOOD, "entries": []}),
        json.dumps({**GOOD, "directories": None}),
        json.dumps({key: value for key, value in GOOD.items() if key != "directories"}),
        json.dumps({key: value for key, value in GOOD.items() if key != "kernels"}),
        json.dumps({**GOOD, "entries": {SYSCTL: {}}}),
        json.dumps({**GOOD, "entries": {SYSCTL: 5}}),
        *(json.dumps({**GOOD, "entries": {SYSCTL: {k: v for k, v in ENTRY.items() if k != gone}}}) for gone in ENTRY),
    ],
)
@pytest.mark.parametrize("planner", [plan_all, plan_undo])
def test_a_damaged_journal_is_refused_and_kept(root, text, planner):
    fill(root, {JOURNAL: text})
    before = snapshot(root)
    with pytest.raises(HostError, match=f"^{JOURNAL} is damaged, .* Restore it from a backup, or move it away"):
        apply(root, planner)
    assert {path: content for path, content in snapshot(root).items() if path != LOCK} == before


@pytest.mark.parametrize("planner", [plan_all, plan_undo])
def test_a_journal_of_a_newer_release_is_kept_for_that_release(root, planner):
    fill(root, {JOURNAL: json.dumps({**GOOD, "schema": 2, "entries": "in another form"})})
    before = snapshot(root)
    with pytest.raises(HostError, match=r"written by a newer release \(schema 2, this release knows 1\)") as error:
        apply(root, planner)
    assert "move it away" not in str(error.value)
    assert {path: content for path, content in snapshot(root).items() if path != LOCK} == before


def test_one_damaged_entry_keeps_all_others_from_being_restored(root):
    """Four files are fine and come before the damaged one: none of them is touched."""
    apply(root)
    found = journal(root)
    found["entries"]["/etc/zzz"] = {**found["entries"][KEPT], "before": {"file": {"mode": 0o644, "content": "***"}}}
    fill(root, {JOURNAL: json.dumps(found)})
    before = snapshot(root)
    with pytest.raises(HostError, match=r"is damaged, .*/etc/zzz: its original\.file holds damaged content"):
        undo(root)
    assert snapshot(root) == before


def test_a_journal_that_cannot_be_read_is_not_taken_for_none(root):
    fill(root, {f"{JOURNAL}/": None})
    with pytest.raises(HostError, match="is damaged"):
        writable(root).journal.paths()


def plan_class(path, value, disruption):
    return lambda host: host.set_value(path, value, disruption=disruption)


@pytest.mark.parametrize(
    ("made", "restored"),
    [
        (["none"], "none"),
        (["stall"], "stall"),
        (["stall", "none"], "stall"),
        (["none", "guest"], "guest"),
        (["reboot", "guest"], "reboot"),
    ],
)
def test_a_restored_value_disturbs_as_much_as_the_worst_change_that_it_takes_back(root, made, restored):
    path = "/proc/sys/kernel/x"
    fill(root, {path: "0\n"})
    for number, disruption in enumerate(made, 1):
        apply(root, plan_class(path, str(number), disruption))
    host = undo(root)
    (change,) = [change for change in host.changes if change.resource == path]
    assert (change.after, change.disruption) == ("0", restored)


@pytest.mark.parametrize("told", [None, "enormous", 7])
def test_an_entry_of_an_earlier_release_counts_as_none(root, told):
    path = "/proc/sys/kernel/x"
    fill(root, {path: "0\n"})
    apply(root, plan_class(path, "1", "stall"))
    kept = journal(root)
    del kept["entries"][path]["disruption"]
    if told is not None:
        kept["entries"][path]["disruption"] = told
    (root / JOURNAL[1:]).write_text(json.dumps(kept))
    host = undo(root)
    assert [change.disruption for change in host.changes if change.resource == path] == ["none"]


# -- the journal itself ----------------------------------------------------------------------------


def entry(kind="value", disruption="none", owner="test", before=None):
    return {"owner": owner, "kind": kind, "before": ORIGINALS[kind] if before is None else before, "disruption": disruption}


def opened(root, boot_id="boot-1"):
    return Journal(str(root), boot_id, lambda: ["6.1"])


def test_what_is_remembered_is_read_again(root):
    opened(root).remember([(SYSCTL, entry()), (KEPT, entry("file", before={"file": None}))])
    again = opened(root)
    assert again.of("test", "value") == {SYSCTL: "1"}
    assert again.of("test", "file") == {KEPT: {"file": None}}
    assert again.of("another", "value") == {}
    assert (again.paths(), again.kernels, again.dropped) == ([KEPT], ["6.1"], 0)


@pytest.mark.parametrize(
    ("classes", "worst"),
    [(["stall", "none"], "stall"), (["none", "guest"], "guest"), (["guest", "reboot", "stall"], "reboot"), (["none"], "none")],
)
def test_the_worst_class_is_kept_with_the_first_original(root, classes, worst):
    for number, disruption in enumerate(classes):
        opened(root).remember([(SYSCTL, entry(disruption=disruption, before=str(number)))])
    again = opened(root)
    assert again.disruption_of(SYSCTL) == worst
    assert again.of("test", "value") == {SYSCTL: "0"}


def test_what_is_known_already_is_not_written_again(root):
    opened(root).remember([(SYSCTL, entry(disruption="stall"))])
    before = os.stat(f"{root}{JOURNAL}").st_ino
    opened(root).remember([(SYSCTL, entry(disruption="stall")), (SYSCTL, entry(disruption="none", before="2"))])
    assert os.stat(f"{root}{JOURNAL}").st_ino == before


@pytest.mark.parametrize("kind", ["file", "link", "lines"])
def test_folders_made_for_files_go_with_the_last_entry_from_the_inside_out(root, kind):
    journal = opened(root)
    journal.remember([("/etc/new/deep/file", entry(kind)), ("/etc/new/other", entry(kind))])
    assert sorted(journal.directories) == ["/etc/new", "/etc/new/deep"], "/etc was there before"
    (root / "etc/new/deep").mkdir(parents=True)
    journal.forget(["/etc/new/deep/file"])
    assert (root / "etc/new/deep").is_dir()
    journal.forget(["/etc/new/other"])
    assert not (root / "etc/new").exists()
    assert not (root / JOURNAL[1:]).exists()
    assert journal.directories == []


def test_values_make_no_folders(root):
    journal = opened(root)
    journal.remember([("/sys/none/deep", entry("value"))])
    assert journal.directories == []


def test_a_folder_that_others_use_stays(root):
    journal = opened(root)
    journal.remember([("/etc/new/file", entry("file"))])
    fill(root, {"/etc/new/theirs": ""})
    journal.forget(["/etc/new/file"])
    assert (root / "etc/new/theirs").exists()


@pytest.mark.parametrize(
    ("kind", "left"), [("value", False), ("thread", False), ("cgroup", False), ("file", True), ("domain", True)]
)
def test_run_time_originals_end_with_the_boot(root, kind, left):
    resource = THREAD if kind == "thread" else "/x"
    opened(root).remember([(resource, entry(kind))])
    again = opened(root, "boot-2")
    assert (resource in again.entries, again.dropped) == (left, int(not left))


def test_a_journal_that_cannot_be_written_is_named(root, monkeypatch):
    def refuse(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(HostError, match=rf"^{JOURNAL} cannot be written: No space left on device$"):
        opened(root).remember([(SYSCTL, entry())])
