# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What changes need once they are made: it is repeated until it has happened."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.afterwards import afterwards, plan_reload, reload_systemd
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from unit.hosts import OURS, apply, killed_everywhere
from unit.trees import fill, writable


def test_systemd_reads_changed_units(root, runner, commands):
    reload_systemd(writable(root), runner, "a.service")
    assert commands == [], "no systemd runs here"
    fill(root, {"/run/systemd/system/": None})
    reload_systemd(writable(root, check_mode=True), runner, "a.service")
    assert commands == []
    reload_systemd(writable(root), runner, "a.service")
    assert commands == ["systemctl daemon-reload", "systemctl try-restart a.service"]


def test_systemd_reads_the_changed_units_of_a_plan(root, runner, commands):
    fill(root, {"/run/systemd/system/": None})
    apply(root, lambda host: (host.set_file(OURS, b"x"), plan_reload(host, runner, due=True)))
    assert commands == ["systemctl daemon-reload"]
    apply(root, lambda host: plan_reload(host, runner, due=False))
    assert commands == ["systemctl daemon-reload"]


def with_reload(made):
    """A plan with a file that a daemon reads: it reads it again after the change."""

    def planner(host):
        host.set_file(OURS, b"x")
        afterwards(host, "daemon: its files are read", made, due=bool(host.changes))

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
