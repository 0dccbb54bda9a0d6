# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a topology and an intent to a partition: what is planned, and what is refused in which words."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import CPU_ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, check_partition, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from property.machines import Machine, regular
from unit.partitions import PLAIN, plan, texts


def refusal(machine=PLAIN, **intent):
    with pytest.raises(PartitionError) as error:
        plan(machine, **intent)
    return str(error.value)


# -- what is planned -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "expected"),
    [
        ({}, {"housekeeping": "0,4,8,12", "realtime": "1-3,5-7,9-11,13-15"}),
        ({"housekeeping_cores_per_node": 2}, {"housekeeping": "0-1,4-5,8-9,12-13", "realtime": "2-3,6-7,10-11,14-15"}),
        (
            {"dataplane_cores_per_node": 1, "shared_cores_per_node": 1},
            {"housekeeping": "0,4,8,12", "dataplane": "1,5,9,13", "shared": "2,6,10,14", "realtime": "3,7,11,15"},
        ),
        # numbers by NUMA node: one that is not named gives one core to housekeeping, none to the others
        ({"housekeeping_cores_per_node": {0: 2}}, {"housekeeping": "0-1,4,8-9,12", "realtime": "2-3,5-7,10-11,13-15"}),
        (
            {"housekeeping_cores_per_node": {0: 2, 1: 1}, "dataplane_cores_per_node": {1: 1}, "shared_cores_per_node": {0: 1}},
            {"housekeeping": "0-1,4,8-9,12", "dataplane": "5,13", "shared": "2,10", "realtime": "3,6-7,11,14-15"},
        ),
        ({"realtime": "1"}, {"housekeeping": "0,2-4,6-8,10-12,14-15", "realtime": "1,5,9,13"}),
        ({"realtime": "0"}, {"housekeeping": "0-15"}),
        (
            {"smt": "single", "dataplane_cores_per_node": 1},
            {"housekeeping": "0,4,8,12", "dataplane": "1,5", "realtime": "2-3,6-7", "idle": "9-11,13-15"},
        ),
        (
            {"smt": "single", "shared_cores_per_node": 1, "realtime": "1"},
            {"housekeeping": "0,3-4,7-8,11-12,15", "shared": "1,5,9,13", "realtime": "2,6", "idle": "10,14"},
        ),
        # a node that has nothing left and isolates nothing needs no housekeeping CPU
        ({"cpus": {"shared": "4-7,12-15"}}, {"housekeeping": "0,8", "shared": "4-7,12-15", "realtime": "1-3,9-11"}),
        # explicit lists win over counts
        ({"cpus": {"realtime": "2-3,10-11"}}, {"housekeeping": "0-1,4-9,12-15", "realtime": "2-3,10-11"}),
        ({"cpus": {"housekeeping": "0-1,4,8-9,12"}}, {"housekeeping": "0-1,4,8-9,12", "realtime": "2-3,5-7,10-11,13-15"}),
        (
            {"cpus": {"housekeeping": "0,4,8,12"}, "housekeeping_cores_per_node": 0},
            {"housekeeping": "0,4,8,12", "realtime": "1-3,5-7,9-11,13-15"},
        ),
        (
            {"cpus": {"shared": "4,12"}, "shared_cores_per_node": 3},
            {"housekeeping": "0,5,8,13", "shared": "4,12", "realtime": "1-3,6-7,9-11,14-15"},
        ),
        (
            {"cpus": {"housekeeping": "0,8,4,12", "dataplane": "1,9", "shared": "5,13", "realtime": "2-3,6-7,10-11,14-15"}},
            {"housekeeping": "0,4,8,12", "dataplane": "1,9", "shared": "5,13", "realtime": "2-3,6-7,10-11,14-15"},
        ),
        ({"cpus": {"realtime": "2-3"}, "smt": "single"}, {"housekeeping": "0-1,4-9,12-15", "realtime": "2-3", "idle": "10-11"}),
        ({"cpus": {"realtime": "10"}, "smt": "single"}, {"housekeeping": "0-1,3-9,11-15", "realtime": "10", "idle": "2"}),
        (
            {"cpus": {"housekeeping": "0,4,8,12", "dataplane": "1"}, "smt": "single"},
            {"housekeeping": "0,4,8,12", "dataplane": "1", "realtime": "2-3,5-7", "idle": "9-11,13-15"},
        ),
        # ports: one core for each, on its node
        (
            {"dataplane_devices": ("ens0",), "realtime": "1"},
            {"dataplane": "1,9", "realtime": "2,5,10,13", "housekeeping": "0,3-4,6-8,11-12,14-15"},
        ),
    ],
)
def test_a_partition(intent, expected):
    assert texts(plan(**intent)) == expected


@pytest.mark.parametrize(
    ("devices", "per_node", "cores"),
    [
        (["ens0"], 0, (1, 0)),
        (["ens1"], 0, (0, 1)),
        (["ens1", "ens2"], 0, (0, 2)),
        (["ens0", "ens1"], 0, (1, 1)),
        (["ens1", "ens1"], 0, (0, 1)),
        (["ens1", "0000:01:00.0"], 0, (0, 1)),  # one port, named twice
        (["0000:02:00.0"], 0, (0, 1)),
        (["ens1"], 1, (1, 1)),  # the count is the least
        (["ens1", "ens2"], 1, (1, 2)),
    ],
)
def test_devices_are_counted_per_node(devices, per_node, cores):
    partition = plan(dataplane_devices=tuple(devices), dataplane_cores_per_node=per_node)
    dataplane = partition.sets["dataplane"]
    assert (len(dataplane & partition.nodes[0]) // 2, len(dataplane & partition.nodes[1]) // 2) == cores
    assert partition.warnings == ()


def test_a_device_without_a_node_is_polled_from_the_first_and_said_so():
    partition = plan(dataplane_devices=("ens9",))
    assert partition.sets["dataplane"] == {1, 9}
    assert partition.warnings == (
        "device ens9: the firmware names no NUMA node for it; its dataplane core is taken from NUMA node 0",
    )
    assert plan(regular(nodes=1, ports={"ens9": -1}), dataplane_devices=("ens9",)).warnings == ()


def test_a_device_on_a_node_without_cpus():
    machine = Machine(nodes={0: [(0,), (1,), (2,)], 2: [], 3: [(3,), (4,), (5,)]}, ports={"ens2": 2})
    partition = plan(machine, dataplane_devices=("ens2",))
    assert partition.sets["dataplane"] == {1}
    assert "NUMA node 2 has no CPUs" in partition.warnings[0]


def test_explicit_dataplane_cpus_may_poll_a_device_without_a_node_from_anywhere():
    partition = plan(dataplane_devices=("ens9",), cpus={"dataplane": "5,13"})
    assert partition.sets["dataplane"] == {5, 13}
    machine = Machine(nodes={0: [(0,), (1,), (2,)], 2: []}, ports={"ens2": 2})
    assert plan(machine, dataplane_devices=("ens2",), cpus={"dataplane": "1"}).sets["dataplane"] == {1}


def test_a_device_without_a_node_excuses_no_other():
    message = refusal(dataplane_devices=("ens9", "ens1"), cpus={"dataplane": "1,9"})
    assert "cpu_partition_cpus.dataplane: device ens1 is on NUMA node 1" in message


def test_cores_that_share_a_cache_go_together():
    # CPUs alternate between two caches, so numbers alone would mix them
    machine = Machine(nodes={0: [(0,), (2,), (4,), (6,), (1,), (3,), (5,), (7,)]}, caches=4)
    partition = plan(machine, housekeeping_cores_per_node=2, dataplane_cores_per_node=2, shared_cores_per_node=2)
    assert texts(partition) == {"housekeeping": "0,2", "dataplane": "4,6", "shared": "1,3", "realtime": "5,7"}


def test_where_cpu0_is_offline_the_lowest_online_one_leads():
    partition = plan(regular(nodes=1, cores=4, threads=2, offline=frozenset({0})))
    assert texts(partition) == {"housekeeping": "1,5", "realtime": "2-4,6-7"}
    assert partition.boot_cpu == 1


def test_the_boot_core_stays_with_housekeeping_though_another_node_is_lower():
    machine = Machine(nodes={0: [(4,), (5,)], 1: [(0,), (1,)]})
    assert texts(plan(machine)) == {"housekeeping": "0,4", "realtime": "1,5"}


def test_sparse_nodes_and_nodes_without_cpus():
    machine = Machine(nodes={0: [(0,), (1,)], 8: [(88,), (90,)], 250: []})
    partition = plan(machine)
    assert texts(partition) == {"housekeeping": "0,88", "realtime": "1,90"}
    assert to_document(partition)["numa_nodes"] == {"0": "0-1", "8": "88,90"}


def test_a_node_with_a_single_core_is_housekeeping():
    machine = Machine(nodes={0: [(0,), (1,)], 1: [(2,)]})
    assert texts(plan(machine)) == {"housekeeping": "0,2", "realtime": "1"}
    assert refusal(machine, shared_cores_per_node=1).endswith(
        "NUMA node 1 has 0 free cores left for shared, 1 asked for; the node's CPUs are 2 (1 core)"
    )
    lists = {"cpus": {"housekeeping": "0"}, "realtime": "0"}
    assert texts(plan(machine, shared_cores_per_node=1, **lists)) == {"housekeeping": "0", "shared": "1-2"}


HYBRID = Machine(nodes={0: [(0, 1), (2, 3), (4, 5), (6,), (7,)]}, efficiency=frozenset({6, 7}))


def test_efficiency_cores_go_to_the_operating_system_unless_named():
    assert texts(plan(HYBRID)) == {"housekeeping": "0-1,6-7", "realtime": "2-5"}
    assert texts(plan(HYBRID, realtime="2")) == {"housekeeping": "0-1,6-7", "realtime": "2-5"}
    assert texts(plan(HYBRID, shared_cores_per_node=3, realtime="0", housekeeping_cores_per_node=1)) == {
        "housekeeping": "0-1,4-5",
        "shared": "2-3,6-7",
    }
    assert texts(plan(HYBRID, cpus={"realtime": "6-7"})) == {"housekeeping": "0-5", "realtime": "6-7"}


#: Two fast cores and eight slower ones.
FEW = Machine(nodes={0: [(0, 1), (2, 3), *((cpu,) for cpu in range(4, 12))]}, efficiency=frozenset(range(4, 12)))


@pytest.mark.parametrize(
    ("intent", "sets"),
    [
        ({}, {"housekeeping": "0-1,4-11", "realtime": "2-3"}),
        ({"housekeeping_cores_per_node": 2}, {"housekeeping": "0-1,4-11", "realtime": "2-3"}),
        ({"shared_cores_per_node": 2}, {"housekeeping": "0-1,6-11", "realtime": "2-3", "shared": "4-5"}),
        ({"housekeeping_cores_per_node": 3, "dataplane_cores_per_node": 1, "realtime": "0"}, {"housekeeping": "0-1,4-11", "dataplane": "2-3"}),
        ({"housekeeping_cores_per_node": 10, "realtime": "0"}, {"housekeeping": "0-11"}),
    ],
)  # fmt: skip
def test_few_fast_cores_are_left_to_the_isolated_sets(intent, sets):
    """Slower cores serve housekeeping and shared first, beside the boot CPU's core."""
    assert texts(plan(FEW, **intent)) == sets


def test_performance_cores_that_are_missing_are_named():
    message = refusal(HYBRID, realtime="3")
    assert "cpu_partition_realtime: NUMA node 0 has 2 free performance cores left for realtime, 3 asked for" in message
    assert message.endswith("the slower CPUs 6-7 are isolated only by cpu_partition_cpus.realtime")
    message = refusal(Machine(nodes={0: [(0, 1), (2,), (3,)]}, efficiency=frozenset({2, 3})))
    assert "2 efficiency" in message
    assert "cpu_partition_cpus.realtime" in message


def test_the_sets_behind_the_sets():
    partition = plan(smt="single", dataplane_cores_per_node=1, shared_cores_per_node=1)
    assert partition.housekeeping == {0, 4, 8, 12}
    assert partition.unisolated == {0, 4, 8, 12, 2, 6, 10, 14}
    assert partition.isolated == frozenset(range(16)) - partition.unisolated
    assert partition.idle == {9, 11, 13, 15}


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "words"),
    [
        # lists
        (
            {"cpus": {"realtime": "2-3,10-11", "shared": "3,11"}},
            ["cpu_partition_cpus.shared", "CPUs 3,11", "cpu_partition_cpus.realtime; every CPU belongs to one set"],
        ),
        ({"cpus": {"realtime": "14-17"}}, ["cpu_partition_cpus.realtime", "CPUs 16-17 do not exist", "0-15"]),
        ({"cpus": {"realtime": "3-1"}}, ["cpu_partition_cpus.realtime", "'3-1'", "write 1-3"]),
        ({"cpus": {"dataplane": "4;5"}}, ["cpu_partition_cpus.dataplane", "'4;5'"]),
        ({"cpus": {"realtime": 2}}, ["cpu_partition_cpus.realtime", "2 is not text", "quote"]),
        ({"cpus": {"realtime": (1, 3)}}, ["cpu_partition_cpus.realtime", "(1, 3) is not text", "quote"]),
        ({"cpus": {"realtime": None}}, ["cpu_partition_cpus.realtime", "None is not text"]),
        ({"cpus": {"realtime": ""}}, ["cpu_partition_cpus.realtime", "'' is empty", "leave the key out"]),
        ({"cpus": {"shared": "3,^3"}}, ["cpu_partition_cpus.shared", "'3,^3' is empty"]),
        ({"cpus": {"real_time": "3"}}, ["cpu_partition_cpus", "'real_time'", "housekeeping, dataplane, realtime, shared"]),
        ({"cpus": {7: "3"}}, ["cpu_partition_cpus", "7 is not a CPU set"]),
        # the boot CPU
        ({"cpus": {"realtime": "0-3,8-11"}}, ["cpu_partition_cpus.realtime", "CPU 0 is the boot CPU", "leave CPUs 0,8"]),
        ({"cpus": {"dataplane": "0,8"}}, ["cpu_partition_cpus.dataplane", "CPU 0 is the boot CPU", "leave CPUs 0,8"]),
        ({"cpus": {"shared": "0,8"}}, ["cpu_partition_cpus", "boot CPU 0 must be in housekeeping"]),
        ({"cpus": {"housekeeping": "1,4,9,12"}}, ["cpu_partition_cpus", "boot CPU 0 must be in housekeeping"]),
        # that is said first, though these lists have other faults
        ({"cpus": {"shared": "0,8", "dataplane": "1-3,9-11"}}, ["cpu_partition_cpus", "boot CPU 0 must be in housekeeping"]),
        (
            {"cpus": {"housekeeping": "1,4,9,12", "realtime": "2,10"}},
            ["cpu_partition_cpus", "boot CPU 0 must be in housekeeping"],
        ),
        ({"cpus": {"realtime": "8"}, "smt": "single"}, ["cpu_partition_cpus", "boot CPU 0 must be in housekeeping"]),
        # SMT siblings
        (
            {"cpus": {"realtime": "2-3"}},
            ["realtime CPUs 2-3", "housekeeping CPUs 10-11", "SMT siblings", "whole cores", "cpu_partition_smt: single"],
        ),
        (
            {"cpus": {"realtime": "2", "dataplane": "10"}},
            ["cpu_partition_cpus", "CPUs 2", "CPUs 10", "SMT siblings", "give whole cores"],
        ),
        (
            {"cpus": {"housekeeping": "0,8,4,12,10", "realtime": "2"}, "smt": "single"},
            ["CPUs 1,3,5-7,9,11,13-15 are in no set", "leave housekeeping out"],
        ),
        (
            {"cpus": {"shared": "10", "realtime": "2"}, "smt": "single"},
            ["cpu_partition_cpus", "realtime CPUs 2", "shared CPUs 10", "leave the siblings out of shared"],
        ),
        (
            {"cpus": {"realtime": "2,10"}, "smt": "single"},
            ["cpu_partition_cpus.realtime", "CPUs 2,10", "one core; with cpu_partition_smt: single only one", "smt to together"],
        ),
        ({"cpus": {"shared": "3"}}, ["CPUs 3", "CPUs 11", "SMT siblings", "give whole cores"]),
        # housekeeping
        (
            {"cpus": {"housekeeping": "0,8"}},
            ["cpu_partition_cpus.housekeeping", "NUMA node 1", "4-7,12-15", "at least one whole core"],
        ),
        (
            {"cpus": {"housekeeping": "0-3,8-11", "dataplane": "4,12", "shared": "5-7,13-15"}, "realtime": "0"},
            ["cpu_partition_cpus.housekeeping", "NUMA node 1", "4,12 but no housekeeping CPU for their emulator threads"],
        ),
        ({"cpus": {"realtime": "4-7,12-15"}}, ["cpu_partition_housekeeping_cores_per_node", "NUMA node 1", "0 free cores"]),
        (
            {"cpus": {"housekeeping": "0,4,8,12", "realtime": "1,9"}},
            ["CPUs 2-3,5-7,10-11,13-15 are in no set", "cpu_partition_cpus"],
        ),
        (
            {"housekeeping_cores_per_node": 0},
            ["at least 1 is needed; interrupts, emulator threads and the kernel itself run on housekeeping CPUs"],
        ),
        ({"housekeeping_cores_per_node": -1}, ["cpu_partition_housekeeping_cores_per_node", "at least 1"]),
        # counts
        (
            {"housekeeping_cores_per_node": 5},
            ["cpu_partition_housekeeping_cores_per_node", "node 0", "4 free cores", "5 asked for", "0-3,8-11"],
        ),
        (
            {"dataplane_cores_per_node": 4},
            ["cpu_partition_dataplane_cores_per_node", "node 0", "3 free cores", "4 asked for", "0-3,8-11"],
        ),
        ({"shared_cores_per_node": 4}, ["cpu_partition_shared_cores_per_node", "node 0", "3 free cores", "4 asked for"]),
        ({"realtime": "4"}, ["cpu_partition_realtime", "node 0", "3 free cores", "4 asked for"]),
        (
            {"cpus": {"shared": "5-7,13-15"}, "realtime": "1"},
            ["cpu_partition_realtime", "node 1", "0 free cores", "4-7,12-15 (4 cores)"],
        ),
        ({"dataplane_cores_per_node": -1}, ["cpu_partition_dataplane_cores_per_node", "-1"]),
        (
            {"shared_cores_per_node": {2: 1}},
            ["cpu_partition_shared_cores_per_node: there is no NUMA node 2", "its nodes are 0-1"],
        ),
        (
            {"housekeeping_cores_per_node": {1: 9}},
            ["cpu_partition_housekeeping_cores_per_node: NUMA node 1 has 4", "9 asked for"],
        ),
        ({"shared_cores_per_node": -1}, ["cpu_partition_shared_cores_per_node", "-1"]),
        (
            {"housekeeping_cores_per_node": 4},
            [
                "cpu_partition_realtime: no core is left",
                "8 cores on 2 NUMA nodes and the other sets take the rest (set cpu_partition_realtime: 0 for a node without realtime CPUs)",
            ],
        ),
        # junk
        ({"realtime": "all"}, ["cpu_partition_realtime: 'all'", "'rest'", "; CPU lists go into cpu_partition_cpus.realtime"]),
        ({"realtime": "99999"}, ["cpu_partition_realtime", "99999 asked for"]),
        ({"realtime": "100000"}, ["cpu_partition_realtime", "'100000' is neither"]),
        ({"realtime": "4-15"}, ["cpu_partition_realtime", "'4-15'", "cpu_partition_cpus.realtime"]),
        ({"realtime": ""}, ["cpu_partition_realtime", "''"]),
        ({"realtime": "-1"}, ["cpu_partition_realtime", "'-1'"]),
        ({"realtime": "1.5"}, ["cpu_partition_realtime", "'1.5'"]),
        ({"realtime": "\u0662"}, ["cpu_partition_realtime", "'\u0662'"]),
        ({"realtime": "9" * 5000}, ["cpu_partition_realtime"]),
        ({"smt": "off"}, ["cpu_partition_smt", "'off' is neither together nor single"]),
        ({"isolation": "always"}, ["cpu_partition_isolation", "'always'", "boot", "runtime"]),
        # devices
        ({"dataplane_devices": ("ens7",)}, ["cpu_partition_dataplane_devices", "'ens7'", "ens0, ens1, ens2, ens9"]),
        ({"dataplane_devices": ("ens7",), "cpus": {"dataplane": "1,9"}}, ["cpu_partition_dataplane_devices", "'ens7'"]),
        (
            {"dataplane_devices": ("ens1",), "cpus": {"dataplane": "1,9"}},
            ["cpu_partition_cpus.dataplane", "ens1", "NUMA node 1", "4-7,12-15"],
        ),
        (
            {"dataplane_devices": ("ens1", "ens2"), "housekeeping_cores_per_node": 3},
            ["cpu_partition_dataplane_devices", "node 1", "1 free core left", "2 asked for"],
        ),
    ],
)
def test_a_refusal_names_what_where_and_what_would_work(intent, words):
    message = refusal(**intent)
    assert re.match(r"cpu_partition_[a-z_]+(\.[a-z]+)?: ", message), message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("cpus", "remedy"),
    [
        ({"realtime": "2-3"}, "give whole cores or set cpu_partition_smt: single"),
        ({"realtime": "2", "dataplane": "10"}, "give whole cores"),
        ({"shared": "3"}, "give whole cores"),
    ],
)
def test_single_threads_are_the_remedy_only_where_a_set_is_isolated_from_the_other(cpus, remedy):
    assert refusal(cpus=cpus).endswith(f"; {remedy}")


def test_a_core_of_more_than_two_sets():
    message = refusal(regular(nodes=1, cores=2, threads=4), cpus={"shared": "3", "realtime": "1"})
    assert "realtime CPUs 1 are SMT siblings of " in message


def test_offline_cpus_are_refused_by_number():
    machine = regular(nodes=2, cores=4, threads=2, offline=frozenset({3, 7}))
    message = refusal(machine, cpus={"realtime": "2-3,10-11"})
    assert "cpu_partition_cpus.realtime: CPUs 3 are offline" in message
    assert "0-2,4-6,8-15" in message


def test_possible_cpus_that_are_absent_are_refused():
    files = PLAIN.files()
    files[f"{CPU_ROOT}/possible"] = "0-31"
    with pytest.raises(PartitionError, match="CPUs 16 are offline"):
        plan_partition(build_topology(files), Intent(smt="together", cpus={"realtime": "16"}))


def test_a_node_without_any_device_says_so():
    assert "known are: none" in refusal(regular(), dataplane_devices=("ens0",))


def test_devices_that_no_network_driver_owns_are_named_by_their_address():
    topology = build_topology(PLAIN.files())
    topology = replace(topology, devices=tuple(replace(device, name=None) for device in topology.devices[:2]))
    with pytest.raises(PartitionError, match=r"known are: 0000:00:00.0, 0000:01:00.0$"):
        plan_partition(topology, Intent(smt="together", dataplane_devices=("ens0",)))


def test_a_machine_of_one_core_is_refused_and_told_the_way_out():
    machine = regular(nodes=1, cores=1)
    message = refusal(machine)
    assert "1 core on 1 NUMA node" in message
    assert texts(plan(machine, realtime="0")) == {"housekeeping": "0-1"}


# -- the last gate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "idle", "words"),
    [
        ({"shared": {1, 9}}, (), ["CPUs 1,9", "realtime", "shared"]),
        ({"dataplane": {1, 9}}, (), ["CPUs 1,9 are in dataplane and in realtime"]),
        ({"dataplane": {0, 8}}, (), ["CPUs 0,8 are in housekeeping and in dataplane"]),
        ({}, {9}, ["CPUs 9 are in realtime and in idle"]),
        ({"realtime": {1}}, (), ["CPUs 2-3,5-7,9-11,13-15"]),
        ({"housekeeping": {0, 4, 8, 12, 16}}, (), ["CPUs 16"]),
        ({"housekeeping": {0, 4, 12}, "realtime": set(range(16)) - {0, 4, 12}}, (), ["realtime CPUs 8", "housekeeping CPUs 0"]),
        ({"housekeeping": {1, 4, 9, 12}, "realtime": set(range(16)) - {1, 4, 9, 12}}, (), ["boot CPU 0"]),
        ({"housekeeping": {0, 8}, "realtime": set(range(16)) - {0, 8}}, (), ["node 1", "4-7,12-15"]),
        ({"housekeeping": {0, 8}, "realtime": set(), "dataplane": set(range(16)) - {0, 8}}, (), ["node 1", "4-7,12-15"]),
    ],
)
def test_a_broken_partition_does_not_pass(sets, idle, words):
    topology = build_topology(PLAIN.files())
    good = plan_partition(topology, Intent(smt="together"))
    check_partition(good, topology)
    bad = replace(good, sets={**good.sets, **{name: frozenset(cpus) for name, cpus in sets.items()}}, idle=frozenset(idle))
    with pytest.raises(PartitionError) as error:
        check_partition(bad, topology)
    for word in words:
        assert word in str(error.value)


def test_low_power_cores_keep_house():
    """6 P-cores, 8 E-cores and 2 low-power cores, as kernels from 6.13 show them."""
    kinds = {"core": "0-5", "atom": "6-13", "lowpower": "14-15"}
    files = {
        **regular(nodes=1, cores=16, threads=1).files(),
        **{f"/sys/devices/cpu_{kind}/cpus": cpus for kind, cpus in kinds.items()},
    }
    assert texts(plan_partition(build_topology(files), Intent())) == {"housekeeping": "0,6-15", "realtime": "1-5"}


# -- a NUMA node without memory --------------------------------------------------------------------

#: Two sockets of 18 cores, CPUs dealt in turn, memory modules in the first socket alone; ens1f0 is there, ens2f0 is not.
LOPSIDED = build_topology(
    {
        **regular(nodes=2, cores=18, threads=2, interleaved=True, ports={"ens1f0": 0, "ens2f0": 1}).files(),
        "/sys/devices/system/node/node0/meminfo": "Node 0 MemTotal:       131790848 kB\n",
        "/sys/devices/system/node/node1/meminfo": "Node 1 MemTotal:              0 kB\n",
    }
)
NOTE = "NUMA node 1 has CPUs 1,3,5,"


@pytest.mark.parametrize("device", ["ens1f0", "ens2f0"])
def test_cpus_of_a_node_without_memory_keep_house(device):
    intent = Intent(dataplane_devices=(device,), shared_cores_per_node=1)
    partition = plan_partition(LOPSIDED, intent)
    for name in ("dataplane", "realtime", "shared"):
        assert partition.sets[name]
        assert partition.sets[name] <= LOPSIDED.nodes[0]
    assert LOPSIDED.nodes[1] <= partition.housekeeping
    assert any(warning.startswith(NOTE) and "numa: spread" in warning for warning in partition.warnings)
    assert any("its NUMA node 1 has no memory" in warning for warning in partition.warnings) is (device == "ens2f0")


def test_they_are_realtime_on_request():
    partition = plan_partition(LOPSIDED, Intent(cpus={"realtime": "2,4,3,5"}))
    assert partition.sets["realtime"] == {2, 3, 4, 5}
    assert partition.housekeeping & LOPSIDED.nodes[1]


def test_they_poll_no_port_since_packets_would_have_no_memory():
    with pytest.raises(PartitionError) as error:
        plan_partition(LOPSIDED, Intent(cpus={"dataplane": "3,5"}))
    assert "CPUs 3,5 are on NUMA node 1, which has no memory for packets; name CPUs of a node with memory (0,2,4," in str(
        error.value
    )
