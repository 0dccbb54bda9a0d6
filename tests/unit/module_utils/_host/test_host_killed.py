# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed or fail on the way: a second run completes them, undo takes everything back."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from unit.hosts import KEPT, OURS, SYSCTL, apply, killed_everywhere, plan_all, undo
from unit.trees import fill, snapshot, writable


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
