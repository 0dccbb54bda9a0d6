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


def pppoe_devices(host: Host) -> frozenset[str]:
    """Return the Ethernet interfaces that carry PPPoE: of the kernel (/proc/net/pppoe), or of a program (/proc/net/packet).

    Such an interface needs no address, and nothing in /sys leads from it to ppp0.
    """
    rows = [line.split() for line in (host.read("/proc/net/pppoe") or "").splitlines()[1:]]
    found = {row[2] for row in rows if len(row) == 3}
    rows = [line.split() for line in (host.read("/proc/net/packet") or "").splitlines()[1:]]
    numbers = {row[4] for row in rows if len(row) > 4 and row[3].lower() in ("8863", "8864")}
    return frozenset(found | {name for name in host.listdir(NET) if numbers and host.value(f"{NET}/{name}/ifindex") in numbers})


def interface_elsewhere(host: Host, address: str) -> bool:
    """Whether a device has interfaces and all are in other network namespaces: /sys then shows the empty folder that holds them."""
    folders = host.glob(f"{PCI}/{address}/net") + host.glob(f"{PCI}/{address}/virtio*/net")
    return bool(folders) and not interfaces_of(host, address) and "vfio" not in driver_of(host, address)
