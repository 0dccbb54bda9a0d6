# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list's devices: what they mean, and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.fragment import macs_of
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Device, GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests

GUEST = {"name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1"}
PF = {"physical_function": "ens1f0"}


def devices(*items, **more):
    return parse_guests([{**GUEST, "devices": list(items), **more}], {}, site="s", priority_limit=1)[0].devices


def test_addresses():
    wanted = (Device("0000:41:00.0"), Device("0000:42:00.0", interrupts=1))
    assert devices("41:00.0", {"address": "0000:42:00.0", "interrupts": 1}) == wanted
    assert devices("0000:AF:00.0")[0].label == "0000:af:00.0"


def test_virtual_functions():
    mac = "52:54:00:00:00:01"
    given = {**PF, "mac": mac.upper(), "vlan": 4, "trust": True, "rate": 0, "spoof_check": False, "interrupts": 0}
    (device,) = devices(given)
    assert device == Device("", "ens1f0", 0, mac, True, 4, True, 0, False)
    assert (device.label, device.settings) == ("a VF of ens1f0", {"vlan": 4, "trust": True, "rate": 0, "spoof_check": False})


def test_addresses_of_interfaces_are_derived_and_differ():
    guests = parse_guests([{**GUEST, "name": name, "devices": [PF, PF]} for name in ("a", "b")], {}, site="s", priority_limit=1)
    macs = [mac for guest in guests for mac in macs_of(guest)]
    assert len(set(macs)) == 4
    assert {mac[:2] for mac in macs} == {"52"}
    assert devices(PF) == devices(PF)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (5, "devices[0]: 5 is neither a PCI address like '0000:41:00.0' (quoted in YAML) nor a mapping"),
        ("ens1f0", "devices[0]: address 'ens1f0' is no PCI address like '0000:41:00.0'"),
        ({}, "devices[0]: give either address, or physical_function for one of its virtual functions"),
        ({**PF, "address": "41:00.0"}, "devices[0]: give either address, or physical_function"),
        (
            {"address": "41:00.0", "vlan": 5, "trust": True},
            "devices[0]: vlan, trust can be set of a virtual function only; name whose it is",
        ),
        ({"physical_function": "../x"}, "physical_function '../x' is neither the name of an interface nor a PCI address"),
        ({"physical_function": "a" * 16}, "is neither the name of an interface"),
        ({**PF, "vlan": 4095}, "devices[0]: vlan 4095 is not in 1-4094"),
        ({**PF, "vlan": 0}, "devices[0]: vlan 0 is not in 1-4094"),
        ({**PF, "rate": -1}, "devices[0]: rate -1 is not in 0-"),
        ({**PF, "trust": "yes"}, "devices[0]: trust 'yes' must be of type bool"),
        ({**PF, "mac": "01:00:5e:00:00:01"}, "devices[0]: mac '01:00:5e:00:00:01' is not a unicast address"),
        ({**PF, "interrupts": 2}, "devices[0]: interrupts 2 is no vCPU of the guest, which has vCPUs 0-1"),
        ({**PF, "interrupts": -1}, "interrupts -1 is no vCPU"),
        ({**PF, "vlans": 2}, "devices[0]: unknown key vlans, did you mean vlan?"),
    ],
)
def test_refusals(item, said):
    with pytest.raises(GuestError) as error:
        devices(item)
    assert said in str(error.value)
    assert str(error.value).startswith("realtime_guests: plc1: ")


def test_a_device_that_is_listed_twice():
    with pytest.raises(GuestError, match=r"0000:41:00.0 is listed twice"):
        devices("41:00.0", "0000:41:00.0")
    guests = [{**GUEST, "name": name, "devices": ["41:00.0"]} for name in ("a", "b")]
    with pytest.raises(GuestError, match=r"realtime_guests: b and a have the same device 0000:41:00.0; a device has one guest"):
        parse_guests(guests, {}, site="s", priority_limit=1)


def test_a_guest_without_an_ordinary_vcpu_names_the_one_for_the_interrupts():
    with pytest.raises(GuestError, match="the guest has no ordinary vCPU for the device's interrupts; name with interrupts"):
        devices("41:00.0", realtime_vcpus="0-1", guest_os="other")
    assert devices({"address": "41:00.0", "interrupts": 1}, realtime_vcpus="0-1", guest_os="other")[0].interrupts == 1
