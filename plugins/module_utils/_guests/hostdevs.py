# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions in a domain's XML. Pure.

A virtual function of a network device is an interface, so that libvirt gives it its MAC and VLAN at each start; another function is a plain
hostdev. Both are ``managed='no'``: driverctl has bound them to vfio, and libvirt shall not give them back to the kernel.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from .._devices.choice import Held
from .._devices.marks import ASSIGNED, address_in, functions_of
from .domain_xml import drop, ensure, set_attributes
from .guest import Device, Guest

#: Kind of these devices in our metadata.
PCI_DEVICE = "pci"


def held_by(tree: ET.Element) -> list[Held]:
    """Return the PCI functions that a domain has, with their MACs and VLANs."""
    return [Held(address, _mac(element), _vlan(element)) for address, element in sorted(functions_of(tree).items())]


def _mac(element: ET.Element) -> str:
    mac = element.find("mac")
    return "" if mac is None else (mac.get("address") or "").lower()


def _vlan(element: ET.Element) -> str:
    tag = element.find("vlan/tag")
    return "" if tag is None else tag.get("id", "")


def wanted_functions(guest: Guest) -> list[tuple[str, str]]:
    """Return kind and identity of a guest's functions."""
    return [(PCI_DEVICE, address) for address in sorted(device.address for device in guest.devices) if address]


def assigned_marks(guest: Guest) -> list[ET.Element]:
    """Return what our metadata says of a guest's functions: the watcher places their interrupts by it, libvirt's hook sets virtual functions up."""
    marks = []
    for device in sorted(guest.devices, key=lambda device: device.address):
        vcpu = guest.interrupt_vcpu(device)
        mark = ET.Element(ASSIGNED, address=device.address, interrupts="" if vcpu is None else str(vcpu))
        for key, value in device.settings.items():
            if key != "vlan":  # in the interface, for libvirt
                mark.set(key, ("on" if value else "off") if isinstance(value, bool) else str(value))
        marks.append(mark)
    return marks


def merge_functions(devices: ET.Element, guest: Guest, previous: set[tuple[str, str]], gone: set[tuple[str, str]]) -> None:
    """Merge a guest's functions; ``previous`` are those of earlier runs, ``gone`` those that the list names no more."""
    there = {address: element for element in devices for address in [address_in(element)] if address}
    for kind, address in sorted(gone):
        if kind == PCI_DEVICE and address in there:
            devices.remove(there.pop(address))
    for device in guest.devices:
        old = there.get(device.address)
        ours = (PCI_DEVICE, device.address) in previous
        if old is not None and ours and (old.tag == "interface") != device.network:
            devices.remove(old)
            old = None
        if old is None:
            old = _new(devices, device)
            ours = True
        if old.tag == "interface" and device.physical_function:
            _merge_interface(old, device, ours=ours)


def _new(devices: ET.Element, device: Device) -> ET.Element:
    if device.network:
        element = ET.SubElement(devices, "interface", type="hostdev", managed="no")
        ET.SubElement(element, "mac", address=device.mac)
        address = ET.SubElement(ET.SubElement(element, "source"), "address", type="pci")
    else:
        element = ET.SubElement(devices, "hostdev", mode="subsystem", type="pci", managed="no")
        address = ET.SubElement(ET.SubElement(element, "source"), "address")
    domain, bus, rest = device.address.split(":")
    slot, _dot, function = rest.partition(".")
    set_attributes(address, domain=f"0x{domain}", bus=f"0x{bus}", slot=f"0x{slot}", function=f"0x{function}")
    return element


def _merge_interface(element: ET.Element, device: Device, *, ours: bool) -> None:
    """Set what libvirt applies to the function when the guest starts; remove a VLAN that the list no longer names, if it is ours (``ours``)."""
    mac = ensure(element, "mac")
    if (mac.get("address") or "").lower() != device.mac:
        mac.set("address", device.mac)
    tags = [tag.get("id") for tag in element.findall("vlan/tag")]
    if device.vlan is None:
        if ours:
            drop(element, "vlan")
    elif tags != [str(device.vlan)]:
        drop(element, "vlan")
        ET.SubElement(ET.SubElement(element, "vlan"), "tag", id=str(device.vlan))
