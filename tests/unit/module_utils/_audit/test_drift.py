# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node differs from its plan: each difference by rule, and a node without one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.drift import (
    check_tasks,
    feature_findings,
    interrupt_findings,
    partition_drift,
    read_wanted_kernel,
    tuned_finding,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import Thread
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cache import CACHE, plan_cache
from unit.features import run
from unit.irqs import irq
from unit.resctrls import RESCTRL, Bandwidth, Resctrl, cache_files, processor
from unit.trees import fill, machine_files, plan, task, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
TOPOLOGY = build_topology(machine_files())
KERNEL = config_path("kernel_arguments")


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, machine_files(isolated="1-3"))


def rules(root):
    return [(finding.rule, finding.resource) for finding in partition_drift(writable(root), TOPOLOGY, PARTITION)]


def test_a_node_without_a_document_has_one_finding(root):
    assert [(found.rule, found.resource) for found in partition_drift(writable(root), TOPOLOGY, None)] == [
        ("document-missing", DOCUMENT)
    ]


def test_a_node_as_it_should_be_has_none(root):
    assert rules(root) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"/sys/devices/system/cpu/isolated": "1-2\n"}, [("isolation", "/sys/devices/system/cpu/isolated")]),
        (
            {KERNEL: json.dumps({"tokens": ["skew_tick=1"], "default_kernel": "*-rt-*"})},
            [("kernel-argument", "skew_tick")],
        ),
        ({KERNEL: json.dumps({"tokens": ["quiet"], "default_kernel": "*-cloud-*"})}, [("kernel", "running kernel")]),
        (
            {
                "/proc/irq/24/smp_affinity_list": "0-3",
                "/proc/irq/24/effective_affinity_list": "2",
                "/proc/irq/24/node": "0",
                "/proc/irq/24/nvme/": None,
            },
            [("interrupt", "IRQ 24 (nvme)")],
        ),
        (
            {"/etc/systemd/system/multi-user.target.wants/tuned.service": "", "/etc/tuned/active_profile": "balanced\n"},
            [("tuned", "tuned.service")],
        ),
    ],
)
def test_each_difference_has_its_rule(root, files, found):
    fill(root, files)
    assert rules(root) == found


def test_a_task_on_both_sides_is_named_with_its_number(root):
    fill(root, {"/proc/70/": None, **task("/proc/70/task/70", "sshd", allowed="0-1")})
    assert rules(root) == [("task", "sshd (pid 70)")]


def test_the_profile_of_tuned_is_shown(root):
    assert tuned_finding(writable(root)) is None
    fill(root, {"/etc/systemd/system/multi-user.target.wants/tuned.service": ""})
    assert tuned_finding(writable(root)).actual == "enabled (no profile chosen)"
    fill(root, {"/etc/tuned/active_profile": "balanced\n"})
    assert tuned_finding(writable(root)).actual == "enabled (balanced)"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"tokens": "quiet", "default_kernel": null}', '{"tokens": [1], "default_kernel": null}',
     '{"tokens": [], "default_kernel": 6}'],
)  # fmt: skip
def test_a_damaged_request_for_a_kernel_is_refused_by_file(root, text):
    fill(root, {KERNEL: text})
    with pytest.raises(HostError, match=rf"^{KERNEL} is damaged \(.+\); run the rt_kernel role"):
        read_wanted_kernel(writable(root))


def test_a_request_for_a_kernel_is_read(root):
    assert read_wanted_kernel(writable(root)) is None
    fill(root, {KERNEL: '{"tokens": ["quiet"], "default_kernel": null}'})
    assert read_wanted_kernel(writable(root)) == {"tokens": ["quiet"], "default_kernel": None}


@pytest.mark.parametrize(
    ("number", "affinity", "thread", "named"),
    [
        (24, "2", "2", ["IRQ 24 (nvme)"]),
        (24, "2-3", "2", ["IRQ 24 (nvme)"]),
        (24, "2", "3", ["thread:irq/24-nvme:311:100:affinity", "IRQ 24 (nvme)"]),
        (2, "2", "2", ["thread:irq/24-nvme:311:100:affinity", "IRQ 2 (nvme)"]),
        (24, "", "3", ["thread:irq/24-nvme:311:100:affinity"]),
        (24, "9", "3", ["thread:irq/24-nvme:311:100:affinity"]),
    ],
    ids=["beside it", "on one of its CPUs", "elsewhere", "of another", "its CPUs are not known", "its CPUs are not the node's"],
)
def test_a_thread_is_no_second_difference_only_where_its_interrupt_is(root, number, affinity, thread, named):
    files = {**irq(number, affinity, affinity, "nvme"), **(irq(24, "0", "0", "other") if number == 2 else {})}
    fill(root, {**files, **task("/proc/311", "irq/24-nvme", flags=0x00200000, policy=1, priority=50, allowed=thread)})
    host = writable(root)
    found = [*feature_findings(host, PARTITION, "irq_affinity", {}), *interrupt_findings(host, PARTITION)]
    assert [(item.rule, item.resource) for item in found] == [("interrupt", name) for name in named]


def test_a_thread_left_behind_for_good_is_named_with_what_works(root):
    """field/11: the interrupt was moved to CPU 0, its thread is bound to CPU 2, a realtime CPU."""
    bound = task("/proc/311", "irq/167-pps@12", flags=0x04200000, policy=1, priority=50, allowed="2")
    fill(root, {**irq(167, "0", "0", "pps@12"), **bound})
    (found,) = partition_drift(writable(root), TOPOLOGY, PARTITION)
    assert (found.rule, found.severity, found.resource) == ("interrupt-thread", "warning", "irq/167-pps@12 (pid 311)")
    assert found.actual == "bound to CPUs 2 with SCHED_FIFO 50, above the vCPUs there"
    assert found.remedy.startswith("it cannot be moved; keep its device's driver from loading, or plan around it")


def test_where_nothing_is_isolated_all_unrestricted_tasks_are_one_finding():
    """As after a boot without the arguments: the kernel balances everything everywhere, and no program is to blame."""
    sshd = Thread(70, "sshd", False, False, 0, 0, frozenset(range(4)), 0, 1)
    tasks = [replace(sshd, pid=70 + number, name=name) for number, name in enumerate(["sshd", "cron", "agetty", "bash"])]
    chosen = replace(sshd, pid=90, allowed=frozenset({0, 1}))
    assert [finding.resource for finding in check_tasks(PARTITION, [*tasks, chosen], isolated=frozenset())] == [
        "sshd (pid 90)",
        "4 tasks (agetty, bash, cron, ...)",
    ]
    assert [finding.resource for finding in check_tasks(PARTITION, tasks[:1], isolated=frozenset())] == ["sshd (pid 70)"]
    assert check_tasks(PARTITION, tasks, isolated=frozenset({1, 2, 3})) == []


def _of_caches(root, **options):
    """What the audit says of a node's caches."""
    found = feature_findings(writable(root), PARTITION, "cpu_cache", {**CACHE.defaults, **options})
    return [(finding.rule, finding.resource, finding.severity) for finding in found]


def test_caches_each_fault_with_its_own_rule(root, monkeypatch):
    fill(root, {**cache_files(L3={0: "0-3"}), **processor(), "/var/lib/": None})
    kernel = Resctrl(root, monkeypatch, bandwidth=Bandwidth())
    wish = {"cache": True, "memory_bandwidth": 50}
    assert _of_caches(root, **wish) == [("cache-mount", RESCTRL, "error")]
    run(root, lambda host: plan_cache(host, PARTITION, {**CACHE.defaults, **wish}))
    assert _of_caches(root, **wish) == []
    assert _of_caches(root, **wish, cache_l2=True) == [("cache-absent", "cpu_partition_cache_l2", "info")]

    group = kernel.groups["realtime-kvm-realtime"]
    group.lines["L3"][0], kernel.groups[""].lines["MB"][0] = 0x7FF, 100
    kernel._cpus("", "0,3")
    kernel._show()
    assert _of_caches(root, **wish) == [
        ("cache-mask", f"{RESCTRL}/realtime-kvm-realtime/schemata:L3", "error"),
        ("cache-group", f"{RESCTRL}/realtime-kvm-realtime/cpus_list", "error"),
        ("memory-bandwidth", f"{RESCTRL}/schemata:MB", "warning"),
    ]
    kernel.foreign("COS1", cpus="2")
    assert _of_caches(root, **wish) == [("cache-foreign", "group COS1 of resctrl", "error")]
