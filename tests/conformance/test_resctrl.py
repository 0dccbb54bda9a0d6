# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caches of real machines are divided validly, and the trees of resctrl that libvirt has captured are read and planned."""

from __future__ import annotations

import tarfile
from functools import cache

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache.groups import plan_resctrl
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import bits, is_row
from ansible_collections.realtime.kvm.plugins.module_utils._cache.read import read_domains, read_tree
from ansible_collections.realtime.kvm.plugins.module_utils._cache.schemata import Cache, Info
from ansible_collections.realtime.kvm.plugins.module_utils._cache.wanted import REST, plan_groups
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import TopologyError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology
from captures import need
from conformance.snapshots import each_snapshot

OFF = {"cache": False, "cache_l2": False, "memory_bandwidth": 0, "cache_code_data": False}
INTENTS = {
    "defaults": Intent(),
    "dataplane": Intent(smt="together", dataplane_cores_per_node=1),
    "all sets": Intent(smt="together", dataplane_cores_per_node=1, shared_cores_per_node=1, realtime="1"),
}
#: What processors show in info/L3: portions, least, those that devices fill, groups.
PROCESSORS = {
    "haswell": (20, 2, 0xC0000, 4),
    "broadwell": (20, 1, 0xC0000, 16),
    "skylake": (11, 1, 0x600, 16),
    "sapphire rapids": (15, 1, 0x6000, 15),
    "rome": (16, 1, 0, 16),
}


def domains_of(topology):
    """The machine's L3 caches, numbered; hwloc's captures are older than the kernel's ids."""
    found = {}
    for number, cpu in topology.cpus.items():
        found.setdefault(cpu.l3, set()).add(number)  # the lowest CPU of the cache; a CPU without one is alone
    shared = [cpus for cpus in found.values() if len(cpus) > 1]
    return {number: frozenset(cpus) & topology.online for number, cpus in enumerate(shared)}


def cores_of(topology):
    return {topology.core_of(cpu) for cpu in topology.online}


def check(partition, online, domains, resource, cores):
    """Rows, not below the least, disjoint between all that have CPUs on a cache, and nothing is left over."""
    info = Info({resource.name: resource}, resource.closids)
    options = {**OFF, "cache": True, "cache_l2": True}
    wanted = plan_groups(partition, online, {resource.level: domains}, info, options, cores=cores)
    isolated = partition.isolated & online
    assert wanted.groups[REST].cpus == partition.unisolated & online if wanted.groups else True
    for domain, cpus in domains.items():
        here = {name: group for name, group in wanted.groups.items() if group.cpus & cpus}
        masks = [group.lines[resource.name][domain] for group in here.values() if domain in group.lines.get(resource.name, {})]
        assert len(masks) == (len(here) if isolated & cpus else 0)
        assert all(is_row(mask) and bits(mask) >= resource.least for mask in masks)
        assert not masks or sum(masks) == resource.full, "disjoint, and all of the cache"
        if REST in here and masks:
            assert not resource.shared & resource.full & ~here[REST].lines[resource.name][domain], "devices' portions"
    assert sum(group.cpus != frozenset() for group in wanted.groups.values()) <= resource.closids


@cache
def _topology(root):
    return read_topology(Host(str(root), captured=True))


@each_snapshot()
@pytest.mark.parametrize("intent", INTENTS)
def test_every_machine_is_divided_validly(snapshot, intent):
    try:
        topology = _topology(snapshot.root())
        partition = plan_partition(topology, INTENTS[intent])
    except (TopologyError, PartitionError):
        pytest.skip("no machine to partition so (test_snapshots.py says why)")
    domains = domains_of(topology)
    if not domains:
        pytest.skip("it shows no L3 cache")
    for count, least, shared, closids in PROCESSORS.values():
        check(partition, topology.online, domains, Cache("L3", (1 << count) - 1, least, shared, closids), cores_of(topology))


# -- resctrl itself --------------------------------------------------------------------------------


def captured(tmp_path, name):
    """A machine's resctrl and caches, from libvirt's tests, as files of its root."""
    with tarfile.open(need("libvirt", f"capabilities/linux-resctrl-{name}.tar.xz")) as archive:
        archive.extractall(tmp_path / "taken", filter="data")
    taken = next((tmp_path / "taken").iterdir())
    (tmp_path / "sys/fs").mkdir(parents=True)
    (tmp_path / "sys/devices").mkdir()
    (taken / "resctrl").rename(tmp_path / "sys/fs/resctrl")
    if (taken / "system").is_dir():
        (taken / "system").rename(tmp_path / "sys/devices/system")
    return Host(str(tmp_path), check_mode=True, owner="cpu_cache", captured=True)


@pytest.mark.parametrize(
    ("name", "caches", "closids", "bandwidth", "domains"),
    [
        ("amd", {"L3": (0xFFFF, 1, 0, True)}, 16, (0, 1), {0, 2, 4, 6, 8, 10, 12, 14}),
        ("mba_MBps", {"L3": (0x7FFF, 1, 0x6000, False), "L2": (0xFFFF, 1, 0, False)}, 8, (10, 10), {0, 1}),
    ],
)
def test_captured_resctrl_is_read_and_divided(tmp_path, name, caches, closids, bandwidth, domains):
    host = captured(tmp_path, name)
    tree = read_tree(host)
    found = {cache.name: (cache.full, cache.least, cache.shared, cache.sparse) for cache in tree.info.caches.values()}
    assert (found, tree.info.closids, tree.info.bandwidth) == (caches, closids, bandwidth)
    levels = read_domains(host)
    assert set(levels["L3"]) == set(tree.groups[""].lines["L3"]) == domains
    assert "L2" not in caches or set(levels["L2"]) == set(tree.groups[""].lines["L2"])
    topology = read_topology(host)
    for intent in INTENTS.values():
        partition = plan_partition(topology, intent)
        for resource in tree.info.caches.values():
            check(partition, topology.online, levels[resource.level], resource, cores_of(topology))
        plan_resctrl(host, partition, {**OFF, "cache": True, "cache_l2": True})
        assert {change.resource.partition("/schemata")[0] for change in host.changes} <= {
            *(f"/sys/fs/resctrl/realtime-kvm-{name}" for name in ("realtime", "dataplane")),
            "/sys/fs/resctrl",
        }


def test_a_captured_resctrl_with_code_and_data_apart(tmp_path):
    tree = read_tree(captured(tmp_path, "cdp"))
    assert tree.info.code_data == {"L3"}
    assert tree.info.closids == 8
    assert [group.name for group in tree.foreign] == ["manualres"]
    assert tree.groups["manualres"].lines["L3CODE"] == {0: 0x30000, 1: 0x30000}
    assert tree.groups[""].lines["L3CODE"] == {0: 0xFF003, 1: 0xF00FF}, "with holes, which nobody may write today"
