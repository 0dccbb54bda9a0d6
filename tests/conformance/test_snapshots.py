# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real machines: each is read as other programs read it, and planned validly or refused for a reason listed here."""

from __future__ import annotations

import re
import shutil

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import TopologyError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology
from captures import folder, need_whole
from conformance.invariants import violations
from conformance.oracles import from_hwloc_console, from_hwloc_xml, from_lscpu_text, run_lscpu, run_lstopo
from conformance.snapshots import NAMES, SNAPSHOTS, each_snapshot

#: Captures that describe no machine to partition.
UNREADABLE = {
    "hwloc/4fake-4gr1nu1pu": "cpu0/topology/thread_siblings_list is missing",  # made by hand, without core layout
    "hwloc/fakememinitiators-1np2c+1npp+gi": "cpu0/topology/thread_siblings_list is missing",  # likewise
    "hwloc/8em64t-2s2ca2c-buggynuma": "CPUs 0-7 are on NUMA node 0 and on NUMA node 1",  # firmware: every node has all CPUs
    "hwloc/offline-cpu0-node0": "CPUs 4,6,8,10,12,14,16,18,20 belong to no NUMA node",  # node 0 was cut out of the capture
}

ALL_SETS = "runtime, all sets"
INTENTS = {
    "defaults": Intent(smt="together"),
    "single": Intent(smt="single"),
    "dataplane": Intent(smt="together", dataplane_cores_per_node=1),
    "shared": Intent(smt="together", shared_cores_per_node=1),
    ALL_SETS: Intent(smt="together", isolation="runtime", dataplane_cores_per_node=1, shared_cores_per_node=1, realtime="1"),
}

NO_CORE = "cpu_partition_realtime: no core is left for realtime"
NO_DATAPLANE = r"cpu_partition_dataplane_cores_per_node: NUMA node \d+ has 0 free cores left for dataplane, 1 asked for"
NO_SHARED = r"cpu_partition_shared_cores_per_node: NUMA node \d+ has 0 free cores left for shared, 1 asked for"
NO_REALTIME = r"cpu_partition_realtime: NUMA node \d+ has 0 free cores left for realtime, 1 asked for"

ONE_CORE = f"{NO_CORE}; this node has 1 core on 1 NUMA node"
ONE_CORE_IN_ALL = {
    "defaults": ONE_CORE,
    "single": ONE_CORE,
    "dataplane": NO_DATAPLANE,
    "shared": NO_SHARED,
    ALL_SETS: NO_DATAPLANE,
}
ONE_CORE_ON_A_NODE = {"dataplane": NO_DATAPLANE, "shared": NO_SHARED, ALL_SETS: NO_DATAPLANE}
TWO_CORES_PER_NODE = {"dataplane": NO_CORE, "shared": NO_CORE, ALL_SETS: NO_SHARED}
THREE_CORES = {ALL_SETS: NO_REALTIME}

#: Intents that a machine is too small for: one core of each node is housekeeping's.
REFUSED = {
    "hwloc/2i386-2t-hugepagesizecount": ONE_CORE_IN_ALL,
    "hwloc/2ps3-2t": ONE_CORE_IN_ALL,
    "ghw/linux-arm64-c288e0776090cd558ef793b2a4e61939": ONE_CORE_IN_ALL,
    "lscpu/ppc-qemu": ONE_CORE_IN_ALL,
    "lscpu/rv64-linux": ONE_CORE_IN_ALL,
    "hwloc/16amd64-8n2c-cpusets": ONE_CORE_ON_A_NODE,  # CPU 4 of node 2 is offline
    "hwloc/16amd64-8n2c": TWO_CORES_PER_NODE,
    "hwloc/16ia64-8n2s": TWO_CORES_PER_NODE,
    "hwloc/2arm-2c": TWO_CORES_PER_NODE,
    "hwloc/2i386-2c-nohugepage": TWO_CORES_PER_NODE,
    "hwloc/2pa-pcidomain32bits": TWO_CORES_PER_NODE,
    "hwloc/fakecpuid1f-64intel64-2p4d2n2c2t": TWO_CORES_PER_NODE,
    "hwloc/fakeheteromemtiers": TWO_CORES_PER_NODE,
    "lscpu/armv7": TWO_CORES_PER_NODE,
    "lscpu/s390-nested-virt": TWO_CORES_PER_NODE,
    "lscpu/vbox-win": TWO_CORES_PER_NODE,
    "lscpu/vmware_fpe": TWO_CORES_PER_NODE,
    "lscpu/x86_64-dell_e4310": TWO_CORES_PER_NODE,
    "lscpu/s390-kvm": THREE_CORES,
}


def topology_of(snapshot):
    return read_topology(Host(root=str(snapshot.root())))


def readable_topology(snapshot):
    if str(snapshot) in UNREADABLE:
        pytest.skip("describes no machine to partition, see UNREADABLE")
    return topology_of(snapshot)


# -- planning --------------------------------------------------------------------------------------


@each_snapshot()
@pytest.mark.parametrize("name", INTENTS)
def test_a_machine_is_planned_validly_or_refused_as_listed(snapshot, name):
    topology = readable_topology(snapshot)
    intent = INTENTS[name]
    reason = REFUSED.get(str(snapshot), {}).get(name)
    if reason is not None:
        with pytest.raises(PartitionError, match=reason):
            plan_partition(topology, intent)
        return
    partition = plan_partition(topology, intent)
    assert violations(topology, partition, intent) == []


@each_snapshot()
def test_an_unreadable_machine_is_refused_by_file(snapshot):
    reason = UNREADABLE.get(str(snapshot))
    if reason is None:
        assert topology_of(snapshot).online
        return
    with pytest.raises(TopologyError, match=re.escape(reason)):
        topology_of(snapshot)


# -- the installed programs ------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("lstopo-no-graphics"), reason="hwloc is not installed")
@each_snapshot()
def test_lstopo_sees_the_same_cpus_cores_and_nodes(snapshot):
    """Without exception, with hwloc's Linux back end."""
    topology = readable_topology(snapshot)
    assert list(run_lstopo(snapshot.root()).differences(topology)) == []


#: What lscpu sees otherwise, and why the kernel's sibling lists are right.
LSCPU_DIFFERS = {
    "lscpu/arm-A510-A710-A715-X3": "it numbers the cores of each processor model from 0 and takes equal numbers for one core",
}


@pytest.mark.skipif(not shutil.which("lscpu"), reason="lscpu is not installed")
@each_snapshot()
def test_lscpu_sees_the_same_cpus_cores_and_nodes(snapshot):
    topology = readable_topology(snapshot)
    for needed in ("sys/devices/system/cpu/possible", "proc/cpuinfo"):
        if not (snapshot.root() / needed).exists():
            pytest.skip(f"lscpu needs /{needed}, which this capture lacks")
    oracle = run_lscpu(snapshot.root())
    if oracle is None:
        pytest.skip("this lscpu cannot read the cpuinfo of this architecture")
    differences = list(oracle.differences(topology))
    assert bool(differences) == (str(snapshot) in LSCPU_DIFFERS), differences


# -- hwloc's expected outputs ----------------------------------------------------------------------

#: Expected outputs that see but a part of the machine: the capture was made within a cgroup or cpuset.
IN_A_CGROUP = {
    "16amd64-4n4c-cgroup-distance-merge.console": 4,
    "16amd64-8n2c-cpusets-xml.xml": 10,
    "16amd64-8n2c-cpusets.console": 10,
    "16em64t-4s2ca2c-cpusetreorder.console": 11,
    "16em64t-4s2ca2c-cpusetreorder-merge.console": 11,
    "32amd64-4s2n4c-cgroup2.xml": 6,
}

#: Expected outputs without cores: --merge and --filter drop a level that says nothing new.
CORES_MERGED_AWAY = {
    "16amd64-4n4c-cgroup-distance-merge.console",
    "16em64t-4s2ca2c-cpusetreorder-merge.console",
}

#: AMD Bulldozer: hwloc counts the two halves of a module as cores. The kernel calls them siblings, because they share
#: front end, floating point unit and L2 cache: a neighbour that a real-time CPU must not have.
MODULES_AS_CORES = {"64amd64-4s2n4ca2co.console", "64amd64-4p2n4ca2co.xml"}


def expected_outputs(snapshot):
    for test in sorted(snapshot.archive.parent.glob("*.test")):
        facts = dict(re.findall(r"^(source|target):\s*(\S+)", test.read_text(), re.MULTILINE))
        if facts["source"] == snapshot.archive.name:
            yield test.parent / facts["target"]


@each_snapshot("hwloc")
def test_hwlocs_expected_outputs_show_the_same(snapshot):
    topology = readable_topology(snapshot)
    targets = list(expected_outputs(snapshot))
    assert targets
    for target in targets:
        read = from_hwloc_xml if target.suffix == ".xml" else from_hwloc_console
        oracle = read(target.read_text(), complete=target.name not in IN_A_CGROUP)
        assert IN_A_CGROUP.get(target.name, len(topology.online)) == len(oracle.cpus)
        assert (oracle.cores is None) == (target.name in CORES_MERGED_AWAY)
        assert oracle.nodes
        differences = list(oracle.differences(topology))
        if target.name in MODULES_AS_CORES:
            assert all(len(core) == 2 for core in topology.cores)
            assert all(len(core) == 1 for core in oracle.cores)
            differences = [line for line in differences if not line.startswith("core ")]
        assert differences == []


def test_the_tables_name_snapshots_that_exist():
    assert set(UNREADABLE) | set(REFUSED) | set(LSCPU_DIFFERS) | set(HYBRID) <= set(NAMES)


def test_every_snapshot_that_is_here_is_listed_and_the_own_ones_are_here():
    assert set(SNAPSHOTS) <= set(NAMES)
    assert {name.split("/")[0] for name in SNAPSHOTS} == {name.split("/")[0] for name in NAMES}


def test_every_expected_output_of_hwloc_is_used():
    need_whole("hwloc")
    listed = {path.name for pattern in ("*.console", "*.xml") for path in folder("hwloc").rglob(pattern)}
    tests = [path.read_text() for path in folder("hwloc").rglob("*.test")]
    assert {re.search(r"^target:\s*(\S+)", text, re.MULTILINE)[1] for text in tests} == listed
    assert set(IN_A_CGROUP) | CORES_MERGED_AWAY | MODULES_AS_CORES <= listed


# -- hybrid processors -----------------------------------------------------------------------------

HYBRID = {
    "hwloc/20em64t-hybrid-1p6c2t+2ca4co1t": range(12, 20),
    "ghw/linux-amd64-415ee03b8c4d1c4f07ae2e9d8b3d3d6d": range(8, 16),
    "nri/test-data-sample1": range(8, 16),
    "lscpu/arm-A510-A710-A715-X3": range(3),
    # Known gap: no SMT, and a capture without /sys/devices/cpu_atom: CPUs 0-3 are E-cores, which nothing read here shows.
    "hwloc/5intel64-hybrid-lakefield": (),
}


@each_snapshot()
def test_e_cores(snapshot):
    topology = readable_topology(snapshot)
    found = {cpu.number for cpu in topology.cpus.values() if cpu.efficiency}
    assert found == set(HYBRID.get(str(snapshot), ()))


# -- lscpu's expected outputs ----------------------------------------------------------------------

#: Sockets, where lscpu means something else than the kernel's package numbers.
SOCKETS_DIFFER = {
    "arm-A510-A710-A715-X3": "counted for the first processor model only",
    "ppc64-POWER7": "the kernel shows no package (-1); lscpu counts core_siblings",
    "ppc64-POWER7-64cpu": "the kernel shows no package (-1); lscpu counts core_siblings",
    "sparc64": "the kernel shows one package; lscpu counts core_siblings",
}


@each_snapshot("lscpu")
def test_lscpus_expected_outputs_say_the_same(snapshot):
    topology = readable_topology(snapshot)
    summary, table = from_lscpu_text((folder("util-linux-lscpu") / "expected" / f"lscpu-{snapshot.name}").read_text())
    assert summary.online == topology.online
    assert summary.threads_per_core == topology.threads_per_core
    if summary.nodes:  # CPUs that are only possible are listed, too, on s390
        assert {node: cpus & topology.online for node, cpus in summary.nodes.items()} == topology.nodes
    packages = {cpu.package for cpu in topology.cpus.values()}
    if summary.sockets is not None:  # s390 counts sockets per book
        assert (summary.sockets == len(packages)) == (snapshot.name not in SOCKETS_DIFFER)
    assert bool(list(table.differences(topology))) == (str(snapshot) in LSCPU_DIFFERS)
