# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""irq_affinity: interrupts go to the CPUs that the partition leaves for them."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._runtime.interrupts import INTERRUPTS
from unit.features import PARTITION
from unit.trees import plan, writable


def test_interrupts_leave_the_isolated_cpus(root):
    host = writable(root, "irq_affinity")
    INTERRUPTS.plan(host, PARTITION, {})
    assert [(change.resource, change.before, change.after) for change in host.changes] == [
        ("/proc/irq/default_smp_affinity", "f", "00000001"),
        ("/proc/irq/9/smp_affinity_list", "0-3", "0"),
    ]


def test_they_may_go_where_another_partition_lets_them(root):
    host = writable(root, "irq_affinity")
    INTERRUPTS.plan(host, plan(cores=5), {})
    assert {change.after for change in host.changes if change.resource.endswith("_list")} == {"0"}
    assert (INTERRUPTS.name, INTERRUPTS.role, dict(INTERRUPTS.options)) == ("irq_affinity", "irq_affinity", {})
