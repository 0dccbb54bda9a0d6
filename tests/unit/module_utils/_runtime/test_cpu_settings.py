# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the kernel's own work off isolated CPUs: files, and rules for its threads."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import (
    BUDGET_NS,
    PERIOD_NS,
    THROTTLING_CHOICES,
    runtime_settings,
    thread_rule,
)
from unit.trees import plan

SWITCH = plan(Intent(smt="together", dataplane_cores_per_node=1, shared_cores_per_node=1, realtime="1"))
NOTHING = plan(Intent(smt="together", realtime="0"))


def values(settings):
    return {setting.path: setting.value for setting in settings}


def test_without_isolated_cpus_nothing_is_set():
    assert runtime_settings(NOTHING, "unlimited", servers=True) == []


def test_work_items_run_on_ordinary_cpus_alone():
    found = values(runtime_settings(SWITCH, "kernel", servers=True))
    assert SWITCH.unisolated == {0, 2}
    assert found["/sys/devices/virtual/workqueue/cpumask"] == "00000005"
    assert found["/sys/devices/virtual/workqueue/writeback/cpumask"] == "00000005"
    assert [
        setting.disruption for setting in runtime_settings(SWITCH, "kernel", servers=True) if "workqueue" in setting.path
    ] == ["stall"] * 2


RT_RUNTIME = "/proc/sys/kernel/sched_rt_runtime_us"
SERVERS = "/sys/kernel/debug/sched/"


def limits(policy, *, servers=True):
    return {
        path: value
        for path, value in values(runtime_settings(SWITCH, policy, servers=servers)).items()
        if path.startswith((RT_RUNTIME, SERVERS))
    }


def test_a_budget_bounds_what_a_vcpu_loses_and_how_long_work_waits():
    """On realtime CPUs alone: poll-mode threads are ordinary tasks, which a server does not interrupt."""
    assert SWITCH.sets["realtime"] == {3}
    assert limits("budget") == {
        RT_RUNTIME: "-1",
        **{f"{SERVERS}{server}_server/cpu3/runtime": "10000" for server in ("fair", "ext")},
        **{f"{SERVERS}{server}_server/cpu3/period": "10000000" for server in ("fair", "ext")},
    }
    assert limits("budget", servers=False)[RT_RUNTIME] == "999900"
    assert next(iter(limits("budget"))) == RT_RUNTIME, "before the servers, which a kernel with a limit may refuse to shrink"
    assert 100_000 <= PERIOD_NS <= 4_194_304_000, "kernel/sched/debug.c takes 100 us to 2^22 us"
    assert 0 < BUDGET_NS < 20_000, "below the limit of the acceptance test with oslat"


def test_the_runtime_is_written_before_the_period_which_must_not_be_shorter():
    names = [
        setting.path.rpartition("/")[2]
        for setting in runtime_settings(SWITCH, "budget", servers=True)
        if "fair_server" in setting.path
    ]
    assert names == ["runtime", "period"]


def test_limits_are_lifted_only_when_asked_for():
    assert limits("unlimited") == {
        RT_RUNTIME: "-1",
        **{f"{SERVERS}{server}_server/cpu3/runtime": "0" for server in ("fair", "ext")},
    }
    assert limits("kernel") == {}
    assert THROTTLING_CHOICES[0] == "budget", "the default"


def test_irq_work_runs_above_rcu_and_rcu_above_soft_interrupts():
    """On PREEMPT_RT irq_work starts at FIFO 1, a vCPU's own priority; what waits for it would wait for ever."""
    for limit in (1, 7, 40):
        order = [thread_rule(name, limit).priority for name in ("irq_work/3", "rcuc/3", "ksoftirqd/3")]
        assert 50 > order[0] > order[1] > order[2] > limit


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
        ("irq_work/11", 5),
        ("irq_work", None),
    ],
)
def test_rules_for_threads(name, priority):
    rule = thread_rule(name)
    assert (rule.priority if rule else None) == priority
    assert rule is None or (rule.policy == 1 and rule.priority > 1), "vCPU threads run at FIFO 1, below"
