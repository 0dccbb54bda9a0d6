# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher's service: its unit, started and restarted only where needed, stopped before anything is restored."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.interrupts import plan_interrupts
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.watcher import (
    HANGS_S,
    WATCHER,
    WATCHER_LINK,
    WATCHER_UNIT,
    plan_watcher,
    undo_watcher,
    watcher_cpus,
)
from ansible_collections.realtime.kvm.plugins.module_utils._node.watcher import GUESTS_S, REST_AT_MOST_S
from unit.irqs import PARTITION, run, text
from unit.trees import fill, plan, snapshot, task

PROCS = "/sys/fs/cgroup/system.slice/realtime-kvm-watch.service/cgroup.procs"


class Systemd:
    """A systemd that starts and stops the watcher on the CPUs of its unit."""

    def __init__(self, root):
        self.root, self.commands = root, []
        fill(root, {"/run/systemd/system/": None, "/etc/systemd/system/": None})

    def __call__(self, command):
        self.commands.append(" ".join(command[1:]))
        if command[1] == "restart":
            lines = text(self.root, WATCHER_UNIT).splitlines()
            self.runs([line for line in lines if line.startswith("CPUAffinity=")][-1].partition("=")[2])
        if command[1] == "stop":
            fill(self.root, {PROCS: ""})
        return 0, "", ""

    def runs(self, cpus):
        fill(self.root, {PROCS: "700\n", **task("/proc/700", "python3", allowed=cpus)})


@pytest.fixture(name="systemd")
def _systemd(root):
    return Systemd(root)


def apply(root, systemd, check_mode=False, *, waits=False, partition=PARTITION):
    return run(root, lambda host: plan_watcher(host, systemd, partition, waits=waits), check_mode)


def undo(root, systemd):
    return run(root, lambda host: undo_watcher(host, systemd))


def test_it_is_written_enabled_and_started_once(root, systemd):
    predicted = apply(root, systemd, check_mode=True)
    host = apply(root, systemd)
    assert host.changes == predicted.changes
    assert [(change.resource, change.after) for change in host.changes][1:] == [
        (WATCHER_LINK, WATCHER_UNIT),
        (WATCHER, "running on CPUs 0"),
    ]
    assert systemd.commands == ["daemon-reload", "restart realtime-kvm-watch.service"]
    assert os.readlink(f"{root}{WATCHER_LINK}") == WATCHER_UNIT
    assert apply(root, systemd).changes == []
    assert len(systemd.commands) == 2


def test_its_unit_runs_the_nodes_own_tool_on_housekeeping_cpus(root, systemd):
    apply(root, systemd)
    lines = text(root, WATCHER_UNIT).splitlines()
    assert f"ExecStart=/usr/bin/python3 -I -S {ARCHIVE} watch" in lines
    assert [line for line in lines if line.startswith("CPUAffinity")] == ["CPUAffinity=", "CPUAffinity=0"]
    assert f"ConditionPathExists={ARCHIVE}" in lines


def test_systemd_restarts_one_that_hangs(root, systemd):
    apply(root, systemd)
    lines = text(root, WATCHER_UNIT).splitlines()
    assert f"WatchdogSec={HANGS_S}" in lines
    assert HANGS_S > 5 * GUESTS_S + REST_AT_MOST_S, "it says often enough that it does not hang"


def at_a_stand(root):
    stat = root / "proc/700/stat"
    stat.write_text(stat.read_text().replace(") S ", ") T "))


@pytest.mark.parametrize("state", ["stopped", "elsewhere", "at a stand"])
def test_one_that_ended_or_stands_or_runs_elsewhere_is_started_again(root, systemd, state):
    apply(root, systemd)
    if state == "stopped":
        fill(root, {PROCS: ""})
    elif state == "at a stand":
        at_a_stand(root)
    else:
        systemd.runs("0-3")
    host = apply(root, systemd)
    before = "running on CPUs 0-3" if state == "elsewhere" else "stopped"
    assert [(change.resource, change.before, change.after) for change in host.changes] == [(WATCHER, before, "running on CPUs 0")]
    assert apply(root, systemd).changes == []


def test_another_unit_restarts_it(root, systemd):
    apply(root, systemd)
    fill(root, {WATCHER_UNIT: "[Service]\nExecStart=/bin/false\n"})
    assert [change.resource for change in apply(root, systemd).changes] == [WATCHER_UNIT, WATCHER]
    assert systemd.commands[-1] == "restart realtime-kvm-watch.service"


def test_before_the_reboot_it_is_only_enabled(root, systemd):
    assert [change.resource for change in apply(root, systemd, waits=True).changes] == [WATCHER_UNIT, WATCHER_LINK]
    assert systemd.commands == ["daemon-reload"]
    assert apply(root, systemd, waits=True).changes == []


def test_without_isolated_cpus_or_on_a_capture_it_is_not_started(root, systemd):
    assert apply(root, systemd, partition=plan(Intent(realtime="0"))).changes == []
    captured = Host(str(root), owner="irq_affinity", captured=True)
    plan_watcher(captured, systemd, PARTITION, waits=False)
    assert [change.resource for change in captured.changes] == [WATCHER_UNIT, WATCHER_LINK]
    assert systemd.commands == []


def test_undo_ends_one_that_stands(root, systemd):
    apply(root, systemd)
    at_a_stand(root)
    assert [change.resource for change in undo(root, systemd).changes] == [WATCHER, WATCHER_LINK, WATCHER_UNIT]


def test_it_is_removed_whole(root, systemd):
    systemd.runs("0-3")
    fill(root, {PROCS: ""})
    before = snapshot(root)
    apply(root, systemd)
    systemd.commands.clear()
    host = undo(root, systemd)
    assert [change.resource for change in host.changes] == [WATCHER, WATCHER_LINK, WATCHER_UNIT]
    assert systemd.commands == ["stop realtime-kvm-watch.service", "daemon-reload"]
    assert set(snapshot(root)) == set(before)
    assert undo(root, systemd).changes == []
    assert len(systemd.commands) == 2


def test_it_is_stopped_before_what_it_would_move_again_is_restored(root, systemd):
    def converge(host):
        plan_interrupts(host, PARTITION)
        plan_watcher(host, systemd, PARTITION, waits=False)

    run(root, converge)

    def planner(host):
        undo_watcher(host, systemd, restore=lambda: (host.restore_values(), host.restore_links(), host.restore_files()))

    resources = [change.resource for change in run(root, planner).changes]
    assert resources[0] == WATCHER
    assert len(resources) == len(set(resources)) == 6
    assert watcher_cpus(Host(str(root))) is None


def test_one_of_another_user_is_left_alone(root, systemd):
    fill(root, {WATCHER_UNIT: "mine\n"})
    systemd.runs("0-3")
    assert undo(root, systemd).changes == []
    assert systemd.commands == []
