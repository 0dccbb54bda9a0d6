# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI network devices as /sys shows them: driver, NUMA node, interfaces and what is built on those. Edge, read-only."""

from __future__ import annotations

import os

from .._host.host import Host

PCI = "/sys/bus/pci/devices"
NET = "/sys/class/net"
VFIO = "vfio-pci"


def interfaces_of(host: Host, address: str) -> list[str]:
    """Return the kernel's interfaces of a device; virtio's are one level deeper."""
    return sorted(
        {os.path.basename(path) for path in host.glob(f"{PCI}/{address}/net/*") + host.glob(f"{PCI}/{address}/virtio*/net/*")}
    )


def driver_of(host: Host, address: str) -> str:
    """Return the driver that a device is bound to, empty without one."""
    link = f"{PCI}/{address}/driver"
    return os.path.basename(os.readlink(host.path(link))) if host.exists(link) else ""


def node_of(host: Host, address: str) -> int | None:
    """Return the NUMA node of a device, None where the firmware does not report it."""
    text = host.value(f"{PCI}/{address}/numa_node") or ""
    return int(text) if text.isdecimal() else None


def stack_on(host: Host, name: str) -> list[str]:
    """Return an interface and those built on it: bonds, bridges, VLANs."""
    found = [name]
    waiting = [name]
    while waiting:
        below = waiting.pop()
        for entry in host.listdir(f"{NET}/{below}"):
            upper = entry[len("upper_") :]
            if entry.startswith("upper_") and upper not in found:
                found.append(upper)
                waiting.append(upper)
    return found
