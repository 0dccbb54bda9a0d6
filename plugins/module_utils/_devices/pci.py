# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI functions as /sys shows them: driver, NUMA node, IOMMU group, interfaces, virtual functions. Edge, read-only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from .._host.host import Host
from .._host.resolve import resolve
from .functions import Function, is_address
from .marks import PCI

NET = "/sys/class/net"
VFIO = "vfio-pci"
DRIVERCTL_DIR = "/etc/driverctl.d"
#: Kinds of frames of field buses, and of PTP (EtherTypes).
_BUSES = {
    "88a4": "EtherCAT", "8892": "PROFINET", "88ab": "POWERLINK", "88cd": "SERCOS III", "88b8": "GOOSE", "88ba": "sampled values",
    "88fb": "PRP or HSR", "22f0": "AVTP", "88f7": "PTP",
}  # fmt: skip
#: How the kernel calls the port of an interface that stands for a function of a controller (net/devlink/port.c).
_REPRESENTOR = re.compile(r"(c\d+)?pf\d+")


def interfaces_of(host: Host, address: str) -> list[str]:
    """Return the kernel's interfaces of a device, those of its ports before those that stand for its virtual functions.

    virtio's are one level deeper. In switchdev mode a physical function also has an interface for each virtual one.
    """
    paths = host.glob(f"{PCI}/{address}/net/*") + host.glob(f"{PCI}/{address}/virtio*/net/*")
    found = {os.path.basename(path): path for path in paths}
    if len(found) < 2:
        return list(found)
    return sorted(found, key=lambda name: (bool(_REPRESENTOR.match(host.value(f"{found[name]}/phys_port_name") or "")), name))


def driver_of(host: Host, address: str) -> str:
    """Return the driver that a device is bound to, empty without one."""
    try:
        return os.path.basename(os.readlink(host.path(f"{PCI}/{address}/driver")))
    except OSError:
        return ""


def override_file(address: str) -> str:
    """Return the file in which driverctl keeps a function's driver: bus and device (driverctl: ``$confdir/$bus-$dev``)."""
    return f"{DRIVERCTL_DIR}/pci-{address}"


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
    return frozenset(found | {name for name, kinds in _frames(host).items() if kinds & {"8863", "8864"}})


def field_buses(host: Host) -> dict[str, str]:
    """Return the Ethernet interfaces on which a program of the node has a field bus or PTP, with its name: they need no address."""
    return {name: _BUSES[kind] for name, kinds in _frames(host).items() for kind in sorted(kinds) if kind in _BUSES}


def _frames(host: Host) -> dict[str, set[str]]:
    """Return the kinds of frames that programs take from each interface (/proc/net/packet)."""
    rows = [line.split() for line in (host.read("/proc/net/packet") or "").splitlines()[1:]]
    kinds: dict[str, set[str]] = {}
    for row in rows:
        if len(row) > 4:
            kinds.setdefault(row[4], set()).add(row[3].lower())
    numbers = {name: host.value(f"{NET}/{name}/ifindex") or "" for name in (host.listdir(NET) if kinds else ())}
    return {name: kinds[number] for name, number in numbers.items() if number in kinds}


def is_up(host: Host, interface: str) -> bool:
    """Whether an interface is switched on (IFF_UP); one that does not show it counts as up."""
    flags = host.value(f"{NET}/{interface}/flags") or ""
    return not re.fullmatch(r"0x[0-9a-f]{1,8}", flags) or bool(int(flags, 16) & 1)


def interface_elsewhere(host: Host, address: str) -> bool:
    """Whether a device has interfaces and all are in other network namespaces: /sys then shows the empty folder that holds them."""
    folders = host.glob(f"{PCI}/{address}/net") + host.glob(f"{PCI}/{address}/virtio*/net")
    return bool(folders) and not interfaces_of(host, address) and "vfio" not in driver_of(host, address)


def address_of(host: Host, interface: str) -> str:
    """Return the PCI address of an interface, empty for one that does not exist or is no PCI device's."""
    if "/" in interface or not host.exists(f"{NET}/{interface}"):
        return ""
    found = re.findall(r"/([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/)", resolve(host, f"{NET}/{interface}"))
    return str(found[-1]) if found else ""


# -- functions -------------------------------------------------------------------------------------


def read_function(host: Host, address: str) -> Function | None:
    """Return a function, None where it is not there."""
    base = f"{PCI}/{address}"
    if not is_address(address) or not host.exists(base):
        return None
    return Function(
        address=address,
        kind=host.value(f"{base}/class") or "",
        driver=driver_of(host, address),
        node=node_of(host, address),
        group=_group(host, address),
        interfaces=tuple(interfaces_of(host, address)),
        physical=_linked(host, f"{base}/physfn"),
        virtual=tuple(_virtual(host, address)),
        total=_number(host, f"{base}/sriov_totalvfs"),
        offset=_number(host, f"{base}/sriov_offset"),
        stride=_number(host, f"{base}/sriov_stride"),
        root_port=_is_root_port(host, address),
    )


def _group(host: Host, address: str) -> tuple[str, ...] | None:
    """Return the members of a function's IOMMU group, None without one."""
    group = f"{PCI}/{address}/iommu_group"
    return tuple(filter(is_address, host.listdir(f"{group}/devices"))) if host.exists(group) else None


def _virtual(host: Host, address: str) -> Iterator[str]:
    """Yield the virtual functions in the order of their numbers."""
    for link in host.glob(f"{PCI}/{address}/virtfn[0-9]*"):
        found = _linked(host, link)
        if found:
            yield found


def number_of(host: Host, physical: str, address: str) -> int | None:
    """Return the number of a virtual function, by which its physical one knows it."""
    for link in host.glob(f"{PCI}/{physical}/virtfn[0-9]*"):
        if _linked(host, link) == address:
            return int(link.rsplit("virtfn", 1)[1])
    return None


def _linked(host: Host, link: str) -> str:
    """Return the address that a link leads to, empty for none."""
    try:
        name = os.path.basename(os.readlink(host.path(link)))
    except OSError:
        return ""
    return name if is_address(name) else ""


def _number(host: Host, path: str) -> int:
    text = host.value(path) or ""
    return int(text) if text.isdecimal() else 0


def _is_root_port(host: Host, address: str) -> bool:
    """Whether a bridge is a root port: it is on a root bus, and the driver of PCI Express ports serves it."""
    above = os.path.basename(os.path.dirname(resolve(host, f"{PCI}/{address}")))
    return above.startswith("pci") and driver_of(host, address) == "pcieport"
