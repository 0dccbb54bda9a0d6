# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_power: what it makes of its options."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.power import POWER
from unit.features import CPU, OPTIONS, PARTITION, apply, text
from unit.trees import fill, plan, writable


@pytest.mark.parametrize(("cstates", "limit"), [("C1", "2"), ("C0", "n/a"), ("keep", "0")])
def test_the_idle_limit(root, cstates, limit):
    apply(root, "cpu_power", cstates=cstates)
    assert text(root, f"{CPU}/cpu1/power/pm_qos_resume_latency_us") == limit
    assert text(root, f"{CPU}/cpu0/power/pm_qos_resume_latency_us") == "0"


def test_each_option_alone(root):
    def resources(**options):
        host = writable(root, "cpu_power")
        POWER.plan(host, PARTITION, {"governor": "keep", "turbo": "keep", "cstates": "keep", **options})
        return [change.resource.rsplit("/", 1)[1] for change in host.changes]

    assert resources() == []
    assert resources(governor="performance") == ["scaling_governor"], "the other policy has it already"
    assert resources(turbo="off") == ["no_turbo"]
    assert resources(cstates="C1") == ["pm_qos_resume_latency_us"] * 3


def test_idle_states_without_a_latency_are_passed_over(root):
    fill(root, {f"{CPU}/cpu1/cpuidle/state1/latency": "much\n"})
    apply(root, "cpu_power")
    assert text(root, f"{CPU}/cpu1/power/pm_qos_resume_latency_us") == "133"


def test_each_cpu_has_the_limit_of_its_own_states_and_the_plan_names_the_state(root):
    cpu2 = {("POLL", 0), ("C1E", 3), ("C6", 220)}
    fill(
        root,
        {
            f"{CPU}/cpu2/cpuidle/state{number}/{key}": f"{value}\n"
            for number, state in enumerate(sorted(cpu2, key=lambda state: state[1]))
            for key, value in zip(("name", "latency"), state)
        },
    )
    host = writable(root, "cpu_power", check_mode=True)
    POWER.plan(host, PARTITION, OPTIONS["cpu_power"])
    found = {change.resource.split("/")[5]: change for change in host.changes if change.resource.endswith("latency_us")}
    assert {cpu: change.after for cpu, change in found.items()} == {"cpu1": "2", "cpu2": "3", "cpu3": "1"}
    assert "longer to leave than C1E (3 us)" in found["cpu2"].reason


def test_a_state_that_is_switched_off_is_none(root):
    fill(root, {f"{CPU}/cpu1/cpuidle/state1/disable": "1\n"})
    apply(root, "cpu_power")
    assert text(root, f"{CPU}/cpu1/power/pm_qos_resume_latency_us") == "133"


def test_a_partition_without_isolated_cpus_limits_no_cpu(root):
    host = writable(root, "cpu_power")
    POWER.plan(host, plan(Intent(smt="together", realtime="0")), OPTIONS["cpu_power"])
    assert sorted(change.resource.rsplit("/", 1)[1] for change in host.changes) == ["no_turbo", "scaling_governor"]


@pytest.mark.parametrize("cstates", ["C1", "keep"])
def test_a_cpu_that_leaves_the_isolated_sets_has_its_idle_states_back(root, cstates):
    limits = [f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us" for cpu in range(4)]
    apply(root, "cpu_power")
    smaller = plan(Intent(cpus={"realtime": "1"}))
    assert smaller.unisolated == {0, 2, 3}
    apply(root, "cpu_power", smaller, cstates=cstates)
    assert [text(root, path) for path in limits] == ["0", "2", "0", "0"]
    assert apply(root, "cpu_power", smaller, cstates=cstates).changes == []
    assert text(root, f"{CPU}/cpufreq/policy0/scaling_governor") == "performance", "of all CPUs"
    apply(root, "cpu_power", plan(Intent(realtime="0")))
    assert [text(root, path) for path in limits] == ["0"] * 4
