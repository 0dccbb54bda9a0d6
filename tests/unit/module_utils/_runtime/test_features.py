# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The features of a node: each is made once, and taken back."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.hotplug import plan_cycles
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.feature import (
    undo_feature,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.features import FEATURES
from unit.documents import text_of
from unit.features import CPU, KNOBS, OPTIONS, PARTITION, apply, run, text
from unit.trees import fill, snapshot


@pytest.mark.parametrize(
    ("feature", "made"),
    [
        (
            "cpu_partition",
            {
                "/proc/sys/kernel/timer_migration": "0",
                "/proc/sys/vm/swappiness": "10",
                "/proc/sys/kernel/sched_rt_runtime_us": "-1",
                "/sys/devices/virtual/workqueue/cpumask": "00000001",
                "/sys/devices/virtual/workqueue/writeback/cpumask": "00000001",
                "/sys/kernel/debug/sched/fair_server/cpu1/runtime": "10000",
                "/sys/kernel/debug/sched/fair_server/cpu1/period": "10000000",
            },
        ),
        (
            "cpu_power",
            {
                f"{CPU}/cpufreq/policy0/scaling_governor": "performance",
                f"{CPU}/intel_pstate/no_turbo": "1",
                **{f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us": limit for cpu, limit in ((1, "2"), (2, "1"), (3, "1"))},
            },
        ),
        ("irq_affinity", {"/proc/irq/default_smp_affinity": "00000001", "/proc/irq/9/smp_affinity_list": "0"}),
        (
            "kvm_host",
            {
                "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": "96",
                "/sys/module/kvm/parameters/nx_huge_pages": "N",
                "/sys/module/kvm/parameters/halt_poll_ns": "0",
            },
        ),
    ],
)
def test_a_feature_is_made_once_and_taken_back(root, feature, made):
    before = snapshot(root)
    host = apply(root, feature)
    assert {change.resource: change.after for change in host.changes[1:]} == made
    assert {path: text(root, path) for path in made} == made
    assert json.loads(text(root, config_path(feature))) == OPTIONS[feature]
    assert apply(root, feature).changes == []
    host = run(root, undo_feature, feature)
    assert {change.resource for change in host.changes} == {config_path(feature), *made}
    after = snapshot(root)
    assert set(after) == set(before)
    assert {path for path in before if after[path] != before[path]} <= set(made)
    assert {path: text(root, path) for path in made} == {path: KNOBS[path].strip() for path in made}
    assert run(root, undo_feature, feature).changes == []


def test_every_feature_has_options_and_a_role():
    assert {name: set(feature.options) for name, feature in FEATURES.items()} == {
        name: set(given) for name, given in OPTIONS.items()
    }


def test_what_a_driver_spreads_when_a_cpu_comes_back_is_moved_off_by_the_feature_that_follows(root, monkeypatch):
    """virtio_net gives its interrupts to all CPUs when one comes online, before the write that switched it on has returned."""
    switches = {f"{CPU}/cpu{cpu}/online": "1\n" for cpu in (1, 2, 3)}
    fill(root, switches)
    apply(root, "irq_affinity")
    interrupt, write = "/proc/irq/9/smp_affinity_list", Host.write_value

    def spread(host, path, value):
        write(host, path, value)
        if path in switches and value == "1":
            fill(root, {interrupt: "0-3\n"})

    monkeypatch.setattr(Host, "write_value", spread)
    run(root, lambda host: plan_cycles(host, PARTITION))
    assert text(root, interrupt) == "0-3"
    apply(root, "irq_affinity")
    assert text(root, interrupt) == "0"


@pytest.mark.parametrize("playbook", ["site", "partition"])
def test_interrupts_come_after_the_partition_in_playbooks_and_at_boot(playbook):
    outer = [task for play in yaml.safe_load(text_of(f"playbooks/{playbook}.yml")) for task in play.get("tasks", ())]
    tasks = [inner for task in outer for inner in task.get("block", [task])]
    roles = [task["ansible.builtin.import_role"]["name"] for task in tasks if "ansible.builtin.import_role" in task]
    assert roles.index("realtime.kvm.cpu_partition") < roles.index("realtime.kvm.irq_affinity")
    assert list(FEATURES).index("cpu_partition") < list(FEATURES).index("irq_affinity")
