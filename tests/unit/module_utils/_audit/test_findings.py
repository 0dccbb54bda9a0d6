# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings: what the machine should be against what it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import (
    PLACES,
    Finding,
    change_finding,
    check_device_interrupts,
    check_document,
    check_interrupts,
    check_kernel,
    check_managed,
    check_task,
    finding_lines,
    in_order,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import Home
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.affinity import Interrupt
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
        ({"isolated": frozenset(), "partition": plan(Intent(smt="together", isolation="runtime"))}, []),
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


def interrupt(affinity, effective=None, number=9, name="acpi", movable=True):
    return Interrupt(number, (name,), frozenset(affinity), frozenset(affinity if effective is None else effective), None, movable)


@pytest.mark.parametrize(
    ("affinity", "effective", "movable", "found"),
    [
        ({0}, {0}, True, None),
        ({2}, {2}, True, "CPUs 2"),
        (range(4), {2}, True, "CPUs 2; allowed on CPUs 0-3"),
        (range(4), {0}, True, "CPUs 0; allowed on CPUs 0-3"),  # it may move there when it likes
        (range(4), (), True, "CPUs 0-3"),  # not started
        ({2}, {2}, False, None),  # the kernel's own affair
        ((), (), True, None),  # unknown
        # one that moves when it fires next is no difference
        ({0}, {2}, True, None),
        ({0, 2}, {2}, True, "CPUs 2; allowed on CPUs 0,2"),
        ({0, 1}, {2}, True, "CPUs 2; allowed on CPUs 0-1"),
    ],
)
def test_interrupts(affinity, effective, movable, found):
    findings = check_interrupts(PARTITION, [interrupt(affinity, effective, movable=movable)])
    assert [(item.rule, item.resource, item.expected, item.actual) for item in findings] == (
        [("interrupt", "IRQ 9 (acpi)", "CPUs 0", found)] if found else []
    )
    assert all("/proc/irq/9/smp_affinity_list" in item.remedy for item in findings)


def test_queues_of_a_device_are_one_finding_and_managed_ones_are_told_apart():
    queues = [interrupt({cpu}, number=40 + cpu, name=f"nvme0q{cpu}", movable=False) for cpu in range(4)]
    ports = [interrupt({2}, number=50 + port, name=f"eth{port}-rx") for port in range(2)]
    (moved,) = check_interrupts(PARTITION, [*queues, *ports])
    assert (moved.resource, moved.actual) == ("IRQs 50-51 (eth*-rx)", "CPUs 2")
    (managed,) = check_managed(PARTITION, [*queues, *ports])
    assert (managed.rule, managed.severity, managed.resource) == ("interrupt-managed", "info", "IRQs 41-43 (nvme0q*)")
    many = [interrupt({1, 3, *range(5, 90, 2)}, number=number, name=f"q{number}") for number in range(100, 160, 2)]
    (folded,) = check_interrupts(PARTITION, many)
    assert (folded.resource, folded.actual) == ("30 IRQs from 100 on (q*)", "45 of CPUs 1-89")


def test_findings_carry_severity_and_source_and_stand_worst_first():
    error, warning, info = (Finding(rule, "r", "e", "a", "m") for rule in ("setting", "mce-off", "interrupt-managed"))
    assert in_order([info, warning, error, warning]) == [error, warning, info]
    assert error.to_dict() == {
        "severity": "error", "rule": "setting", "resource": "r", "expected": "e", "actual": "a", "remedy": "m", "source": "docs/settings.md",
    }  # fmt: skip


def test_findings_as_text_say_what_must_hold_where_it_does_not_and_the_remedy():
    assert finding_lines([]) == []
    same = Finding("setting", "/proc/sys/vm/stat_interval", "120", "1", "run the cpu_partition role")
    other = Finding("setting", "\x1b[2J", "x" * 300, "a", "m")
    remark = Finding(
        "pmd-remote", "plc1.control", "a poll-mode thread on NUMA node 0", "CPU 9 on node 1", "add dataplane CPUs on that node"
    )
    lines = finding_lines([same, other, remark])
    assert lines[:3] == [
        "error: Kernel settings have the values of the roles. (setting)",
        "  /proc/sys/vm/stat_interval: 1; expected: 120",
        "    remedy: run the cpu_partition role",
    ]
    assert lines[-3:] == [
        "info: Ports are polled from their own NUMA node. (pmd-remote)",
        "  plc1.control: CPU 9 on node 1; expected: a poll-mode thread on NUMA node 0",
        "    remedy: add dataplane CPUs on that node",
    ]
    assert max(map(len, lines)) <= 118
    assert all(line.isprintable() for line in lines)


def test_a_finding_of_an_unknown_rule_has_no_severity():
    with pytest.raises(KeyError):
        assert Finding("no-such-rule", "", "", "", "").severity


@pytest.mark.parametrize(
    ("resource", "rule"),
    [
        ("/proc/sys/vm/stat_interval", "setting"),
        ("thread:rcuc/1:9:100:priority", "kthread"),
        ("cpuset:realtime", "cpuset"),
        ("/sys/fs/cgroup/user.slice/cpuset.cpus", "cpuset"),
        ("/sys/fs/resctrl", "cache-mount"),
        ("/sys/fs/resctrl/realtime-kvm-realtime", "cache-group"),
        ("/sys/fs/resctrl/realtime-kvm-realtime/cpus_list", "cache-group"),
        ("/sys/fs/resctrl/realtime-kvm-dataplane/schemata:L3CODE", "cache-mask"),
        ("/sys/fs/resctrl/schemata:L2", "cache-mask"),
        ("/sys/fs/resctrl/schemata:MB", "memory-bandwidth"),
        ("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "hugepages"),
    ],
)
def test_a_change_that_a_role_would_make_is_a_finding(resource, rule):
    found = change_finding(Change(resource, None, "2", reason="because"), "cpu_partition")
    assert (found.rule, found.expected, found.actual, found.remedy) == (
        rule,
        "2",
        "absent",
        "run the cpu_partition role (because)",
    )


def test_of_long_texts_the_lines_that_differ_are_shown():
    change = Change("f", "a\n  b\nc\n", "a\nB\nc\n")
    assert (change_finding(change, "r").expected, change_finding(change, "r").actual) == ("B", "b")
    gone = change_finding(Change("f", "a\nb\nc\n", "a\nb\n"), "r")
    assert (gone.expected, gone.actual) == ("the same lines without some", "c")
    assert len(change_finding(Change("f", "", "x\n" + "y" * 999), "r").expected) == 300


@pytest.mark.parametrize(
    ("allowed", "found"),
    [({0}, False), ({1, 2}, False), ({1, 2, 3}, False), ({0, 1}, True), (range(4), True), ((), False), ({0, 9}, False)],
)
def test_tasks_stay_on_one_side(allowed, found):
    finding = check_task(PARTITION, "bash", 7, frozenset(allowed))
    assert (finding is not None) is found
    assert not found or (finding.resource, finding.remedy) == (
        "bash (pid 7)",
        "run taskset -acp 0 7, and correct the program that started it",
    )


@pytest.mark.parametrize(
    ("allowed", "last", "isolated", "found"),
    [
        (range(4), 0, {1, 2, 3}, False),  # everywhere, but the kernel does not bring it there
        (range(4), 2, {1, 2, 3}, True),  # it is there all the same
        (range(4), 0, {1, 2}, True),  # CPU 3 is balanced
        ({0, 1}, 0, {1, 2, 3}, True),  # a user chose that
    ],
)
def test_an_unrestricted_task_is_no_wanderer_where_the_kernel_isolates(allowed, last, isolated, found):
    finding = check_task(PARTITION, "bash", 7, frozenset(allowed), last=last, isolated=frozenset(isolated))
    assert (finding is not None) is found


def test_shared_cpus_are_ordinary():
    partition = replace(PARTITION, sets={**PARTITION.sets, "realtime": frozenset({2, 3}), "shared": frozenset({1})})
    assert check_task(partition, "bash", 7, frozenset({0, 1})) is None


def test_remarks_of_one_rule_show_the_first_places():
    remarks = [
        Finding("pmd-remote", f"port plc{number}.control", "NUMA node 1", "polled on NUMA node 0", "add a dataplane CPU")
        for number in range(7)
    ]
    lines = finding_lines([*remarks, Finding("note", "power", "", "the \x1b[2J device", "see the role")], PLACES)
    assert lines[0] == "info: Ports are polled from their own NUMA node. (pmd-remote)"
    assert lines[1:11:2] == [f"  port plc{number}.control: polled on NUMA node 0; expected: NUMA node 1" for number in range(5)]
    assert lines[2:11:2] == ["    remedy: add a dataplane CPU"] * 5
    assert lines[11:] == [
        "  and 2 more",
        "info: The modules have nothing to note beside their changes. (note)",
        r"  power: the \x1b[2J device",
        "    remedy: see the role",
    ]


def test_remarks_fit_a_terminal():
    lines = finding_lines([Finding("note", "x", "y " * 300, "z " * 300, "w " * 900)])
    assert max(map(len, lines)) <= 118
    assert len(lines) < 40


def test_interrupts_of_guests_devices_have_their_own_rule():
    home = Home("plc1", "0000:41:00.0", 0, frozenset({2}))
    right, wrong = (replace(interrupt({cpu}, number=30 + cpu, name=f"vfio-msix[{cpu}]"), home=home) for cpu in (2, 3))
    assert check_interrupts(PARTITION, [right, wrong]) == []
    (found,) = check_device_interrupts(PARTITION, [right, wrong, interrupt({3})])
    assert (found.rule, found.resource) == ("device-interrupt", "device 0000:41:00.0 of plc1: IRQ 33 (vfio-msix[3])")
    assert (found.expected, found.actual) == ("CPUs 2, those of vCPU 0", "CPUs 3")
    ended = replace(wrong, affinity=frozenset(), effective=frozenset())  # while it was read
    assert check_device_interrupts(PARTITION, [ended]) == []
