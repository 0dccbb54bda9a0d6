# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Host: truthful changes, atomic files, a journal that survives everything, exact undo."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import host as _host
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change, worst_disruption
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID, Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL, LOCK, STATE_DIR
from ansible_collections.realtime.kvm.plugins.module_utils._host.lines import add_lines, restore_lines
from ansible_collections.realtime.kvm.plugins.module_utils._host.resolve import resolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.trees import fill, killed_at, snapshot, writable

SYSCTL = "/proc/sys/vm/stat_interval"
WATCHDOG = "/proc/sys/kernel/watchdog"
KEPT = "/etc/kept.conf"
OURS = "/etc/ours.d/deep/ours.conf"
WANTS = "/etc/units.wants/ours.service"
FOREIGN = b"\xff\x00admin's\n"


@pytest.fixture(name="root")
def _root(tmp_path):
    files = {BOOT_ID: "boot-1\n", SYSCTL: "1", WATCHDOG: "1", KEPT: FOREIGN, "/var/lib/": None, "/boot/vmlinuz-6.1": ""}
    fill(tmp_path, files)
    os.chmod(f"{tmp_path}{KEPT}", 0o640)
    return tmp_path


def plan_all(host):
    """One of each kind; the second value is there already."""
    host.set_value(SYSCTL, "10", disruption="stall", reason="why")
    host.set_value(WATCHDOG, "1")
    host.set_file(KEPT, b"ours\n", mode=0o600)
    host.set_file(OURS, b"new\n")
    host.set_link(WANTS, "../ours.service")


def apply(root, planner=plan_all, owner="test"):
    host = writable(root, owner)
    with host.locked():
        planner(host)
        host.commit()
    return host


def plan_undo(host):
    host.restore_values()
    host.restore_links()
    host.restore_files()


def undo(root, owner="test"):
    return apply(root, plan_undo, owner)


def journal(root):
    return json.loads(Path(f"{root}{JOURNAL}").read_text())


def reboot(root, values=None):
    fill(root, {BOOT_ID: "boot-2\n", **(values or {})})


# -- what is recorded ------------------------------------------------------------------------------


def test_a_change_has_what_was_and_what_will_be(root):
    host = apply(root)
    assert [(change.resource, change.before, change.after) for change in host.changes] == [
        (SYSCTL, "1", "10"),
        (KEPT, f"binary, 10 bytes, sha256 {hashlib.sha256(FOREIGN).hexdigest()}", "ours\n"),
        (OURS, None, "new\n"),
        (WANTS, None, "../ours.service"),
    ]
    result = host.results()
    assert result["changed"] is True
    assert result["disruption"] == "stall"
    assert result["changes"][0]["reason"] == "why"
    assert result["diff"][2] == {"before_header": OURS, "after_header": f"{OURS} [none]", "before": "", "after": "new\n"}


def test_the_second_run_changes_nothing(root):
    apply(root)
    before = snapshot(root)
    host = apply(root)
    assert host.changes == []
    assert host.results()["changed"] is False
    assert snapshot(root) == before


def test_a_captured_host_never_writes(root):
    before = snapshot(root)
    host = Host(str(root), owner="test", captured=True)
    with host.locked():
        plan_all(host)
        host.commit()
    assert len(host.changes) == 4
    assert not host.committed
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("classes", "worst"),
    [([], "none"), (["none", "stall"], "stall"), (["reboot", "guest"], "reboot"), (["guest", "none"], "guest")],
)
def test_the_disruption_is_the_worst_of_all(classes, worst):
    assert worst_disruption(Change("x", None, "y", name) for name in classes) == worst


NAMES = [f"/etc/{folder}{name}" for folder in ("", "a/", "a/b/") for name in ("x", "y")]
SCENES = st.tuples(
    st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=8)),
    st.dictionaries(st.sampled_from(NAMES), st.none() | st.binary(max_size=8)),
    st.dictionaries(st.sampled_from([SYSCTL, WATCHDOG]), st.sampled_from("012"), min_size=2),
    st.dictionaries(st.sampled_from([SYSCTL, WATCHDOG]), st.sampled_from("012")),
    st.dictionaries(st.sampled_from(["/etc/l/one", "/etc/two"]), st.sampled_from(["x", "../y"])),
    st.dictionaries(st.sampled_from(["/etc/l/one", "/etc/two"]), st.sampled_from(["x", "../y"])),
    st.sampled_from([0o644, 0o600, 0o755]),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SCENES)
def test_check_mode_predicts_the_run_and_undo_takes_it_back(scene):
    files, wanted, values, wanted_values, links, wanted_links, mode = scene
    root = tempfile.mkdtemp()
    try:
        fill(root, {BOOT_ID: "b", "/var/lib/": None, **values, **files, **{path: ("link", to) for path, to in links.items()}})
        for path in files:
            os.chmod(root + path, mode)

        def planner(host):
            for path, value in wanted_values.items():
                host.set_value(path, value)
            for path, content in wanted.items():
                host.set_file(path, content)
            for path, target in wanted_links.items():
                host.set_link(path, target)

        before = snapshot(root)
        check = writable(root, check_mode=True)
        with check.locked():
            planner(check)
            check.commit()
        assert snapshot(root) == before

        real = apply(root, planner)
        assert [asdict(change) for change in real.changes] == [asdict(change) for change in check.changes]
        assert real.results()["changed"] == (_without_state(root) != before)
        assert all(real.value(path) == value for path, value in wanted_values.items())
        assert all(real.read_bytes(path) == content for path, content in wanted.items())
        assert all(os.readlink(root + path) == target for path, target in wanted_links.items())
        assert apply(root, planner).changes == []

        undone = undo(root)
        assert snapshot(root) == before
        assert bool(undone.changes) == bool(real.changes)
        assert undo(root).changes == []
    finally:
        shutil.rmtree(root)


def _without_state(root):
    return {path: content for path, content in snapshot(root).items() if not path.startswith(STATE_DIR)}


# -- files -----------------------------------------------------------------------------------------


def test_a_file_gets_its_mode_and_content(root):
    apply(root)
    assert Path(f"{root}{KEPT}").read_bytes() == b"ours\n"
    assert os.stat(f"{root}{KEPT}").st_mode & 0o7777 == 0o600
    assert os.stat(f"{root}{OURS}").st_mode & 0o7777 == 0o644


def test_a_failure_before_the_rename_leaves_the_old_file_and_no_rest(root, monkeypatch):
    before = snapshot(root)

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    host = writable(root)
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(HostError, match=f"^{KEPT} cannot be written: No space left on device$"):
        host.write_file(KEPT, b"ours")
    assert snapshot(root) == before


def test_a_file_is_complete_on_disk_before_it_takes_its_place(root, monkeypatch):
    order = []
    real_rename = os.rename

    def fsync(handle):
        order.append(("fsync", os.path.basename(os.readlink(f"/proc/self/fd/{handle}")), os.fstat(handle).st_size))

    def rename(source, target):
        order.append(("rename", Path(source).read_bytes(), os.stat(source).st_mode & 0o777))
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    writable(root).write_file(KEPT, b"ours", 0o600)
    assert [step[0] for step in order] == ["fsync", "rename", "fsync"]
    assert order[0][2] == 4
    assert order[1] == ("rename", b"ours", 0o600)
    assert order[2][1] == "etc"


@pytest.mark.parametrize("plant", [os.symlink, os.link], ids=["symbolic link", "hard link"])
def test_what_appears_in_the_place_of_the_half_written_file_is_not_written_to(root, monkeypatch, plant):
    """Someone may put a link there after the remains of a killed run were removed, and before the file is made."""
    victim = fill(root, {"/etc/victim": "as it was"})
    plant(f"{victim}/etc/victim", f"{root}/etc/.realtime-kvm-kept.conf")
    monkeypatch.setattr(os, "unlink", lambda _path: None)
    with pytest.raises(HostError, match=r"^/etc/kept\.conf cannot be written: "):
        writable(root).write_file(KEPT, b"ours")
    assert Path(f"{root}/etc/victim").read_text() == "as it was"
    assert Path(f"{root}{KEPT}").read_bytes() == FOREIGN


def test_an_original_that_no_change_needs_is_not_journalled(root):
    before = snapshot(root)
    host = apply(root, lambda host: host.keep("thread:1:kswapd0", "affinity", "0-3"))
    assert not host.committed
    assert snapshot(root) == before


def test_at_any_moment_a_file_is_the_old_or_the_new_one(root):
    new = b"n" * 5000
    step = 0
    while killed_at(step, lambda: writable(root).write_file(KEPT, new), root):
        assert Path(f"{root}{KEPT}").read_bytes() == FOREIGN
        step += 1
    assert step >= 3
    assert Path(f"{root}{KEPT}").read_bytes() == new
    assert [path for path in snapshot(root) if "realtime-kvm-" in path] == []


def test_a_symbolic_link_is_put_back_as_a_link(root):
    fill(root, {"/etc/masked": ("link", "/dev/null"), "/etc/other": ("link", "kept.conf"), "/etc/broken": ("link", "nowhere")})
    before = snapshot(root)

    def planner(host):
        for name in ("masked", "other", "broken"):
            host.set_file(f"/etc/{name}", b"ours")

    apply(root, planner)
    assert Path(f"{root}/etc/masked").read_bytes() == b"ours"
    assert Path(f"{root}{KEPT}").read_bytes() == FOREIGN
    undo(root)
    assert snapshot(root) == before


def test_a_refused_kernel_value_is_named(root):
    fill(root, {"/proc/sys/refused/": None})
    host = writable(root)
    with pytest.raises(HostError, match=r"^/proc/sys/refused: the kernel refused '7': Is a directory$"):
        host.write_value("/proc/sys/refused", "7")


def test_directories_that_hold_anything_else_stay(root):
    apply(root)
    fill(root, {"/etc/ours.d/admin.conf": "his"})
    undo(root)
    assert "/etc/ours.d/admin.conf" in snapshot(root)
    assert "/etc/ours.d/deep" not in snapshot(root)
    assert "/etc/units.wants" not in snapshot(root)


def test_foreign_files_are_untouched(root):
    fill(root, {"/etc/foreign": "x", "/etc/ours.d/": None, "/var/lib/realtime-kvm/": None})
    before = snapshot(root)
    apply(root)
    foreign = {path: content for path, content in before.items() if path not in (KEPT, SYSCTL)}
    assert foreign.items() <= snapshot(root).items()


# -- the journal -----------------------------------------------------------------------------------


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


def test_undo_restores_exactly_and_leaves_nothing_of_ours(root):
    before = snapshot(root)
    apply(root)
    assert undo(root).results()["changed"] is True
    assert snapshot(root) == before
    assert undo(root).results()["changed"] is False
    assert snapshot(root) == before


def test_undo_is_for_the_owner_alone(root):
    before = snapshot(root)
    apply(root, lambda host: host.set_file(OURS, b"x"), "one")
    apply(root, lambda host: host.set_value(SYSCTL, "5"), "two")
    undo(root, "one")
    assert "/etc/ours.d" not in snapshot(root)
    assert Path(f"{root}{SYSCTL}").read_text() == "5"
    undo(root, "two")
    assert snapshot(root) == before


def test_undo_of_what_the_admin_has_put_back_says_unchanged(root):
    before = snapshot(root)
    apply(root, lambda host: host.set_value(SYSCTL, "10"))
    fill(root, {SYSCTL: "1"})
    host = undo(root)
    assert host.results()["changed"] is False
    assert snapshot(root) == before


def test_undo_passes_over_what_has_gone(root):
    apply(root, lambda host: host.set_value(SYSCTL, "10"))
    os.unlink(f"{root}{SYSCTL}")
    assert undo(root).changes == []
    assert not os.path.exists(f"{root}{STATE_DIR}")


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
        json.dumps({**GOOD, "schema": 2}),
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


def test_a_journal_that_cannot_be_read_is_not_taken_for_none(root):
    fill(root, {f"{JOURNAL}/": None})
    with pytest.raises(HostError, match="is damaged"):
        writable(root).journal.paths()


def test_a_change_that_the_kernel_refuses_for_good_is_none(root):
    host = writable(root)
    change = Change("x", "1", "2")
    with host.locked():
        host.change(change, lambda: host.take_back(change), kind="value")
        host.commit()
    assert host.results()["changed"] is False
    assert not os.path.exists(f"{root}{STATE_DIR}")


# -- interruptions ---------------------------------------------------------------------------------


def copies(tmp_path, root):
    number = 0
    while True:
        target = tmp_path / f"copy{number}"
        shutil.copytree(root, target, symlinks=True)
        yield target
        number += 1


@pytest.fixture(name="another")
def _another(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("copies")
    made = copies(folder, root)
    return lambda: next(made)


def plain(root):
    """A snapshot whose journal is compared as data: the order of the directories does not matter."""
    found = snapshot(root)
    if JOURNAL in found:
        data = json.loads(found[JOURNAL][2])
        found[JOURNAL] = (found[JOURNAL][1], {**data, "directories": sorted(data["directories"])})
    return found


def test_killed_anywhere_a_second_run_completes_it(another):
    whole = another()
    apply(whole)
    expected = plain(whole)
    step = 0
    while True:
        tree = another()
        killed = killed_at(step, lambda tree=tree: apply(tree), tree)
        apply(tree)
        assert plain(tree) == expected, f"killed before step {step}"
        if not killed:
            break
        step += 1
    assert step > 15


def test_killed_anywhere_undo_takes_all_back(root, another):
    before = snapshot(root)
    step = 0
    while True:
        tree = another()
        killed = killed_at(step, lambda tree=tree: apply(tree), tree)
        undo(tree)
        assert snapshot(tree) == before, f"killed before step {step}"
        if not killed:
            break
        step += 1


def test_undo_killed_anywhere_is_completed_by_a_second(root, another):
    before = snapshot(root)
    step = 0
    while True:
        tree = another()
        apply(tree)
        killed = killed_at(step, lambda tree=tree: undo(tree), tree)
        undo(tree)
        assert snapshot(tree) == before, f"killed before step {step}"
        if not killed:
            break
        step += 1
    assert step > 8


def test_undo_that_failed_half_way_is_repeated_as_a_whole(root):
    before = snapshot(root)
    apply(root, lambda host: host.set_file(OURS, b"x"))
    made = []

    def fail():
        raise HostError("no")

    for make in (fail, lambda: made.append(True)):
        host = writable(root)
        with host.locked():
            assert OURS in host.entries("file"), "what is to be done after the restore would be forgotten"
            host.restore_files()
            host.follow_up(Change("menu", "stale", "current"), make)
            if make is fail:
                with pytest.raises(HostError):
                    host.commit()
            else:
                host.commit()
    assert made == [True]
    assert snapshot(root) == before


def test_a_failed_run_can_be_undone(root):
    before = snapshot(root)

    def planner(host):
        hosts.append(host)
        plan_all(host)
        host.set_value("/proc/sys", "refused, being a directory", current="1")

    hosts = []
    with pytest.raises(HostError, match="the kernel refused"):
        apply(root, planner)
    assert hosts[0].committed
    fill(root, {SYSCTL: "10"})
    clean = writable(root)
    with clean.locked():
        assert set(clean.entries("file")) == {KEPT, OURS}
        clean.restore_links()
        clean.restore_files()
        for resource in clean.entries("value"):
            clean.restore(
                None if resource != SYSCTL else Change(SYSCTL, "10", "1"), resource, lambda: clean.write_value(SYSCTL, "1")
            )
        clean.commit()
    assert snapshot(root) == before


# -- the lock --------------------------------------------------------------------------------------


def test_a_refused_run_leaves_nothing(root):
    before = snapshot(root)
    with pytest.raises(HostError), writable(root).locked():
        raise HostError("refused")
    assert snapshot(root) == before


def test_the_lock_is_held_meanwhile(root):
    with writable(root).locked():
        handle = os.open(f"{root}{LOCK}", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)


def test_only_one_run_at_a_time_although_each_removes_the_lock(root):
    inside, most, errors = [], [], []

    def run():
        try:
            for _rest in range(12):
                with writable(root).locked():
                    inside.append(1)
                    most.append(len(inside))
                    threading.Event().wait(0.0005)
                    inside.pop()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _rest in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert max(most) == 1
    assert not os.path.exists(f"{root}{STATE_DIR}")


def test_a_file_in_the_place_of_the_state_directory_is_named(root):
    fill(root, {STATE_DIR: "not ours"})
    with pytest.raises(HostError, match=f"^{STATE_DIR} is not a directory"), writable(root).locked():
        pass
    assert Path(f"{root}{STATE_DIR}").read_text() == "not ours"


def test_without_the_right_to_write_the_remedy_is_named(root, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(_host.os, "makedirs", refuse)
    with (
        pytest.raises(HostError, match=f"^{STATE_DIR} cannot be written: Permission denied; run with become: true$"),
        writable(root).locked(),
    ):
        pass


# -- reading ---------------------------------------------------------------------------------------


def test_reading(root):
    fill(root, {f"/sys/cpu{number}/id": f"{number}\n\0\0" for number in (10, 2, 1)})
    fill(root, {"/sys/alias": ("link", "cpu2")})
    host = Host(str(root))
    assert host.glob("/sys/cpu*/id") == ["/sys/cpu1/id", "/sys/cpu2/id", "/sys/cpu10/id"]
    assert host.value("/sys/cpu10/id") == "10"
    assert host.value("/sys/none") is None
    assert host.value("/sys/cpu1") is None
    assert host.value("/sys/cpu1/id/below") is None
    assert resolve(host, "/sys/alias/id") == "/sys/cpu2/id"
    assert host.listdir("/sys") == ["alias", "cpu1", "cpu10", "cpu2"]
    assert host.listdir("/none") == []
    assert Host(str(tempfile.gettempdir())).boot_id() == "unknown"


THEIRS = "/etc/theirs.d/theirs.conf"


def add(host):
    add_lines(host, THEIRS, "ours\n")


def take_out(host):
    restore_lines(host)


@pytest.mark.parametrize("text", [None, "", "theirs\n", "no newline"])
def test_lines_are_added_once_and_taken_out_exactly(root, text):
    fill(root, {} if text is None else {THEIRS: text})
    before = snapshot(root)
    assert len(apply(root, add).changes) == 1
    assert (root / THEIRS[1:]).read_text().splitlines() == [*(text or "").splitlines(), "ours"]
    assert apply(root, add).changes == []
    assert len(apply(root, take_out).changes) == 1
    assert snapshot(root) == before
    assert apply(root, take_out).changes == []


def test_what_others_write_beside_our_lines_stays(root):
    fill(root, {THEIRS: "theirs\n"})
    os.chmod(f"{root}{THEIRS}", 0o640)
    apply(root, add)
    (root / THEIRS[1:]).write_text("first\ntheirs\nours\nlast\n")
    apply(root, take_out)
    assert (root / THEIRS[1:]).read_text() == "first\ntheirs\nlast\n"
    assert os.stat(f"{root}{THEIRS}").st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ["theirs\n", None])
def test_lines_that_others_took_out_are_not_missed(root, text):
    fill(root, {THEIRS: "theirs\n"})
    apply(root, add)
    (root / THEIRS[1:]).unlink()
    fill(root, {} if text is None else {THEIRS: text})
    assert apply(root, take_out).changes == []
    assert (root / THEIRS[1:]).exists() == (text is not None)
    assert not (root / JOURNAL[1:]).exists()


# -- how much undo disturbs ------------------------------------------------------------------------


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


def test_files_links_and_lines_carry_their_class(root):
    def planner(host):
        host.set_file("/etc/file", b"x", disruption="reboot")
        host.change(
            Change("/etc/link", None, "/x", "stall"),
            lambda: os.symlink("/x", host.path("/etc/link")),
            kind="link",
            original={"link": None},
        )
        host.change(
            Change("/etc/lines", None, "x", "guest"),
            lambda: host.write_file("/etc/lines", b"x"),
            kind="lines",
            original={"lines": "x", "absent": True},
        )

    apply(root, planner)
    host = writable(root)
    host.restore_files()
    host.restore_links()
    restore_lines(host)
    assert {change.resource: change.disruption for change in host.changes} == {
        "/etc/file": "reboot",
        "/etc/link": "stall",
        "/etc/lines": "guest",
    }


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
