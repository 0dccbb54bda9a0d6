# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain on guests and nodes from the field (tests/fixtures/field); each case gives its EXPECTED value."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, read_pins, to_text
from unit import lopsided
from unit.image_tools import qcow2
from unit.loaders import field
from unit.trees import documented, fill, machine_files, memory_files, plan

TWO_NODES = {"nodes": 2, "cores": 10, "threads": 1}
#: Housekeeping 0-1 and 10-11, realtime 2-9 and 12-19.
PARTITION = to_document(plan(Intent(housekeeping_cores_per_node=2), **TWO_NODES))


def takes(node, number, name):
    """libvirt knows the guest of a case."""
    node.libvirt.definitions[name] = to_text(parse(field(number)[""]))


@pytest.fixture(name="two")
def _two(node):
    """A node of two NUMA nodes."""
    pages = {(0, "2M"): (1024, 1024), (1, "2M"): (1024, 1024)}
    fill(
        node.root,
        {
            **machine_files(isolated="2-9,12-19", **TWO_NODES),
            **memory_files({0: 8192, 1: 8192}, pages=pages),
            "/images/ctl.qcow2": qcow2(),
            **documented(PARTITION),
        },
    )
    return node


CTL = {
    "name": "ctl", "adopt": True, "memory_mib": 1024, "vcpus": 4, "realtime_vcpus": "1-3",
    "disks": [{"path": "/images/ctl.qcow2"}],
}  # fmt: skip


def test_05_the_memory_of_a_cell_follows_the_guest(two):
    takes(two, "05", "ctl")
    result = two.converge(CTL, partition=PARTITION)
    tree = two.tree("ctl")
    assert tree.find("numatune/memory").get("nodeset") == "1"
    assert [item.attrib for item in tree.findall("numatune/memnode")] == [{"cellid": "0", "mode": "strict", "nodeset": "1"}]
    assert read_pins(tree) == {vcpu: {12 + vcpu} for vcpu in range(4)}
    assert result["domains"][0]["nodes"] == [1]


def test_05_a_running_guest_has_its_memory_there_after_a_restart(two):
    takes(two, "05", "ctl")
    two.libvirt.run("ctl")
    result = two.run(CTL, partition=PARTITION)
    assert "numatune" in result["restart_required"]["ctl"]
    assert two.run(CTL, partition=PARTITION, restart=True)["restart_required"] == {}
    assert parse(two.libvirt.live["ctl"]).find("numatune/memnode").get("nodeset") == "1"


@pytest.fixture(name="lopsided_node")
def _lopsided_node(node):
    """A node with memory on one of its NUMA nodes."""
    isolated = {"/sys/devices/system/cpu/isolated": "1-71\n"}
    fill(node.root, {**lopsided.files(), **memory_files({0: 128702, 1: 0}, pages={(0, "2M"): (1024, 1024)}), **isolated})
    return node


LARGE = {"name": "plc1", "memory_mib": 1024, "vcpus": 17, "realtime_vcpus": "1-16"}


def test_13_a_guest_of_more_vcpus_than_a_node_with_memory_has_is_told_what_works(lopsided_node):
    plain = lopsided.partition()
    fill(lopsided_node.root, documented(plain))
    said = lopsided_node.refuse(LARGE, partition=plain)
    assert "asks for 17 realtime CPUs and 1024 MiB of memory on one NUMA node; node 0: 16 of 16 free" in said
    assert "numa: spread lets it" not in said, "that would be refused as well"
    assert said.endswith(
        "; CPUs of NUMA node 1, which has no memory, serve guests with numa: spread where cpu_partition_cpus.realtime names them"
    )
    assert "asks for 17 realtime CPUs" in lopsided_node.refuse({**LARGE, "numa": "spread"}, partition=plain)


def test_13_what_works(lopsided_node):
    named = lopsided.partition(cpus={"realtime": "4-34:1/2,3,5"})
    fill(lopsided_node.root, documented(named))
    assert lopsided_node.refuse(LARGE, partition=named).endswith("; numa: spread lets it use several nodes")
    result = lopsided_node.converge({**LARGE, "numa": "spread"}, partition=named)
    (domain,) = result["domains"]
    assert domain["nodes"] == [0]
    assert {"3", "4"} <= set(domain["vcpus"].values())
    small = {"name": "plc2", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1", "numa_node": 1}
    said = lopsided_node.refuse({**LARGE, "numa": "spread"}, small, partition=named)
    assert "on NUMA node 1, which has no memory: give it another numa_node" in said


def test_20_a_guest_in_a_slice_without_housekeeping_is_refused(node):
    takes(node, "20", "plc")
    fill(node.root, {"/sys/fs/cgroup/machine.slice/machine-rt.slice/cpuset.cpus": "2-9\n"})
    guest = {"name": "plc", "adopt": True, "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1", "state": "present"}
    said = node.refuse(guest)
    assert re.search(
        r"machine-rt\.slice/cpuset\.cpus limits guests to CPUs 2-9, but they need 0,2-9: housekeeping CPUs \(0\)", said
    )
    assert "systemctl revert machine-rt.slice" in said
