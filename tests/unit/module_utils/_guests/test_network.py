# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks as the inventory names them: what is read, and every refusal."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import MAX_NAME as MAX_GUEST
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import (
    MAX_NAME,
    MAX_SOCKET_PATH,
    NetworkError,
    parse_networks,
    port_name,
    socket_path,
)


def refusal(*items):
    with pytest.raises(NetworkError) as caught:
        parse_networks(items)
    return str(caught.value)


def test_defaults():
    network = parse_networks([{"name": "control"}])["control"]
    assert (network.bridge, network.realtime, network.state) == ("br-control", True, "present")
    assert (network.vlan, network.device, network.driver, network.mtu, network.queues) == (None, None, "vfio-pci", 1500, 1)


def test_keys_without_a_value_are_as_if_they_were_not_there():
    items = {"name": "control", "bridge": None, "vlan": None, "device": None, "mtu": None, "state": None}
    assert parse_networks([items]) == parse_networks([{"name": "control"}])


def test_a_long_name_needs_a_bridge_beside_it():
    name = "a" * MAX_NAME
    assert parse_networks([{"name": name, "bridge": "br0"}])[name].bridge == "br0"
    assert re.search("bridge 'br-a+' must be 1 to 15 .*; a name this long needs bridge beside it", refusal({"name": name}))


@pytest.mark.parametrize(
    ("device", "address"), [("0000:41:00.0", True), ("ens1", False), ("enp65s0f0np0", False), ("0000:41:00", False)]
)
def test_device_is_a_name_or_an_address(device, address):
    assert parse_networks([{"name": "n", "device": device}])["n"].device_is_address is address


def test_real_time_networks_may_share_a_bridge():
    networks = parse_networks([{"name": "a", "bridge": "br", "vlan": 1}, {"name": "b", "bridge": "br", "vlan": 2}])
    assert {network.bridge for network in networks.values()} == {"br"}


def test_the_longest_names_make_a_socket_that_can_be_bound():
    path = socket_path(port_name("g" * MAX_GUEST, "n" * MAX_NAME))
    assert len(path) <= MAX_SOCKET_PATH


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("control", r"^realtime_networks\[0\]: 'control' is not a mapping with at least a name"),
        ({}, r"^realtime_networks\[0\]: name None must be 1 to 15 characters"),
        ({"name": ""}, "name '' must be 1 to 15"),
        ({"name": "a" * 16}, "must be 1 to 15 characters a-z, 0-9 and -, the first a letter"),
        ({"name": "Control"}, "name 'Control' must be"),
        ({"name": "a.b"}, r"name 'a\.b' must be"),
        ({"name": "a/b"}, "name 'a/b' must be"),
        ({"name": "-a"}, "name '-a' must be"),
        ({"name": "a\n"}, "must be 1 to 15"),
        ({"name": 7}, "name 7 must be"),
        ({"name": "n", "colour": "red"}, "^realtime_networks: n: unknown key colour; known are name, bridge, realtime"),
        ({"name": "n", "bridge": ""}, "bridge '' must be 1 to 15 characters that an interface may have"),
        ({"name": "n", "bridge": "b" * 16}, "bridge 'b+' must be"),
        ({"name": "n", "bridge": "a b"}, "bridge 'a b' must be"),
        ({"name": "n", "bridge": "../b"}, "must be 1 to 15"),
        ({"name": "n", "vlan": 0}, "vlan 0 is not in 1-4094"),
        ({"name": "n", "vlan": 4095}, "vlan 4095 is not in 1-4094"),
        ({"name": "n", "vlan": "100"}, r"vlan '100' has the wrong type \(str\)"),
        ({"name": "n", "vlan": True}, r"vlan True has the wrong type \(bool\)"),
        ({"name": "n", "realtime": "yes"}, r"realtime 'yes' has the wrong type"),
        ({"name": "n", "mtu": 67}, "mtu 67 is not in 68-9702"),
        ({"name": "n", "mtu": 9703}, "mtu 9703 is not in 68-9702"),
        ({"name": "n", "queues": 0}, "queues 0 is not in 1-64"),
        ({"name": "n", "queues": 65}, "queues 65 is not in 1-64"),
        ({"name": "n", "driver": "uio"}, "driver 'uio' is not one of vfio-pci, keep"),
        ({"name": "n", "state": "gone"}, "state 'gone' is not one of present, absent"),
        ({"name": "n", "device": "a b"}, "device 'a b' is neither an interface's name nor a PCI address like 0000:01:00.0"),
        ({"name": "n", "device": "ens1,rx_mode=1"}, "is neither an interface's name nor a PCI address"),
        (
            {"name": "n", "device": "ens1", "realtime": False},
            r"device belongs to real-time networks; an ordinary bridge \(br-n\)",
        ),
    ],
)
def test_one_network_that_is_described_wrongly(item, said):
    assert re.search(said, refusal(item))


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([{"name": "n"}, {"name": "n"}], "n is there twice; every network needs a name of its own"),
        ([{"name": "a", "device": "ens1"}, {"name": "b", "device": "ens1"}], "b and a name the same device ens1"),
        (
            [{"name": "a", "bridge": "br"}, {"name": "b", "bridge": "br", "realtime": False}],
            "b and a share bridge br, but only one of them is real-time",
        ),
    ],
)
def test_networks_that_do_not_go_together(items, said):
    assert said in refusal(*items)


def test_an_absent_network_blocks_no_device():
    parse_networks([{"name": "a", "device": "ens1", "state": "absent"}, {"name": "b", "device": "ens1"}])
