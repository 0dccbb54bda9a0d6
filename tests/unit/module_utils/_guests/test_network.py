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
    Network,
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
            r"device belongs to real-time networks on the switch, and to macvtap; an ordinary bridge \(br-n\)",
        ),
        ({"name": "n", "datapath": "ovs"}, "datapath 'ovs' is not one of switch, bridge, macvtap"),
        ({"name": "n", "datapath": 1}, r"datapath 1 has the wrong type \(int\)"),
        (
            {"name": "n", "datapath": "switch", "realtime": False},
            "datapath switch is for real-time networks; remove realtime: false",
        ),
        (
            {"name": "n", "datapath": "bridge", "vlan": 5},
            "^realtime_networks: n: vlan belongs to the switch; with datapath bridge the node's own",
        ),
        ({"name": "n", "datapath": "bridge", "queues": 2, "mtu": 9000}, "mtu, queues belongs to the switch"),
        ({"name": "n", "datapath": "bridge", "driver": "keep"}, "driver belongs to the switch"),
        ({"name": "n", "datapath": "bridge", "physical_network": "rt0"}, "physical_network belongs to the switch"),
        ({"name": "n", "datapath": "bridge", "device": "ens1"}, r"an ordinary bridge \(br-n\) and its ports are the node's own"),
        ({"name": "n", "datapath": "macvtap"}, "datapath macvtap needs device, the interface of the node"),
        ({"name": "n", "datapath": "macvtap", "device": "0000:01:00.0"}, "device '0000:01:00.0' must be an interface's name"),
        ({"name": "n", "datapath": "macvtap", "device": "../ens1"}, "device '../ens1' must be an interface's name"),
        ({"name": "n", "datapath": "macvtap", "device": "ens1", "bridge": "br0"}, "bridge 'br0' beside datapath macvtap"),
    ],
)
def test_one_network_that_is_described_wrongly(item, said):
    assert re.search(said, refusal(item))


@pytest.mark.parametrize(
    ("item", "on_switch", "by_vhost", "place"),
    [
        ({}, True, False, "bridge br-n"),
        ({"datapath": "switch"}, True, False, "bridge br-n"),
        ({"realtime": False}, False, False, "bridge br-n"),
        ({"realtime": False, "datapath": "bridge"}, False, False, "bridge br-n"),
        ({"datapath": "bridge", "bridge": "br0"}, False, True, "bridge br0"),
        ({"datapath": "macvtap", "device": "ens1"}, False, True, "macvtap on ens1"),
        ({"datapath": "macvtap", "device": "ens1", "realtime": False}, False, False, "macvtap on ens1"),
    ],
)
def test_who_serves_a_network(item, on_switch, by_vhost, place):
    network = parse_networks([{"name": "n", **item}])["n"]
    assert (network.on_switch, network.by_vhost, network.place) == (on_switch, by_vhost, place)


def test_a_bridge_of_the_kernel_may_be_real_time_for_some_guests_and_ordinary_for_others():
    assert (
        len(
            parse_networks(
                [{"name": "a", "bridge": "br0", "datapath": "bridge"}, {"name": "b", "bridge": "br0", "realtime": False}]
            )
        )
        == 2
    )


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (
            [{"name": "a", "bridge": "br"}, {"name": "b", "bridge": "br", "datapath": "bridge"}],
            "b and a share bridge br, but only one of them is on the switch",
        ),
        (
            [{"name": "a", "device": "ens1"}, {"name": "b", "datapath": "macvtap", "device": "ens1"}],
            "b and a name the same device ens1",
        ),
        ([{"name": "n"}, {"name": "n"}], "n is listed twice; every network needs its own name"),
        ([{"name": "a", "device": "ens1"}, {"name": "b", "device": "ens1"}], "b and a name the same device ens1"),
        (
            [{"name": "a", "bridge": "br"}, {"name": "b", "bridge": "br", "realtime": False}],
            "b and a share bridge br, but only one of them is real-time",
        ),
    ],
)
def test_networks_that_do_not_go_together(items, said):
    assert said in refusal(*items)


def test_a_network_that_neutron_knows():
    network = parse_networks([{"name": "control", "physical_network": "Plant_1.a-b", "kbps": 25_000_000}])["control"]
    assert (network.physical_network, network.kbps) == ("Plant_1.a-b", 25_000_000)
    ordinary = parse_networks([{"name": "control"}])["control"]
    assert (ordinary.physical_network, ordinary.kbps) == (None, 1_000_000)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"name": "b", "physical_network": "rt0"}, "a and b name the same physical_network rt0; name it once"),
        ({"name": "b", "bridge": "br-a", "physical_network": "rt1"}, r"a and b share bridge br-a, which .* \(rt0 or rt1\)"),
    ],
)
def test_physical_networks_that_do_not_go_together(other, said):
    assert re.search(said, refusal({"name": "a", "physical_network": "rt0"}, other))
    parse_networks([{"name": "a", "physical_network": "rt0"}, {**other, "state": "absent"}])


def test_a_bridge_of_a_physical_network_may_have_other_networks():
    networks = parse_networks([{"name": "a", "physical_network": "rt0"}, {"name": "b", "bridge": "br-a", "vlan": 7}])
    assert [network.physical_network for network in networks.values()] == ["rt0", None]


def test_an_absent_network_blocks_no_device():
    parse_networks([{"name": "a", "device": "ens1", "state": "absent"}, {"name": "b", "device": "ens1"}])


def test_defaults_of_a_network():
    assert parse_networks([{"name": "control"}])["control"] == Network("control", "br-control")
    assert parse_networks([{"name": "control", "bridge": None, "vlan": None}])["control"].bridge == "br-control"


@pytest.mark.parametrize("device", ["ens1f0", "0000:01:00.0", "bond0.100", "enp1s0f0np0"])
def test_devices(device):
    network = parse_networks([{"name": "a", "device": device}])["a"]
    assert network.device_is_address is (":" in device)


def test_vlans_may_share_a_bridge():
    networks = parse_networks([{"name": name, "bridge": "br-plant", "vlan": vlan} for name, vlan in (("a", 1), ("b", 4094))])
    assert {network.bridge for network in networks.values()} == {"br-plant"}


NETWORK_REFUSED = {
    "text": ("control", r"realtime_networks\[0\]: 'control' is not a mapping"),
    "name-none": ({}, r"realtime_networks\[0\]: name None must be 1 to 15 characters"),
    "name-upper": ({"name": "Control"}, "name 'Control' must be"),
    "name-dot": ({"name": "a.b"}, "name 'a.b' must be"),
    "name-digit": ({"name": "1a"}, "name '1a' must be"),
    "name-markup": ({"name": "a<b"}, "name 'a<b' must be"),
    "name-newline": ({"name": "a\n"}, r"name 'a\\n' must be"),
    "name-long": ({"name": "n" * 16}, "must be 1 to 15"),
    "name-longer-than-its-bridge": (
        {"name": "control-line-41"},
        "bridge 'br-control-line-41' must be 1 to 15 .*; a name this long needs bridge beside it",
    ),
    "key": ({"name": "a", "ip": 1}, "unknown key ip; known are name, bridge, realtime"),
    "bridge": ({"name": "a", "bridge": "br 0"}, "bridge 'br 0' must be"),
    "bridge-markup": ({"name": "a", "bridge": "b'/>"}, "must be 1 to 15 characters that an interface may have"),
    "bridge-empty": ({"name": "a", "bridge": ""}, "bridge '' must be"),
    "bridge-long": ({"name": "a", "bridge": "b" * 16}, "must be 1 to 15 characters that an interface may have$"),
    "vlan-zero": ({"name": "a", "vlan": 0}, "vlan 0 is not in 1-4094"),
    "vlan-reserved": ({"name": "a", "vlan": 4095}, "vlan 4095 is not in 1-4094"),
    "vlan-text": ({"name": "a", "vlan": "100"}, r"vlan '100' has the wrong type \(str\)"),
    "vlan-bool": ({"name": "a", "vlan": True}, r"vlan True has the wrong type \(bool\)"),
    "realtime": ({"name": "a", "realtime": "yes"}, r"realtime 'yes' has the wrong type \(str\)"),
    "realtime-int": ({"name": "a", "realtime": 1}, r"realtime 1 has the wrong type \(int\)"),
    "mtu-small": ({"name": "a", "mtu": 67}, "mtu 67 is not in 68-9702"),
    "mtu-large": ({"name": "a", "mtu": 9703}, "mtu 9703 is not in 68-9702"),
    "queues": ({"name": "a", "queues": 0}, "queues 0 is not in 1-64"),
    "driver": ({"name": "a", "driver": "uio"}, "driver 'uio' is not one of vfio-pci, keep"),
    "state": ({"name": "a", "state": "running"}, "state 'running' is not one of present, absent"),
    "device": ({"name": "a", "device": "eth0;reboot"}, "device 'eth0;reboot' is neither an interface's name nor a PCI address"),
    "kbps-zero": ({"name": "a", "kbps": 0}, "kbps 0 is not in 1-2147483647"),
    "kbps-large": ({"name": "a", "kbps": 2**31}, "kbps 2147483648 is not in 1-2147483647"),
    "kbps-text": ({"name": "a", "kbps": "1000"}, r"kbps '1000' has the wrong type \(str\)"),
    "kbps-bool": ({"name": "a", "kbps": True}, r"kbps True has the wrong type \(bool\)"),
    "physical-empty": ({"name": "a", "physical_network": ""}, "physical_network '' must be 1 to 64 characters"),
    "physical-colon": ({"name": "a", "physical_network": "rt:0"}, "physical_network 'rt:0' must be"),
    "physical-comma": ({"name": "a", "physical_network": "rt0,rt1"}, "physical_network 'rt0,rt1' must be"),
    "physical-section": ({"name": "a", "physical_network": "rt0]\n[libvirt"}, "must be 1 to 64 characters"),
    "physical-newline": ({"name": "a", "physical_network": "rt0\n"}, "must be 1 to 64 characters"),
    "physical-dash": ({"name": "a", "physical_network": "-rt0"}, "the first a letter or digit"),
    "physical-long": ({"name": "a", "physical_network": "r" * 65}, "must be 1 to 64 characters"),
    "physical-number": ({"name": "a", "physical_network": 0}, r"physical_network 0 has the wrong type \(int\)"),
    "physical-ordinary": (
        {"name": "a", "physical_network": "rt0", "realtime": False},
        "physical_network rt0 belongs to a real-time network; .* br-a is a bridge of the kernel",
    ),
    "device-ordinary": ({"name": "a", "realtime": False, "device": "ens1"}, "device belongs to real-time networks"),
}


@pytest.mark.parametrize(("item", "said"), NETWORK_REFUSED.values(), ids=NETWORK_REFUSED)
def test_network_refused(item, said):
    with pytest.raises(NetworkError) as error:
        parse_networks([item])
    assert re.search(said, str(error.value)), error.value
    assert str(error.value).startswith("realtime_networks")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"name": "a"}, {"name": "a"}, "a is listed twice"),
        ({"name": "a", "device": "ens1"}, {"name": "b", "device": "ens1"}, "b and a name the same device ens1"),
        (
            {"name": "a", "bridge": "br0"},
            {"name": "b", "bridge": "br0", "realtime": False},
            "b and a share bridge br0, but only one of them is real-time",
        ),
    ],
)
def test_two_networks_that_share_what_they_must_not(first, second, said):
    with pytest.raises(NetworkError, match=said):
        parse_networks([first, second])
