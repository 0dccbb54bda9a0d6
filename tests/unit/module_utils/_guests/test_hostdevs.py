# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions in a domain's XML; test_device_plan.py has whole runs."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.choice import Held
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import address_in
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Device, Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.hostdevs import PCI_DEVICE, held_by, merge_functions

HOSTDEV = '<hostdev type="{}" mode="subsystem"><source>{}</source></hostdev>'
ADDRESS = '<address domain="{}" bus="{}" slot="{}" function="{}"/>'
NET = Device("0000:01:10.0", "ens1f0", mac="52:54:00:00:00:01", vlan=5, network=True)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (HOSTDEV.format("pci", ADDRESS.format("0x0000", "0x41", "0x1f", "0x7")), "0000:41:1f.7"),
        (HOSTDEV.format("pci", ADDRESS.format("0", "65", "0", "0")), "0000:41:00.0"),
        (HOSTDEV.format("pci", ADDRESS.format("x", "65", "0", "0")), ""),
        (HOSTDEV.format("usb", '<address bus="1" device="2"/>'), ""),
        (HOSTDEV.format("pci", ""), ""),
        ('<interface type="bridge"><source bridge="br0"/></interface>', ""),
    ],
)
def test_which_function_an_element_is(text, address):
    assert address_in(ET.fromstring(text)) == address


def merged(guest, devices="", *, previous=(), gone=()):
    tree = ET.fromstring(f"<domain><devices>{devices}</devices></domain>")
    merge_functions(tree.find("devices"), guest, set(previous), set(gone))
    return tree


def test_a_network_function_that_was_a_plain_one_becomes_an_interface():
    plain = HOSTDEV.format("pci", ADDRESS.format("0", "1", "0x10", "0"))
    tree = merged(Guest("a", devices=(NET,)), plain, previous=[(PCI_DEVICE, NET.address)])
    assert (held_by(tree), tree.find("devices/hostdev")) == ([Held(NET.address, NET.mac, str(NET.vlan or ""))], None)
    tree = merged(Guest("a", devices=(NET,)), plain)  # somebody else gave it
    assert (held_by(tree), tree.find("devices/interface")) == ([Held(NET.address, "")], None)


def test_what_the_list_names_no_more_goes():
    tree = merged(Guest("a", devices=(NET,)))
    again = ET.tostring(tree.find("devices"), encoding="unicode").removeprefix("<devices>").removesuffix("</devices>")
    assert held_by(merged(Guest("a"), again, gone=[(PCI_DEVICE, NET.address), (PCI_DEVICE, "0000:02:00.0")])) == []
    assert held_by(merged(Guest("a"), again)) == [Held(NET.address, NET.mac, str(NET.vlan or ""))]
