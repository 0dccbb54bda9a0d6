# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From sysfs files to a topology: odd machines, old kernels, broken files."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import CPU_ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import NODE_ROOT, TopologyError, build_topology
from property.machines import Machine, regular


def build(machine):
    return build_topology(machine.files())


def test_a_plain_machine():
    topology = build(regular(nodes=2, cores=2, threads=2, packages=2, ports={"ens1": 1}))
    assert topology.online == topology.present == topology.possible == frozenset(range(8))
    assert topology.nodes == {0: {0, 1, 4, 5}, 1: {2, 3, 6, 7}}
    assert topology.cores == ({0, 4}, {1, 5}, {2, 6}, {3, 7})
    assert topology.boot_cpu == 0
    assert topology.threads_per_core == 2
    assert topology.core_of(6) == {2, 6}
    assert topology.nodes_of(frozenset({7, 0})) == [0, 1]
    cpu = topology.cpus[7]
    assert (cpu.number, cpu.package, cpu.node, cpu.l3, cpu.die, cpu.efficiency) == (7, 0, 1, 2, -1, False)
    assert [(d.name, d.address, d.node) for d in topology.devices] == [("ens1", "0000:00:00.0", 1)]


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_old_kernels_and_padded_archives_read_the_same(masks, padded):
    odd = build(regular(nodes=2, cores=20, masks=masks, padded=padded, ports={"ens1": -1}))
    assert odd == build(regular(nodes=2, cores=20, ports={"ens1": -1}))
    assert odd.digest() == build(regular(nodes=2, cores=20)).digest()


def test_sparse_numbers_and_nodes_without_cpus():
    machine = Machine(nodes={0: [(0, 1), (2, 3)], 8: [(88, 90), (95, 103)], 250: [], 255: []})
    topology = build(machine)
    assert topology.nodes == {0: {0, 1, 2, 3}, 8: {88, 90, 95, 103}, 250: frozenset(), 255: frozenset()}
    assert topology.cores == ({0, 1}, {2, 3}, {88, 90}, {95, 103})


def test_offline_cpus_have_no_core():
    topology = build(regular(nodes=2, cores=2, threads=2, offline=frozenset({1, 6, 7})))
    assert topology.online == {0, 2, 3, 4, 5}
    assert topology.offline == {1, 6, 7}
    assert topology.cores == ({0, 4}, {2}, {3}, {5})


def test_a_sibling_list_may_still_name_a_thread_that_is_off():
    files = regular(nodes=1, cores=2, threads=2, offline=frozenset({3})).files()
    files[f"{CPU_ROOT}/cpu1/topology/thread_siblings_list"] = "1,3"
    assert build_topology(files).cores == ({0, 2}, {1})


@pytest.mark.parametrize("masks", [False, True])
def test_the_boot_cpu_is_the_lowest_online_one(masks):
    topology = build(regular(nodes=1, cores=4, threads=1, offline=frozenset({0}), masks=masks))
    assert topology.boot_cpu == 1
    assert topology.offline == {0}


def test_cpus_that_may_come_and_cpus_that_were_taken_out():
    files = regular(nodes=1, cores=4, threads=1).files()
    files[f"{CPU_ROOT}/possible"] = "0-15"
    files[f"{CPU_ROOT}/online"] = "0-7"  # 4-7 are not listed: a stale or foreign file
    topology = build_topology(files)
    assert topology.possible == frozenset(range(16))
    assert topology.online == topology.present == frozenset(range(4))


def test_a_kernel_without_numa_has_one_node():
    files = {path: text for path, text in regular(nodes=1).files().items() if not path.startswith(NODE_ROOT)}
    assert build_topology(files).nodes == {0: frozenset(range(8))}


def test_a_kernel_that_tells_core_cpus_only():
    files = regular(nodes=1, cores=2).files()
    files = {path.replace("thread_siblings_list", "core_cpus_list"): text for path, text in files.items()}
    assert build_topology(files).cores == ({0, 2}, {1, 3})


def test_absent_numbers_get_defaults():
    files = regular(nodes=1, cores=2, threads=1).files()
    files[f"{CPU_ROOT}/cpu0/topology/physical_package_id"] = "-1\n"
    del files[f"{CPU_ROOT}/cpu1/topology/physical_package_id"]
    del files[f"{CPU_ROOT}/cpu1/cache/index3/shared_cpu_list"]
    cpus = build_topology(files).cpus
    assert (cpus[0].package, cpus[1].package, cpus[1].l3, cpus[1].cluster) == (-1, -1, 1, -1)


# -- hybrid processors -----------------------------------------------------------------------------


def efficiency(topology):
    return {cpu.number for cpu in topology.cpus.values() if cpu.efficiency}


def hybrid(**more):
    return Machine(nodes={0: [(0, 1), (2, 3), (4,), (5,)]}, **more)


def test_the_processor_names_its_e_cores():
    assert efficiency(build(hybrid(efficiency=frozenset({4, 5})))) == {4, 5}
    assert efficiency(build(regular(nodes=1, threads=1, efficiency=frozenset({3})))) == {3}


def test_single_threads_beside_smt_cores_are_e_cores():
    assert efficiency(build(hybrid())) == {4, 5}


@pytest.mark.parametrize("offline", [{1}, {3, 4}])
def test_a_core_whose_sibling_is_off_is_not_an_e_core(offline):
    assert efficiency(build(hybrid(offline=frozenset(offline)))) == set()


def test_a_core_whose_sibling_may_be_plugged_in_is_not_an_e_core():
    files = hybrid().files()
    files[f"{CPU_ROOT}/possible"] = "0-7"
    assert efficiency(build_topology(files)) == set()


@pytest.mark.parametrize(
    ("capacities", "expected"),
    [((1024, 1024, 400, 400), {2, 3}), ((1024, 1024, 1000, 1024), set()), ((1024, 819, 820, 0), {1}), ((0, 0, 0, 0), set())],
)
def test_arm_tells_capacities(capacities, expected):
    files = regular(nodes=1, threads=1).files()
    files.update({f"{CPU_ROOT}/cpu{cpu}/cpu_capacity": str(value) for cpu, value in enumerate(capacities)})
    assert efficiency(build_topology(files)) == expected


# -- devices ---------------------------------------------------------------------------------------


def test_devices_without_node_or_interface():
    files = regular(ports={"ens1": 0, "": -1}).files()
    files["/sys/bus/pci/devices/10000:02:00.0/numa_node"] = "1\n"
    files["/sys/bus/pci/devices/10000:02:00.0/net"] = "b a"  # one function, two ports
    found = [(device.name, device.address, device.node) for device in build_topology(files).devices]
    assert found == [
        ("ens1", "0000:00:00.0", 0),
        (None, "0000:01:00.0", None),
        ("a", "10000:02:00.0", 1),
        ("b", "10000:02:00.0", 1),
    ]


# -- the digest ------------------------------------------------------------------------------------


def test_the_digest_changes_with_all_that_a_plan_depends_on():
    base = regular(nodes=2, cores=4)
    variants = [
        base,
        regular(nodes=2, cores=4, threads=1),
        regular(nodes=2, cores=4, interleaved=True),
        regular(nodes=2, cores=4, offline=frozenset({3})),
        regular(nodes=2, cores=4, caches=2),
        regular(nodes=2, cores=4, packages=2),
        regular(nodes=2, cores=4, efficiency=frozenset({3, 11})),
    ]
    digests = [build(machine).digest() for machine in variants]
    assert len(set(digests)) == len(digests)
    assert build(base).digest() == digests[0]


# -- refusals --------------------------------------------------------------------------------------

SIBLINGS = f"{CPU_ROOT}/cpu1/topology/thread_siblings_list"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({SIBLINGS: "junk"}, [SIBLINGS, "'junk'"]),
        ({SIBLINGS: None}, [SIBLINGS, "missing"]),
        ({SIBLINGS: ""}, [SIBLINGS, "without CPU 1"]),
        ({SIBLINGS: "0"}, [SIBLINGS, "without CPU 1"]),
        ({SIBLINGS: "0-1"}, ["CPUs", "0-1", "disagree about their core"]),
        ({f"{CPU_ROOT}/online": "0-"}, [f"{CPU_ROOT}/online", "'0-'"]),
        ({f"{CPU_ROOT}/online": "64"}, [f"{CPU_ROOT}/online", "no CPU that exists"]),
        ({f"{CPU_ROOT}/possible": "?"}, [f"{CPU_ROOT}/possible", "'?'"]),
        ({f"{CPU_ROOT}/cpu1/topology/die_id": "x"}, [f"{CPU_ROOT}/cpu1/topology/die_id", "'x'"]),
        ({f"{CPU_ROOT}/cpu1/cache/index3/shared_cpu_list": "x"}, ["cpu1/cache/index3/shared_cpu_list", "'x'"]),
        ({f"{NODE_ROOT}/node1/cpulist": "x"}, [f"{NODE_ROOT}/node1/cpulist", "'x'"]),
        ({f"{NODE_ROOT}/node1/cpulist": "2,6"}, ["CPUs 3,7", "no NUMA node", NODE_ROOT]),
        ({f"{NODE_ROOT}/node1/cpulist": "0,2-3,6-7"}, ["CPUs 0", "node 0", "node 1", NODE_ROOT]),
        ({f"{NODE_ROOT}/node0/cpulist": "0-1,4-5,7", f"{NODE_ROOT}/node1/cpulist": "2-3,6"}, ["3,7", "different NUMA nodes"]),
        ({"/sys/devices/cpu_atom/cpus": "x"}, ["/sys/devices/cpu_atom/cpus", "'x'"]),
    ],
)
def test_a_broken_file_is_refused_by_name(changes, words):
    files = regular(nodes=2, cores=2, threads=2).files()
    files.update(changes)
    with pytest.raises(TopologyError) as error:
        build_topology({path: text for path, text in files.items() if text is not None})
    for word in words:
        assert word in str(error.value)


def test_a_broken_mask_is_refused_by_name():
    files = regular(nodes=1, masks=True).files()
    path = f"{CPU_ROOT}/cpu0/topology/thread_siblings"
    files[path] = "zz"
    with pytest.raises(TopologyError, match=path):
        build_topology(files)


def test_no_cpu_at_all_is_refused():
    with pytest.raises(TopologyError, match=CPU_ROOT):
        build_topology({})


def test_a_machine_whose_nodes_are_all_memory_is_one_node():
    files = {**regular(nodes=1).files(), f"{NODE_ROOT}/node0/cpulist": "", f"{NODE_ROOT}/node1/": ""}
    assert build_topology(files).nodes == {0: frozenset(range(8)), 1: frozenset()}


@pytest.mark.parametrize(
    ("kinds", "slow"),
    [
        ({"core": "0-5", "atom": "6-13", "lowpower": "14-15"}, range(6, 16)),  # kernels from 6.13 show three kinds
        ({"atom": "6-13"}, range(6, 14)),  # a capture with this file alone
        ({"lowpower": "14-15"}, (14, 15)),
        ({"core": "0-5", "atom": "6-13"}, range(6, 16)),  # a kind that has no name here is slower too
        ({"core": "0-5", "atom": "6-9", "lowpower": "10-11", "minute": "12-15"}, range(6, 16)),
        ({"core": "14-15", "atom": "0-13"}, range(14)),  # by meaning, not by number or name
        ({"core": "0-5"}, range(6, 16)),
        ({"core": "", "atom": "0-13", "lowpower": "14-15"}, (14, 15)),  # no core of the first kind is online
        ({"atom": "0-15"}, ()),
        ({"minute": "0-7", "hour": "8-15"}, ()),  # which is faster is unknown
        ({"core": "0-15"}, ()),  # no hybrid processor
        ({}, ()),
    ],
)
def test_every_kind_of_core_but_the_first_is_slower(kinds, slow):
    files = {
        **regular(nodes=1, cores=16, threads=1).files(),
        **{f"/sys/devices/cpu_{kind}/cpus": f"{cpus}\n" for kind, cpus in kinds.items()},
    }
    topology = build_topology(files)
    assert [cpu.number for cpu in topology.cpus.values() if cpu.efficiency] == list(slow)


def meminfo(**kib):
    return {f"{NODE_ROOT}/node{node[1:]}/meminfo": f"Node {node[1:]} MemTotal:       {size} kB\n" for node, size in kib.items()}


@pytest.mark.parametrize(
    ("memory", "without"),
    [
        ({}, frozenset()),  # captures often lack the file
        ({"n0": 131790848, "n1": 0}, {1}),
        ({"n0": 131790848, "n1": 131790848}, frozenset()),
        ({"n1": 0}, {1}),
        ({"n0": 0, "n1": 0}, frozenset()),  # that cannot be, so it says nothing
    ],
)
def test_a_node_with_cpus_may_have_no_memory(memory, without):
    files = {**regular(nodes=2, cores=2).files(), **meminfo(**memory)}
    assert build_topology(files).without_memory == without
    assert build_topology(files).digest() == build(regular(nodes=2, cores=2)).digest(), "no reason to plan again"
