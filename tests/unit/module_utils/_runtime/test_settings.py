# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold at run time: values, kernel threads, idle limits, and where interrupts go."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.affinity import Interrupt, stuck, wanted_affinity
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import (
    ChoiceSetting,
    MaskSetting,
    runtime_settings,
    thread_rule,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.power_settings import c1_latency, power_settings
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.settings import Setting
from unit.trees import plan

PLAIN = plan()
SWITCH = plan(Intent(dataplane_cores_per_node=1, shared_cores_per_node=1, realtime="1"))
NOTHING = plan(Intent(realtime="0"))


def values(settings):
    return {setting.path: setting.value for setting in settings}


# -- settings --------------------------------------------------------------------------------------


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


def test_every_setting_has_a_reason():
    everything = [*runtime_settings(SWITCH, "unlimited"), *power_settings(SWITCH, latency_us="1", turbo="off", performance=True)]
    assert len({setting.path for setting in everything}) == len(everything)
    assert all(setting.reason and setting.disturbs for setting in everything)


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        (
            {"performance": True},
            {"scaling_governor": "performance", "min_perf_pct": "100", "energy_perf_bias": "0"},
            ["no_turbo"],
        ),
        ({"turbo": "off"}, {"no_turbo": "1", "boost": "0"}, ["scaling_governor", "pm_qos_resume_latency_us"]),
        ({"latency_us": "2"}, {"pm_qos_resume_latency_us": "2"}, ["no_turbo", "scaling_governor"]),
        ({"latency_us": "n/a"}, {"pm_qos_resume_latency_us": "n/a"}, []),
        ({}, {}, ["no_turbo", "scaling_governor", "pm_qos_resume_latency_us"]),
    ],
)
def test_power(options, present, absent):
    settings = power_settings(PLAIN, **{"latency_us": None, "turbo": "keep", "performance": False, **options})
    found = {path.rsplit("/", 1)[1]: value for path, value in values(settings).items()}
    assert present.items() <= found.items()
    assert not set(absent) & set(found)


def test_idle_limits_are_for_realtime_and_dataplane_cpus():
    found = values(power_settings(SWITCH, latency_us="1", turbo="keep", performance=False))
    assert set(found) == {f"/sys/devices/system/cpu/cpu{cpu}/power/pm_qos_resume_latency_us" for cpu in (1, 3)}


@pytest.mark.parametrize(
    ("form", "wanted", "current", "holds", "written_back"),
    [
        ("text", "10", "10", True, "10"),
        ("text", "10", "1", False, "1"),
        ("mask", "00000005", "5", True, "5"),
        ("mask", "00000005", "00000000,00000005", True, "00000000,00000005"),
        ("mask", "00000005", "7", False, "7"),
        ("mask", "00000005", "", False, ""),
        ("choice", "never", "always madvise [never]", True, "never"),
        ("choice", "never", "[always] madvise never", False, "always"),
        ("choice", "never", "never", True, "never"),
    ],
)
def test_what_a_file_shows_is_understood(form, wanted, current, holds, written_back):
    kind = {"text": Setting, "mask": MaskSetting, "choice": ChoiceSetting}[form]
    setting = kind("/x", wanted, "why")
    assert setting.holds(current) is holds
    assert setting.simplify(current) == written_back


@pytest.mark.parametrize(
    ("states", "limit"),
    [
        ([], "1"),
        ([("POLL", 0), ("C1", 2), ("C1E", 10), ("C6", 170)], "2"),
        ([("POLL", 0), ("C1_ACPI", 1), ("C2_ACPI", 127)], "1"),
        ([("C1-HSW", 2), ("C1E-HSW", 10), ("C3-HSW", 33)], "2"),
        ([("POLL", 0), ("C1", 0), ("C2", 18)], "1"),
        ([("POLL", 0), ("haltpoll", 1)], "1"),
    ],
)
def test_the_limit_admits_c1_and_nothing_deeper(states, limit):
    assert c1_latency(states) == limit
    assert not [name for name, latency in states if name.startswith(("C1E", "C2", "C3", "C6")) and latency <= int(limit)]


# -- kernel threads --------------------------------------------------------------------------------


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


# -- interrupts ------------------------------------------------------------------------------------

TWO = plan(Intent(), nodes=2, cores=3)  # housekeeping 0 and 3


def interrupt(affinity, effective=(), node=None, movable=True):
    return Interrupt(7, ("nic",), frozenset(affinity), frozenset(effective), node, movable)


@pytest.mark.parametrize(
    ("affinity", "node", "wanted"),
    [
        ({0, 1, 2, 3, 4, 5}, None, {0, 3}),
        ({0, 1}, 1, {0}),
        ({3}, 0, {3}),
        ({1, 2}, None, {0, 3}),
        ({1, 2}, 0, {0}),
        ({1, 2}, 1, {3}),
        ({4}, 9, {0, 3}),
        ((), 1, {3}),
        ((), None, {0, 3}),
    ],
)
def test_where_an_interrupt_goes(affinity, node, wanted):
    assert wanted_affinity(interrupt(affinity, node=node), TWO, TWO.nodes) == wanted


@pytest.mark.parametrize(
    ("irq", "is_stuck"),
    [
        (interrupt({1}, {1}, movable=False), True),
        (interrupt({0, 1}, {0}, movable=False), False),
        (interrupt({0, 1}, (), movable=False), True),
        (interrupt({0}, (), movable=False), False),
        (interrupt({1}, {1}), False),
    ],
)
def test_what_is_stuck_is_managed_and_fires_on_isolated_cpus(irq, is_stuck):
    assert bool(stuck([irq], TWO)) is is_stuck


def test_a_label_tells_all_handlers():
    assert Interrupt(9, ("a", "b"), frozenset(), frozenset()).label == "IRQ 9 (a, b)"
