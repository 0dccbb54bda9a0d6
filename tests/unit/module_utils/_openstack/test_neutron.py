# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neutron's agent is told beside the operator's own, and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack import neutron
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.ini import Settings, parse_ini
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.neutron import Agent, NeutronError
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.physnets import Physnet
from unit.clouds import rows

RT0, RT1 = Physnet("rt0", "a", "br-a", 1_000_000), Physnet("rt1", "b", "br-b", 25)
FILE = "/etc/neutron/a.ini"


def settings(text=""):
    return Settings([parse_ini(text, FILE)])


def texts(agent, text=""):
    return {f"{group}.{name}": value for (group, name), (value,) in neutron.neutron_options(agent, settings(text)).items()}


def test_options():
    assert texts(Agent([RT0, RT1], "tcp:x")) == {
        "ovs.datapath_type": "netdev",
        "ovs.vhostuser_socket_dir": "/run/realtime-kvm/vhost",
        "ovs.bridge_mappings": "rt0:br-a,rt1:br-b",
        "ovs.resource_provider_bandwidths": "br-a:1000000:1000000,br-b:25:25",
        "ovs.ovsdb_connection": "tcp:x",
        "securitygroup.firewall_driver": "noop",
    }


def test_the_hypervisors_name_beside_bandwidths():
    assert texts(Agent([RT0], "x", "node1.example.com"))["ovs.resource_provider_hypervisors"] == "br-a:node1.example.com"


def test_the_operators_mappings_stay():
    theirs = """[ovs]
bridge_mappings = external:br-ex, gone:br-gone,rt0:br-a
resource_provider_bandwidths = br-ex:10:20,br-a:1:1
resource_provider_hypervisors = br-ex:other,br-a:old
"""
    found = texts(Agent([RT0], "x", missing=frozenset({"br-gone"})), theirs)
    assert found["ovs.bridge_mappings"] == "external:br-ex,rt0:br-a"
    assert found["ovs.resource_provider_bandwidths"] == "br-ex:10:20,br-a:1000000:1000000"
    assert found["ovs.resource_provider_hypervisors"] == "br-ex:other"


def test_a_mapping_whose_bridge_is_missing_is_taken_out_even_where_nothing_is_left():
    assert (
        texts(Agent([], "x", missing=frozenset({"br-ex"})), "[ovs]\nbridge_mappings = external:br-ex\n")["ovs.bridge_mappings"]
        == ""
    )


@pytest.mark.parametrize(
    ("driver", "written"), [("", True), ("iptables_hybrid", True), ("iptables", True), ("openvswitch", False), ("noop", True)]
)
def test_a_firewall_of_the_kernel_is_switched_off(driver, written):
    text = f"[securitygroup]\nfirewall_driver = {driver}\n" if driver else ""
    assert ("securitygroup.firewall_driver" in texts(Agent([RT0], "x"), text)) is written


def test_bridges_that_the_switch_does_not_have():
    theirs = settings("[ovs]\nbridge_mappings = external:br-ex,rt0:br-a\n")
    assert neutron.absent_bridges(theirs, rows("br-a").database()) == {"br-ex": "external"}


@pytest.mark.parametrize(
    ("text", "bridges", "said"),
    [
        (
            "vhostuser_socket_dir = /var/run/openvswitch",
            "netdev",
            "vhostuser_socket_dir is /var/run/openvswitch, but .* only in /run/realtime-kvm/vhost",
        ),
        ("bridge_mappings = rt0:br-ex", "netdev", "has rt0 on bridge br-ex, realtime_networks on br-a"),
        ("bridge_mappings = prov:br-a", "netdev", "has prov on bridge br-a, which is that of rt0 in realtime_networks"),
        ("bridge_mappings = prov:br-ex", "system", "bridge br-ex of physical network prov has the datapath of the kernel"),
    ],
    ids=["socket folder", "another bridge", "another network", "kernel"],
)
def test_contradictions_in_the_operators_file(text, bridges, said):
    with pytest.raises(NeutronError, match=said) as caught:
        neutron.check_operator([RT0], settings(f"[ovs]\n{text}\n"), rows("br-a", "br-ex", datapath=bridges).database())
    assert str(caught.value).startswith(FILE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vhostuser_socket_dir = /var/run/realtime-kvm/vhost/",
        "bridge_mappings = rt0:br-a,prov:br-ex",
        "bridge_mappings = prov:br-gone",
    ],
)
def test_what_does_not_contradict(text):
    neutron.check_operator([RT0], settings(f"[ovs]\n{text}\n"), rows("br-a", "br-ex").database())


@pytest.mark.parametrize(
    ("database", "fine"),
    [
        (rows("br-a"), True),
        (rows("br-int"), True),
        (rows("br-int", datapath="system"), True),
        (rows("br-int", datapath="system").port("br-int", "int-br-a", type="patch"), True),
        (rows("br-int", datapath="system").port("br-int", "tap0", type=""), False),
        (rows("br-int").port("br-int", "tap0", type=""), True),
    ],
    ids=["none yet", "userspace", "kernel and empty", "kernel with patches", "kernel with instances", "userspace with instances"],
)
def test_the_integration_bridge_is_not_moved_under_instances(database, fine):
    if fine:
        neutron.check_integration(settings(), database.database())
        return
    with pytest.raises(NeutronError, match=r"integration bridge br-int has the datapath of the kernel and 1 port \(tap0\)"):
        neutron.check_integration(settings(), database.database())


def test_another_integration_bridge():
    database = rows("br-own", datapath="system").port("br-own", "tap0", type="").database()
    neutron.check_integration(settings(), database)
    with pytest.raises(NeutronError, match="br-own"):
        neutron.check_integration(settings("[ovs]\nintegration_bridge = br-own\n"), database)
