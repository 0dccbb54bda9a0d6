# SPDX-License-Identifier: GPL-3.0-or-later
"""Assigned functions in a domain's XML: where they are, and what our metadata says of them. Pure."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

PCI = "/sys/bus/pci/devices"
#: Namespace of the metadata with the guest's owner and the devices that this collection made.
NAMESPACE = "https://github.com/realtime-kvm/realtime.kvm/guest"
_GUEST = f"metadata/{{{NAMESPACE}}}guest"
#: A function of the guest: its address, the vCPU of its interrupts, and settings of a virtual one.
ASSIGNED = f"{{{NAMESPACE}}}assigned"
_PARTS = ("domain", "bus", "slot", "function")


@dataclass(frozen=True)
class Home:
    """Where the interrupts of a guest's function belong."""

    guest: str
    address: str
    vcpu: int
    cpus: frozenset[int]


def address_in(element: ET.Element) -> str:
    """Return the function that a hostdev, an interface or a disk (QEMU's own driver for nvme) is, empty for another kind."""
    source = element.find("source/address")
    if source is None or source.get("bus") is None or element.get("type") not in ("pci", "hostdev", "nvme"):
        return ""
    try:
        parts = [_number(source.get(key, "0")) for key in _PARTS]
    except ValueError:
        return ""
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*parts)


def _number(text: str) -> int:
    """Return a number as libvirt reads it (strtoul, base 0): 0x begins a hexadecimal one, 0 an octal one."""
    return int(text, 8 if re.fullmatch(r"0[0-7]+", text) else 0)


def functions_of(tree: ET.Element) -> dict[str, ET.Element]:
    """Return the PCI functions of a domain by address."""
    elements = [item for kind in ("hostdev", "interface", "disk") for item in tree.findall(f"devices/{kind}")]
    return {address: element for element in elements for address in [address_in(element)] if address}


def marks_of(tree: ET.Element) -> dict[str, Mapping[str, str]]:
    """Return what our metadata says of a domain's functions, by address."""
    marks = tree.findall(f"{_GUEST}/{ASSIGNED}")
    return {mark.get("address", ""): mark.attrib for mark in marks}


def is_ours(tree: ET.Element) -> bool:
    """Whether a domain is one of this collection's guests."""
    return tree.find(_GUEST) is not None
