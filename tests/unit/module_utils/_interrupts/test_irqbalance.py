# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""irqbalance's list of CPUs that it leaves alone: written, removed, and the daemon restarted only where it runs."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.irqbalance import (
    IRQBALANCE_DROP_IN,
    plan_irqbalance,
    undo_irqbalance,
)
from unit.irqs import PARTITION, run, text
from unit.trees import fill, plan, snapshot

ENVIRONMENT = "/etc/realtime-kvm/irqbalance.env"
BANNED = "IRQBALANCE_BANNED_CPULIST=1-3"


class Systemd:
    def __init__(self):
        self.commands = []

    def __call__(self, command):
        self.commands.append(" ".join(command))
        return 0, "", ""


def running(root, *environment):
    fill(root, {"/sys/fs/cgroup/system.slice/irqbalance.service/cgroup.procs": "77\n", "/run/systemd/system/": None})
    fill(root, {"/proc/77/environ": "".join(f"{line}\0" for line in environment)})


def test_irqbalance_gets_its_list(root):
    systemd = Systemd()
    host = run(root, lambda host: plan_irqbalance(host, systemd, PARTITION))
    assert [change.resource for change in host.changes] == [ENVIRONMENT, IRQBALANCE_DROP_IN]
    assert text(root, ENVIRONMENT) == BANNED
    assert text(root, IRQBALANCE_DROP_IN) == f"[Service]\nEnvironmentFile=-{ENVIRONMENT}"
    assert systemd.commands == []
    assert run(root, lambda host: plan_irqbalance(host, systemd, PARTITION)).changes == []


def test_a_running_irqbalance_is_restarted_once_and_back(root):
    systemd = Systemd()
    running(root, "A=1")
    before = snapshot(root)
    host = run(root, lambda host: plan_irqbalance(host, systemd, PARTITION))
    assert host.changes[-1].resource == "service:irqbalance"
    assert systemd.commands == ["systemctl daemon-reload", "systemctl try-restart irqbalance.service"]
    running(root, "A=1", BANNED)
    assert run(root, lambda host: plan_irqbalance(host, systemd, PARTITION)).changes == []

    def undo(host):
        host.restore_files()
        undo_irqbalance(host, systemd)

    run(root, undo)
    assert systemd.commands[2:] == systemd.commands[:2]
    running(root, "A=1")
    assert snapshot(root) == before
    assert run(root, undo).changes == []


def test_no_list_without_isolated_cpus(root):
    assert run(root, lambda host: plan_irqbalance(host, Systemd(), plan(Intent(smt="together", realtime="0")))).changes == []
