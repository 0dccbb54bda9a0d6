# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings: what the machine should be against what it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit import (
    check_document,
    check_interrupts,
    check_kernel,
    check_task,
)
from ansible_collections.realtime.kvm.plugins.module_utils._irq import Interrupt
from ansible_collections.realtime.kvm.plugins.module_utils._partition import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._topology import build_topology
from unit.trees import machine_files, plan

PARTITION = plan()  # housekeeping 0, realtime 1-3
ISOLATED = frozenset({1, 2, 3})
WANTED = {"tokens": ["isolcpus=managed_irq,domain,1-3", "skew_tick=1"], "default_kernel": "*-rt-*"}
GOOD = {
    "release": "6.1.0-50-rt-amd64",
    "realtime": True,
    "isolated": ISOLATED,
    "cmdline": ["BOOT_IMAGE=/x", "quiet", "skew_tick=1", "isolcpus=managed_irq,domain,1-3"],
    "wanted": WANTED,
}


def kernel(**other):
    partition = other.pop("partition", PARTITION)
    return [
        (finding.rule, finding.resource, finding.expected, finding.actual)
        for finding in check_kernel(partition, **{**GOOD, **other})
    ]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ({}, []),
        ({"wanted": None, "release": "x", "realtime": False}, []),
        ({"wanted": {**WANTED, "default_kernel": None}, "release": "x", "realtime": False}, []),
        ({"cmdline": [*GOOD["cmdline"], "skew_tick=1"]}, []),
        ({"cmdline": ["skew-tick=1", "isolcpus=managed_irq,domain,1-3", "other=1"]}, []),
        ({"release": "6.1.0-50-amd64"}, [("kernel", "running kernel", "a kernel *-rt-*", "6.1.0-50-amd64")]),
        ({"realtime": False}, [("kernel", "running kernel", "PREEMPT_RT in uname -v", "6.1.0-50-rt-amd64 without it")]),
        ({"cmdline": ["isolcpus=managed_irq,domain,1-3"]}, [("kernel-argument", "skew_tick", "skew_tick=1", "absent")]),
        (
            {"cmdline": ["skew_tick=1", "isolcpus=1"]},
            [("kernel-argument", "isolcpus", "isolcpus=managed_irq,domain,1-3", "isolcpus=1")],
        ),
        (
            {"cmdline": [*GOOD["cmdline"], "skew_tick=0"]},
            [("kernel-argument", "skew_tick", "only the planned value", "skew_tick=0")],
        ),
        ({"isolated": frozenset()}, [("isolation", "/sys/devices/system/cpu/isolated", "1-3", "none")]),
        ({"isolated": frozenset({1, 2})}, [("isolation", "/sys/devices/system/cpu/isolated", "1-3", "1-2")]),
        ({"isolated": frozenset(), "partition": plan(Intent(isolation="runtime"))}, []),
    ],
)
def test_the_kernel(other, found):
    assert kernel(**other) == found


def test_the_document_is_of_these_cpus():
    assert check_document(PARTITION, build_topology(machine_files())) == []


def test_cpus_that_came_or_went_are_named():
    (finding,) = check_document(PARTITION, build_topology(machine_files(cores=3)))
    assert finding.rule == "topology-changed"
    assert finding.expected.startswith("online CPUs 0-3 (digest ")
    assert finding.actual.startswith("online CPUs 0-2 (digest ")


def test_the_same_cpus_on_other_cores_are_told():
    (finding,) = check_document(PARTITION, build_topology(machine_files(cores=2, threads=2)))
    assert "online CPUs 0-3, with other cores or NUMA nodes (digest " in finding.actual


@pytest.mark.parametrize(
    ("effective", "movable", "found"),
    [({0}, True, False), ({2}, True, True), ({0, 2}, True, True), ({2}, False, False), ((), True, False)],
)
def test_interrupts(effective, movable, found):
    irq = Interrupt(9, ("acpi",), frozenset(range(4)), frozenset(effective), None, movable)
    findings = check_interrupts(PARTITION, [irq])
    assert bool(findings) is found
    assert not found or (findings[0].resource, findings[0].expected) == ("IRQ 9 (acpi)", "CPUs 0")


@pytest.mark.parametrize(
    ("affinity", "effective", "found"),
    [({0}, {2}, False), ({0, 2}, {2}, True), ({0, 1}, {2}, True), ({2}, {0}, False)],
)
def test_an_interrupt_that_moves_when_it_fires_next_is_no_difference(affinity, effective, found):
    irq = Interrupt(9, ("acpi",), frozenset(affinity), frozenset(effective))
    assert bool(check_interrupts(PARTITION, [irq])) is found


@pytest.mark.parametrize(
    ("allowed", "found"),
    [({0}, False), ({1, 2}, False), ({1, 2, 3}, False), ({0, 1}, True), (range(4), True), ((), False), ({0, 9}, False)],
)
def test_tasks_stay_on_one_side(allowed, found):
    finding = check_task(PARTITION, "bash", 7, frozenset(allowed))
    assert (finding is not None) is found
    assert not found or (finding.resource, finding.remedy) == ("bash (pid 7)", "taskset -acp 0 7, and whatever started it")


@pytest.mark.parametrize(
    ("allowed", "last", "isolated", "found"),
    [
        (range(4), 0, {1, 2, 3}, False),  # everywhere, but the kernel does not bring it there
        (range(4), 2, {1, 2, 3}, True),  # it is there all the same
        (range(4), 0, {1, 2}, True),  # CPU 3 is balanced
        ({0, 1}, 0, {1, 2, 3}, True),  # somebody chose that
    ],
)
def test_a_task_that_nobody_restricted_is_no_wanderer_where_the_kernel_isolates(allowed, last, isolated, found):
    finding = check_task(PARTITION, "bash", 7, frozenset(allowed), last=last, isolated=frozenset(isolated))
    assert (finding is not None) is found


def test_shared_cpus_are_ordinary():
    partition = replace(PARTITION, sets={**PARTITION.sets, "realtime": frozenset({2, 3}), "shared": frozenset({1})})
    assert check_task(partition, "bash", 7, frozenset({0, 1})) is None
