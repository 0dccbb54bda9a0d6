# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions: what they are, the addresses of virtual ones, and who may have which. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
_BRIDGE, _NETWORK = "0x0604", "0x02"
#: Bridges of the node itself: of the host, to ISA (LPC), to PCI, and half transparent ones. Non-transparent ones (0x0680) are devices.
_BRIDGES = ("0x0600", "0x0601", _BRIDGE, "0x0609")


def is_address(text: str) -> bool:
    """Whether a text is a PCI address as /sys writes it."""
    return bool(_ADDRESS.fullmatch(text))


def parse_address(text: str) -> str:
    """Return a PCI address in the form of /sys, with the domain 0000 unless it names one; empty for anything else."""
    text = text.strip().lower()
    full = text if text.count(":") == 2 else f"0000:{text}"
    return full if is_address(full) else ""


@dataclass(frozen=True)
class Function:
    """A PCI function."""

    address: str
    kind: str = ""  # its class, such as 0x020000
    driver: str = ""
    node: int | None = None  # None: the firmware reports none
    group: tuple[str, ...] | None = None  # the members of its IOMMU group, itself included; None: there is no IOMMU
    interfaces: tuple[str, ...] = ()
    physical: str = ""  # of a virtual function: whose it is
    virtual: tuple[str, ...] = ()  # in the order of their numbers
    total: int = 0  # how many virtual functions it can have
    offset: int = 0
    stride: int = 0
    root_port: bool = False

    @property
    def of_node(self) -> bool:
        """Whether it is a bridge of the node itself, which no guest can have."""
        return self.kind.startswith(_BRIDGES)

    @property
    def bridge(self) -> bool:
        """Whether it is a bridge to other PCI devices."""
        return self.kind.startswith(_BRIDGE)

    @property
    def network(self) -> bool:
        """Whether it is a network device."""
        return self.kind.startswith(_NETWORK)

    def virtual_address(self, number: int) -> str:
        """Return the address of a virtual function: that which it has, or will have (PCI Express, SR-IOV: First VF Offset and VF Stride)."""
        if number < len(self.virtual):
            return self.virtual[number]
        domain, bus, rest = self.address.split(":")
        slot, _dot, function = rest.partition(".")
        routing = (int(bus, 16) << 8) + (int(slot, 16) << 3) + int(function) + self.offset + self.stride * number
        return f"{domain}:{routing >> 8:02x}:{routing >> 3 & 0x1F:02x}.{routing & 7}"
