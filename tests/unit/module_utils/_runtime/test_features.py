# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Features at run time: when they wait, what they make, their options and document on the node, and undo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.current import require_current_partition
from ansible_collections.realtime.kvm.plugins.module_utils._host.document import read_partition, require_partition
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.feature import (
    must_wait,
    plan_feature,
    plan_settings,
    undo_feature,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.features import FEATURES, configured_features
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.settings import Setting
from unit.trees import fill, machine_files, plan, snapshot, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
CPU = "/sys/devices/system/cpu"
OPTIONS = {
    "cpu_partition": {"rt_throttling": "unlimited", "priority_limit": 1, "cycle_cpus": False},
    "cpu_power": {"governor": "performance", "turbo": "off", "cstates": "C1"},
    "irq_affinity": {},
    "kvm_host": {"pages": {"0": {"2M": 96, "1G": 1}}, "nx_huge_pages": "off", "halt_poll_ns": 0},
}
KNOBS = {
    "/proc/sys/kernel/timer_migration": "1\n",
    "/proc/sys/vm/swappiness": "60\n",
    "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": "64\n",
    "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages": "60\n",
    "/sys/module/kvm/parameters/nx_huge_pages": "Y\n",
    "/sys/module/kvm/parameters/halt_poll_ns": "200000\n",
    "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "/sys/devices/virtual/workqueue/cpumask": "f\n",
    "/sys/devices/virtual/workqueue/writeback/cpumask": "0000000f\n",
    "/sys/kernel/debug/sched/fair_server/cpu0/runtime": "50000000\n",
    "/sys/kernel/debug/sched/fair_server/cpu1/runtime": "50000000\n",
    f"{CPU}/cpufreq/policy0/scaling_governor": "powersave\n",
    f"{CPU}/cpufreq/policy1/scaling_governor": "performance\n",
    f"{CPU}/intel_pstate/no_turbo": "0\n",
    f"{CPU}/cpu1/cpuidle/state0/name": "POLL\n",
    f"{CPU}/cpu1/cpuidle/state0/latency": "0\n",
    f"{CPU}/cpu1/cpuidle/state1/name": "C1\n",
    f"{CPU}/cpu1/cpuidle/state1/latency": "2\n",
    f"{CPU}/cpu1/cpuidle/state2/name": "C6\n",
    f"{CPU}/cpu1/cpuidle/state2/latency": "133\n",
    **{f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us": "0\n" for cpu in range(4)},
    "/proc/irq/default_smp_affinity": "f\n",
    "/proc/irq/9/smp_affinity_list": "0-3\n",
    "/proc/irq/9/acpi/": None,
}


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {**machine_files(isolated="1-3"), **KNOBS, "/var/lib/": None})


def run(root, planner, owner="cpu_partition"):
    host = writable(root, owner)
    with host.locked():
        planner(host)
        host.commit()
    return host


def apply(root, feature, partition=PARTITION, **options):
    return run(root, lambda host: plan_feature(host, FEATURES[feature], partition, {**OPTIONS[feature], **options}), feature)


def text(root, path):
    return Path(f"{root}{path}").read_text().strip()


# -- waiting for the reboot ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("isolated", "partition", "waits"),
    [
        ("1-3", PARTITION, False),
        ("1-2", PARTITION, True),
        ("", PARTITION, True),
        ("(null)", PARTITION, True),
        ("0-3", PARTITION, False),
        ("", plan(Intent(realtime="0")), False),
        ("", plan(Intent(isolation="runtime")), False),
    ],
)
def test_values_wait_until_the_kernel_isolates(tmp_path, isolated, partition, waits):
    fill(tmp_path, machine_files(isolated=isolated))
    assert must_wait(Host(str(tmp_path)), partition) is waits


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_that_waits_keeps_its_options_alone(root, feature):
    fill(root, {f"{CPU}/isolated": "\n"})
    host = writable(root, feature)
    assert plan_feature(host, FEATURES[feature], PARTITION, OPTIONS[feature]) is True
    assert [change.resource for change in host.changes] == [config_path(feature)]


# -- making ----------------------------------------------------------------------------------------


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
                "/sys/kernel/debug/sched/fair_server/cpu1/runtime": "0",
            },
        ),
        (
            "cpu_power",
            {
                f"{CPU}/cpufreq/policy0/scaling_governor": "performance",
                f"{CPU}/intel_pstate/no_turbo": "1",
                **{f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us": "2" for cpu in (1, 2, 3)},
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


def test_undo_puts_values_back_before_the_options(root):
    """An undo that is killed can be repeated, since the options that say what was set are there until the end."""
    apply(root, "cpu_power")
    host = run(root, undo_feature, "cpu_power")
    kinds = [change.resource == config_path("cpu_power") for change in host.changes]
    assert len(kinds) > 2
    assert kinds == sorted(kinds)


@pytest.mark.parametrize(("cstates", "limit"), [("C1", "2"), ("C0", "n/a"), ("keep", "0")])
def test_the_idle_limit(root, cstates, limit):
    apply(root, "cpu_power", cstates=cstates)
    assert text(root, f"{CPU}/cpu1/power/pm_qos_resume_latency_us") == limit
    assert text(root, f"{CPU}/cpu0/power/pm_qos_resume_latency_us") == "0"


def test_a_value_that_the_kernel_changes_while_writing_is_an_error(root, monkeypatch):
    real = Host.write_value
    monkeypatch.setattr(Host, "write_value", lambda self, path, _value: real(self, path, "3"))
    with pytest.raises(HostError, match=r"^/proc/sys/kernel/timer_migration: '0' was written, but the kernel shows '3'$"):
        apply(root, "cpu_partition")


def test_a_file_is_planned_once_although_two_patterns_match(root):
    host = writable(root)
    plan_settings(host, [Setting("/proc/sys/vm/swappiness", "1", "one"), Setting("/proc/sys/vm/*", "2", "two")])
    assert [(change.resource, change.after) for change in host.changes] == [("/proc/sys/vm/swappiness", "1")]


# -- the document ----------------------------------------------------------------------------------


def test_the_document_is_read_back(root):
    fill(root, {DOCUMENT: json.dumps(to_document(PARTITION))})
    assert read_partition(Host(str(root))) == PARTITION
    assert require_partition(Host(str(root)), None) == PARTITION


def test_the_partition_given_wins_over_the_document(root):
    fill(root, {DOCUMENT: json.dumps(to_document(PARTITION))})
    other = plan(Intent(realtime="1"))
    assert require_partition(Host(str(root)), to_document(other)) == other


def test_without_a_document_it_is_said_what_to_do(root):
    assert read_partition(Host(str(root))) is None
    with pytest.raises(
        PartitionError, match=rf"there is no partition on this node \({DOCUMENT} is missing\); run the cpu_partition role"
    ):
        require_partition(Host(str(root)), None)


@pytest.mark.parametrize("damaged", ["", "{", "[]", "null", "7", "{}", '{"schema": 2}', '{"schema": 1}', '"text"'])
def test_a_damaged_document_is_named(root, damaged):
    fill(root, {DOCUMENT: damaged})
    with pytest.raises(PartitionError, match=f"^{DOCUMENT}: "):
        read_partition(Host(str(root)))


# -- the options -----------------------------------------------------------------------------------


def test_configured_features(root):
    assert configured_features(Host(str(root))) == {}
    for feature in FEATURES:
        apply(root, feature)
    assert configured_features(Host(str(root))) == OPTIONS


@pytest.mark.parametrize(
    ("feature", "damaged", "role"),
    [
        ("cpu_partition", "", "cpu_partition"),
        ("cpu_partition", "{", "cpu_partition"),
        ("cpu_partition", "[]", "cpu_partition"),
        ("cpu_partition", "null", "cpu_partition"),
        ("cpu_partition", "{}", "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": "what", "priority_limit": 1, "cycle_cpus": false}', "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": [], "priority_limit": 1, "cycle_cpus": false}', "cpu_partition"),
        ("cpu_partition", '{"rt_throttling": "kernel", "priority_limit": 99}', "cpu_partition"),
        ("cpu_power", '{"governor": "keep", "turbo": "keep"}', "power"),
        ("cpu_power", '{"governor": "keep", "turbo": "keep", "cstates": "C7"}', "power"),
        ("irq_affinity", "7", "irq_affinity"),
        ("kvm_host", "{}", "kvm_host"),
        ("kvm_host", '{"pages": {"0": {"2M": 1}}}', "kvm_host"),
        ("kvm_host", '{"pages": {"a": {"2M": 1}}, "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {"0": {"2M": "1"}}, "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {"0": {"16G": 1}}, "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": [], "nx_huge_pages": "keep", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {}, "nx_huge_pages": "on", "halt_poll_ns": -1}', "kvm_host"),
        ("kvm_host", '{"pages": {}, "nx_huge_pages": "keep", "halt_poll_ns": -2}', "kvm_host"),
        ("kvm_host", '{"pages": {}, "nx_huge_pages": "keep", "halt_poll_ns": "0"}', "kvm_host"),
    ],
)
def test_damaged_options_are_named_with_the_role_that_repairs_them(root, feature, damaged, role):
    fill(root, {config_path(feature): damaged})
    with pytest.raises(HostError, match=rf"^{config_path(feature)} is damaged \(.+\); run the {role} role to write it again$"):
        configured_features(Host(str(root)))


def test_huge_pages_that_are_off_for_good_stay_so(root):
    fill(root, {"/sys/module/kvm/parameters/nx_huge_pages": "never\n"})
    assert "never" not in str([change.before for change in apply(root, "kvm_host").changes])


def test_a_partition_of_other_cpus_is_refused(root):
    topology = build_topology(machine_files())
    assert require_current_partition(Host(str(root)), topology.digest(), to_document(PARTITION)) == PARTITION
    with pytest.raises(PartitionError, match=r"^the partition document describes another topology than the node has now"):
        require_current_partition(Host(str(root)), topology.digest(), to_document(plan(cores=2)))


def test_every_feature_has_options_and_a_role():
    assert {name: set(feature.options) for name, feature in FEATURES.items()} == {
        name: set(given) for name, given in OPTIONS.items()
    }
