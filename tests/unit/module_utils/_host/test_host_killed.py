# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed or fail on the way: a second run completes them, undo takes everything back."""

from __future__ import annotations

import itertools
import json
import shutil

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from unit.hosts import KEPT, OURS, SYSCTL, apply, plan_all, undo
from unit.trees import fill, killed_at, snapshot, writable


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


def killed_everywhere(another, interrupted, prepare=lambda tree: None):
    """Yield a tree for every step before which a run was killed, and at last one whose run reached its end."""
    for step in itertools.count():
        tree = another()
        prepare(tree)
        killed = killed_at(step, lambda tree=tree: interrupted(tree), tree)
        yield step, tree
        if not killed:
            return


def test_killed_anywhere_a_second_run_completes_it(another):
    whole = another()
    apply(whole)
    expected = plain(whole)
    for step, tree in killed_everywhere(another, apply):
        apply(tree)
        assert plain(tree) == expected, f"killed before step {step}"
    assert step > 15


def test_killed_anywhere_undo_takes_all_back(root, another):
    before = snapshot(root)
    for step, tree in killed_everywhere(another, apply):
        undo(tree)
        assert snapshot(tree) == before, f"killed before step {step}"
    assert step > 15


def test_undo_killed_anywhere_is_completed_by_a_second(root, another):
    before = snapshot(root)
    for step, tree in killed_everywhere(another, undo, prepare=apply):
        undo(tree)
        assert snapshot(tree) == before, f"killed before step {step}"
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


# -- what changes need once they are made ----------------------------------------------------------


def with_reload(made):
    """A plan with a file that a daemon reads: it reads it again after the change."""

    def planner(host):
        host.set_file(OURS, b"x")
        host.afterwards("daemon: its files are read", made, due=bool(host.changes))

    return planner


def test_what_a_change_needs_is_repeated_until_it_has_happened(root):
    made = []

    def fail():
        raise HostError("no")

    with pytest.raises(HostError):
        apply(root, with_reload(fail))
    check = writable(root, check_mode=True)
    with_reload(fail)(check)
    host = apply(root, with_reload(lambda: made.append(1)))
    assert (
        host.changes
        == check.changes
        == [Change("daemon: its files are read", "left undone by an earlier run", "done", reason="an earlier change needs it")]
    )
    assert apply(root, with_reload(lambda: made.append(2))).changes == []
    assert made == [1]


def test_killed_anywhere_the_daemon_has_read_the_file_in_the_end(another):
    mark = "/etc/read"

    def interrupted(tree):
        apply(tree, with_reload(lambda: fill(tree, {mark: ""})))

    for step, tree in killed_everywhere(another, interrupted):
        interrupted(tree)
        assert (tree / mark[1:]).exists(), f"killed before step {step}"
    assert step > 5


def test_a_reboot_ends_what_a_change_needs(root):
    with pytest.raises(ZeroDivisionError):
        apply(root, with_reload(lambda: 1 // 0))
    fill(root, {BOOT_ID: "boot-2\n"})
    assert apply(root, with_reload(lambda: pytest.fail("systemd has read it at boot"))).changes == []
