# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the kernel's own work off isolated CPUs: files, and rules for its threads."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import (
    runtime_settings,
    thread_rule,
)
from unit.trees import plan

SWITCH = plan(Intent(dataplane_cores_per_node=1, shared_cores_per_node=1, realtime="1"))
NOTHING = plan(Intent(realtime="0"))


def values(settings):
    return {setting.path: setting.value for setting in settings}


def test_without_isolated_cpus_nothing_is_set():
    assert runtime_settings(NOTHING, "unlimited") == []


def test_work_items_run_on_ordinary_cpus_alone():
    found = values(runtime_settings(SWITCH, "kernel"))
    assert SWITCH.unisolated == {0, 2}
    assert found["/sys/devices/virtual/workqueue/cpumask"] == "00000005"
    assert found["/sys/devices/virtual/workqueue/writeback/cpumask"] == "00000005"
    assert [setting.disruption for setting in runtime_settings(SWITCH, "kernel") if "workqueue" in setting.path] == ["stall"] * 2


def test_throttling_is_lifted_only_when_asked_for():
    kept, lifted = (values(runtime_settings(SWITCH, choice)) for choice in ("kernel", "unlimited"))
    assert "/proc/sys/kernel/sched_rt_runtime_us" not in kept
    assert not [path for path in kept if "server" in path]
    assert lifted["/proc/sys/kernel/sched_rt_runtime_us"] == "-1"
    assert {path: value for path, value in lifted.items() if "server" in path} == {
        f"/sys/kernel/debug/sched/{server}_server/cpu{cpu}/runtime": "0" for server in ("fair", "ext") for cpu in (1, 3)
    }


@pytest.mark.parametrize(
    ("name", "priority"),
    [
        ("ksoftirqd/0", 2),
        ("ksoftirqd/127", 2),
        ("ktimers/3", 2),
        ("ktimersd/3", 2),
        ("ktimersoftd/3", 2),
        ("rcuc/1", 4),
        ("rcub/0", 4),
        ("rcuop/1", None),
        ("rcu_preempt", None),
        ("ksoftirqd", None),
        ("ksoftirqd/0x", None),
        ("my ksoftirqd/0", None),
        ("kworker/0:1", None),
        ("migration/0", None),
    ],
)
def test_rules_for_threads(name, priority):
    rule = thread_rule(name)
    assert (rule.priority if rule else None) == priority
    assert rule is None or (rule.policy == 1 and rule.priority > 1), "vCPU threads run at FIFO 1, below"
