# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel threads get a priority or other CPUs."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.kernel_threads import plan_threads
from unit.trees import fill, plan, task

KERNEL, BOUND = 0x00200000, 0x04000000
PARTITION = plan()  # housekeeping 0, realtime 1-3


def kernel_thread(pid, name, **options):
    options["flags"] = options.get("flags", 0) | KERNEL
    return task(f"/proc/{pid}", name, **options)


def planned(root, partition=PARTITION):
    host = Host(str(root), owner="cpu_partition")
    plan_threads(host, partition)
    return [(change.resource, change.before, change.after) for change in host.changes]


@pytest.mark.parametrize(
    ("thread", "changes"),
    [
        (kernel_thread(9, "kthreadd"), [("thread:kthreadd:9:100:affinity", "0-3", "0")]),
        (kernel_thread(9, "khugepaged", allowed="1-3"), [("thread:khugepaged:9:100:affinity", "1-3", "0")]),
        (kernel_thread(9, "kthreadd", allowed="0"), []),
        (kernel_thread(9, "pinned on purpose", allowed="2"), []),
        (kernel_thread(9, "kworker/u8:0", flags=BOUND), []),
        (kernel_thread(9, "irq/24-nvme0q1"), []),
        (task("/proc/9", "irq/a program"), []),
        (
            kernel_thread(9, "ksoftirqd/1", flags=BOUND, allowed="1"),
            [("thread:ksoftirqd/1:9:100:priority", "SCHED_OTHER 0", "SCHED_FIFO 2")],
        ),
        (kernel_thread(9, "ksoftirqd/1", flags=BOUND, allowed="1", policy=1, priority=2), []),
        (
            kernel_thread(9, "rcuc/1", flags=BOUND, allowed="1", policy=1, priority=1),
            [("thread:rcuc/1:9:100:priority", "SCHED_FIFO 1", "SCHED_FIFO 4")],
        ),
        (
            kernel_thread(9, "rcub/0", policy=1, priority=1),
            [("thread:rcub/0:9:100:priority", "SCHED_FIFO 1", "SCHED_FIFO 4"), ("thread:rcub/0:9:100:affinity", "0-3", "0")],
        ),
        (task("/proc/9", "ksoftirqd/1"), []),
    ],
)
def test_which_threads_are_changed(tmp_path, thread, changes):
    assert planned(fill(tmp_path, thread)) == changes


def test_without_isolated_cpus_threads_are_left_alone(tmp_path):
    fill(tmp_path, {**kernel_thread(9, "ksoftirqd/1"), **kernel_thread(10, "kthreadd")})
    assert planned(tmp_path, plan(Intent(smt="together", realtime="0"))) == []
