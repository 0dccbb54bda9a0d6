# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition of a guest follows from its definition alone; a guest that has other CPUs than its definition is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.guest_partition import (
    check_same_machine,
    plan_guest_partition,
    read_definition,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError, partition_from_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from unit.partitions import texts
from unit.trees import machine_files, plan


def machine(**shape):
    return build_topology(machine_files(**shape))


def definition(**given):
    return read_definition({"name": "plc1", "vcpus": 4, "realtime_vcpus": "1-3", **given})


def of_guest(shape=None, **given):
    return plan_guest_partition(machine(**(shape or {})), definition(**given))


@pytest.mark.parametrize(
    ("shape", "given", "sets"),
    [
        ({}, {}, {"housekeeping": "0", "realtime": "1-3"}),
        ({}, {"realtime_vcpus": "2"}, {"housekeeping": "0-1,3", "realtime": "2"}),
        ({}, {"realtime_vcpus": "^0"}, {"housekeeping": "0", "realtime": "1-3"}),  # as the list of the node has it
        ({}, {"realtime_vcpus": "^0-1"}, {"housekeeping": "0-1", "realtime": "2-3"}),
        ({}, {"vcpus": None, "realtime_vcpus": "3"}, {"housekeeping": "0-2", "realtime": "3"}),
        # the second NUMA node has real-time vCPUs alone
        ({"nodes": 2, "cores": 2}, {"realtime_vcpus": "2-3"}, {"housekeeping": "0-1", "realtime": "2-3"}),
    ],
)
def test_real_time_vcpus_are_isolated_and_the_others_keep_house(shape, given, sets):
    partition = of_guest(shape, **given)
    assert texts(partition) == sets
    assert partition_from_document(to_document(partition)) == partition
    assert to_document(partition)["guest"] == {"name": "plc1", "idle": "halt"}


def test_threads_of_a_core_may_have_two_jobs_which_is_said():
    partition = of_guest({"cores": 2, "threads": 2}, realtime_vcpus="1")
    assert texts(partition) == {"housekeeping": "0,2-3", "realtime": "1"}
    assert [text[:41] for text in partition.warnings] == ["vCPUs 1,3 share a core: work on 3 takes h"]


@pytest.mark.parametrize(
    ("shape", "given", "said"),
    [
        ({}, {"realtime_vcpus": ""}, "its node lists no real-time vCPU for it"),
        ({}, {"realtime_vcpus": ""}, "Give it realtime_vcpus there, correct guest_os_node, or"),
        ({}, {"realtime_vcpus": "1-x"}, "realtime_guests: plc1: realtime_vcpus: '1-x'"),
        ({}, {"realtime_vcpus": "0-2"}, "realtime_vcpus 0-2 holds vCPU 0. The guest boots on it"),
        (
            {},
            {"vcpus": 6, "realtime_vcpus": "1-5"},
            "has 6 vCPUs and realtime_vcpus 1-5, the guest has CPUs 0-3. New vCPUs come with a restart",
        ),
        ({}, {"vcpus": 2, "realtime_vcpus": "1"}, "has 2 vCPUs and realtime_vcpus 1, the guest has CPUs 0-3"),
        ({}, {"vcpus": None, "realtime_vcpus": "7"}, "its definition has realtime_vcpus 7, the guest has CPUs 0-3"),
        (
            {"cores": 2, "threads": 2},
            {"idle": "poll"},
            "guest_os_idle: poll needs one thread per core, and plc1 has 2",
        ),
        ({}, {"idle": "spin"}, "guest_os_idle: 'spin' is neither halt nor poll"),
    ],
)
def test_refusals_name_the_definition(shape, given, said):
    with pytest.raises(PartitionError) as told:
        of_guest(shape, **given)
    assert said in str(told.value)


def test_cpus_that_are_off_in_the_guest_are_named():
    topology = replace(machine(), online=parse_cpulist("0-2"))
    with pytest.raises(PartitionError, match=r"guest plc1 has switched CPUs 3 off; .*cpu3/online"):
        plan_guest_partition(topology, definition())
    alone = frozenset({1})
    with pytest.raises(PartitionError, match="all its vCPUs are real-time, and its Linux needs an ordinary one"):
        plan_guest_partition(replace(topology, present=alone, online=alone), definition(vcpus=1, realtime_vcpus="1"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, of_guest(), ""),
        (plan(), plan(), ""),
        (of_guest(), of_guest(idle="poll"), ""),
        (
            of_guest(),
            plan(),
            "is set up as guest plc1 (guest_os), not as a node. Take it out of realtime_nodes",
        ),
        (plan(), of_guest(), "guest plc1: the machine that answers is set up as a node"),
        (of_guest(name="plc2"), of_guest(), "is set up as guest plc2. Correct ansible_host or guest_os_guest of this host"),
    ],
)
def test_a_machine_stays_what_it_is(before, after, said):
    if not said:
        check_same_machine(before, after)
        return
    with pytest.raises(PartitionError) as told:
        check_same_machine(before, after)
    assert said in str(told.value)
    assert "run the undo playbook on it first" in str(told.value)
