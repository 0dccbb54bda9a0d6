# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical networks: their NIC's node, their bridge, their trait."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.physnets import (
    Physnet,
    PhysnetError,
    check_bridges,
    check_nodes,
    known_physnets,
)
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import TraitError
from unit.clouds import PARTITION, rows

RT0 = Physnet("rt0", "control", "br-rt0", 1_000_000, "ens1", 0)


def known(*items, nodes=None):
    return known_physnets(parse_networks(items).values(), nodes or {})


def test_only_networks_of_neutron():
    items = [
        {"name": "b", "physical_network": "rt1", "kbps": 5},
        {"name": "a", "physical_network": "rt0", "device": "ens1"},
        {"name": "c"},
        {"name": "d", "physical_network": "rt2", "state": "absent"},
    ]
    assert known(*items, nodes={"a": 1}) == [Physnet("rt0", "a", "br-a", 1_000_000, "ens1", 1), Physnet("rt1", "b", "br-b", 5)]


def test_names_with_one_trait_are_refused():
    with pytest.raises(TraitError, match="rt-0 and rt_0 have the same trait"):
        known({"name": "a", "physical_network": "rt_0"}, {"name": "b", "physical_network": "rt-0"})


def test_a_nic_on_a_node_without_realtime_cpus_for_nova_is_refused():
    check_nodes([RT0], PARTITION, frozenset({2}))
    check_nodes([Physnet("rt1", "b", "br-b", 5)], PARTITION, frozenset({2}))
    with pytest.raises(PhysnetError) as caught:
        check_nodes([RT0], PARTITION, frozenset({5, 6, 7}))
    said = str(caught.value)
    assert said.startswith(
        "realtime_networks: control: device ens1 of physical network rt0 is on NUMA node 0, which has no realtime CPUs for Nova"
    )
    assert "(they are 5-7, on NUMA node 1)" in said
    with pytest.raises(PhysnetError, match=r"\(they are none, on no node\)"):
        check_nodes([RT0], PARTITION, frozenset())


def test_a_bridge_must_be_there_in_userspace():
    check_bridges([RT0], rows("br-rt0").database())
    with pytest.raises(
        PhysnetError, match="bridge br-rt0 of physical network rt0 is not on the switch of this node; run the ovs_dpdk role"
    ):
        check_bridges([RT0], rows("br-other").database())
    for datapath in ("system", ""):
        with pytest.raises(PhysnetError, match=r"has the datapath of the kernel \(system\)"):
            check_bridges([RT0], rows("br-rt0", datapath=datapath).database())
