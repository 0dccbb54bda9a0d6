# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI network devices of a tree: driver, NUMA node, interfaces, and what is built on these."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.pci import driver_of, interfaces_of, node_of, stack_on
from unit.nics import ADDRESS, DEVICE
from unit.trees import fill


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


def test_what_is_built_on_an_interface(machine):
    machine.upper("ens1", "bond0", "br0")
    machine.upper("bond0", "bond0.7")
    assert stack_on(machine.host(), "ens1") == ["ens1", "bond0", "bond0.7", "br0"]
    assert stack_on(machine.host(), "ens9") == ["ens9"]


def test_a_name_that_is_a_pattern_finds_nothing_else(machine):
    machine.add("0000:42:00.0", "e[mn]s1", "igb")
    machine.upper("ens1", "br0")
    assert stack_on(machine.host(), "e[mn]s1") == ["e[mn]s1"]
