# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small tree, a plan with one change of each kind, and runs that make it and take it back."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from unit.trees import fill, killed_at, writable

SYSCTL = "/proc/sys/vm/stat_interval"
WATCHDOG = "/proc/sys/kernel/watchdog"
KEPT = "/etc/kept.conf"
OURS = "/etc/ours.d/deep/ours.conf"
WANTS = "/etc/units.wants/ours.service"
#: A thread's resource, and an original of each kind as the modules keep it.
THREAD = "thread:kswapd0:77:1234:affinity"
ORIGINALS = {
    "value": "1",
    "thread": "0-3",
    "cgroup": "",
    "file": {"file": {"mode": 0o644, "content": "b2xk"}},
    "link": {"link": "../old"},
    "lines": {"lines": "old\n", "absent": False},
    "service": "enabled active",
    "alternative": {"program": "/usr/bin/old", "mode": "auto"},
    "driver": {"driver": "ixgbe", "override": "", "name": "ens1"},
    "module": "absent",
    "ovs": {"value": None},
    "domain": {"xml": "<domain/>", "autostart": True},
    "grubby": json.dumps({"tokens": ["quiet"], "ours": []}),
}
FOREIGN = b"\xff\x00admin's\n"


def tree(root):
    """Fill a root with what ``plan_all`` changes."""
    files = {BOOT_ID: "boot-1\n", SYSCTL: "1", WATCHDOG: "1", KEPT: FOREIGN, "/var/lib/": None, "/boot/vmlinuz-6.1": ""}
    fill(root, files)
    os.chmod(f"{root}{KEPT}", 0o640)
    return root


def plan_all(host):
    """One of each kind; the second value is there already."""
    host.set_value(SYSCTL, "10", disruption="stall", reason="why")
    host.set_value(WATCHDOG, "1")
    host.set_file(KEPT, b"ours\n", mode=0o600)
    host.set_file(OURS, b"new\n")
    host.set_link(WANTS, "../ours.service")


def plan_undo(host):
    host.restore_values()
    host.restore_links()
    host.restore_files()


def apply(root, planner=plan_all, owner="test"):
    """A run: plan and commit under the lock."""
    host = writable(root, owner)
    with host.locked():
        planner(host)
        host.commit()
    return host


def undo(root, owner="test"):
    return apply(root, plan_undo, owner)


def journal(root):
    return json.loads(Path(f"{root}{JOURNAL}").read_text())


def reboot(root, values=None):
    fill(root, {BOOT_ID: "boot-2\n", **(values or {})})


def killed_everywhere(another, interrupted, prepare=lambda tree: None):
    """Yield a tree for every step before which a run was killed, and at last one whose run reached its end."""
    for step in itertools.count():
        tree = another()
        prepare(tree)
        killed = killed_at(step, lambda tree=tree: interrupted(tree), tree)
        yield step, tree
        if not killed:
            return
