# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a guest's inside: one that keeps them, and one that breaks each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.inside import (
    CLOCK_SOURCE,
    StealWatch,
    clock_findings,
    definition_findings,
)
from ansible_collections.realtime.kvm.plugins.module_utils._audit.kernel import check_sets
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import GuestProfile
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.ptp_kvm import FILE
from unit.trees import fill, machine_files, plan

NODE = plan()  # realtime 1-3
GUEST = replace(NODE, guest=GuestProfile("plc1"))
CLOCK = "/sys/class/ptp/ptp0/clock_name"


def told(findings):
    return [(item.rule, item.resource, item.actual) for item in findings]


@pytest.mark.parametrize(
    ("partition", "given", "found"),
    [
        (GUEST, {"name": "plc1", "realtime_vcpus": "1-3"}, []),
        (GUEST, {"name": "plc1", "realtime_vcpus": "2-3"}, [("guest-os-vcpus", "guest plc1", "CPUs 1-3")]),
        (GUEST, None, []),
        (NODE, None, []),
        (NODE, {"name": "plc1", "realtime_vcpus": "1-3"}, [("guest-os-vcpus", "guest plc1", "that of a node")]),
        (GUEST, {"name": "plc2", "realtime_vcpus": "1-3"}, [("guest-os-vcpus", "guest plc2", "that of guest plc1")]),
        (GUEST, {"name": "plc1", "vcpus": 4, "realtime_vcpus": "^0"}, []),
        (GUEST, {"name": "plc1", "realtime_vcpus": "1-3", "idle": "halt"}, []),
        (
            GUEST,
            {"name": "plc1", "realtime_vcpus": "1-3", "idle": "poll"},
            [("guest-os-vcpus", "guest plc1", "guest_os_idle: halt")],
        ),
    ],
)
def test_the_cpus_are_those_of_the_definition(partition, given, found):
    assert told(definition_findings(partition, given)) == found


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, []),
        ({CLOCK_SOURCE: "tsc\n"}, []),
        ({CLOCK_SOURCE: "kvm-clock\n", FILE: "", CLOCK: "KVM virtual PTP\n"}, []),
        ({CLOCK_SOURCE: "hpet\n"}, [("guest-os-clock", CLOCK_SOURCE, "hpet")]),
        ({FILE: "", CLOCK: "e1000e\n"}, [("guest-os-clock", "/dev/ptp_kvm", "absent")]),
    ],
)
def test_the_clock_is_good(tmp_path, files, found):
    assert told(clock_findings(Host(str(fill(tmp_path, files))))) == found


def stat(*steals):
    return "cpu  9 9 9 9 9 9 9 99 0 0\n" + "".join(f"cpu{cpu} 1 2 3 4 5 6 7 {steal} 0 0\n" for cpu, steal in enumerate(steals))


@pytest.mark.parametrize(
    ("partition", "later", "found"),
    [
        (GUEST, stat(9, 5, 5, 5), []),  # an ordinary vCPU may wait
        (GUEST, stat(0, 5, 7, 6), [("guest-os-steal", "CPUs 2-3", "30 ms during the audit")]),
        (GUEST, "", []),
        (NODE, stat(0, 9, 9, 9), []),
    ],
)
def test_stolen_time_is_told(tmp_path, partition, later, found):
    host = Host(str(fill(tmp_path, {"/proc/stat": stat(0, 5, 5, 5)})))
    watch = StealWatch(host, partition)
    fill(tmp_path, {"/proc/stat": later})
    assert told(watch.findings()) == found


def test_the_threads_of_a_guests_core_may_have_two_jobs():
    topology = build_topology(machine_files(cores=2, threads=2))
    assert [item.rule for item in check_sets(NODE, topology, documented=True)] == ["smt-split"]
    assert check_sets(GUEST, topology, documented=True) == []
