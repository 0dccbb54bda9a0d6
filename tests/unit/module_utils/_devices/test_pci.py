# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI network devices of a tree: driver, NUMA node, interfaces, and what is built on these."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.pci import (
    address_of,
    driver_of,
    interfaces_of,
    node_of,
    read_function,
    stack_on,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.functions import NIC, Functions, vf
from unit.nics import ADDRESS, DEVICE
from unit.trees import fill, writable


@pytest.mark.parametrize(("text", "node"), [("1\n", 1), ("0\n", 0), ("-1\n", None), ("", None)])
def test_numa_node(machine, text, node):
    fill(machine.root, {f"{DEVICE}/numa_node": text})
    assert node_of(machine.host(), ADDRESS) == node


def test_driver_and_interfaces(machine):
    machine.add("0000:42:00.0", "ens2", "virtio-pci", inner="/virtio3")
    machine.add("0000:43:00.0", "", "")
    host = machine.host()
    found = {
        address: (driver_of(host, address), interfaces_of(host, address)) for address in (ADDRESS, "0000:42:00.0", "0000:43:00.0")
    }
    assert found == {ADDRESS: ("igb", ["ens1"]), "0000:42:00.0": ("virtio-pci", ["ens2"]), "0000:43:00.0": ("", [])}


def test_the_port_comes_before_what_stands_for_virtual_functions(machine):
    """mlx5 in switchdev mode: eth1 is of virtual function 0, and comes first by name."""
    ports = {"eth1": "pf0vf0", "eth2": "c1pf0sf1", "lan0": "p0", "ens1": ""}
    fill(machine.root, {f"{DEVICE}/net/{name}/phys_port_name": f"{port}\n" for name, port in ports.items()})
    assert interfaces_of(machine.host(), ADDRESS) == ["ens1", "lan0", "eth1", "eth2"]


def test_what_is_built_on_an_interface(machine):
    machine.upper("ens1", "bond0", "br0")
    machine.upper("bond0", "bond0.7")
    assert stack_on(machine.host(), "ens1") == ["ens1", "bond0", "bond0.7", "br0"]
    assert stack_on(machine.host(), "ens9") == ["ens9"]


def test_a_name_that_is_a_pattern_finds_nothing_else(machine):
    machine.add("0000:42:00.0", "e[mn]s1", "igb")
    machine.upper("ens1", "br0")
    assert stack_on(machine.host(), "e[mn]s1") == ["e[mn]s1"]


def test_a_driver_that_goes_while_it_is_read(machine, monkeypatch):
    monkeypatch.setattr(Host, "exists", lambda _host, _path: True)  # a moment ago
    assert driver_of(machine.host(), "0000:09:00.0") == ""


# -- functions -------------------------------------------------------------------------------------


def test_a_function_and_its_virtual_ones(tmp_path):
    tree = Functions(tmp_path)
    tree.make(2)
    host = writable(tmp_path)
    found = read_function(host, NIC)
    assert (found.driver, found.node, found.interfaces, found.group) == ("igb", 0, ("ens1f0",), (NIC,))
    assert (found.total, found.offset, found.stride, found.virtual) == (7, 128, 2, (vf(0), vf(1)))
    assert (read_function(host, vf(1)).physical, address_of(host, "ens1f0")) == (NIC, NIC)
    assert read_function(host, "0000:00:1c.0").root_port


def test_a_bridge_below_another_or_without_a_driver_is_no_root_port(tmp_path):
    tree = Functions(tmp_path)
    tree.add("0000:02:01.0", "pcieport", above="0000:00:1d.0", kind="0x060400")
    tree.port("0000:00:1e.0", driver="")
    host = writable(tmp_path)
    assert not any(read_function(host, address).root_port for address in ("0000:02:01.0", "0000:00:1e.0", NIC))


@pytest.mark.parametrize("address", ["0000:09:00.0", "*", "../../..", ""])
def test_no_function(tmp_path, address):
    Functions(tmp_path, iommu=False)
    assert read_function(writable(tmp_path), address) is None
    assert (address_of(writable(tmp_path), address), read_function(writable(tmp_path), NIC).group) == ("", None)
