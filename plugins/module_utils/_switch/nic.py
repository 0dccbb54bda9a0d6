# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical ports of the switch: the PCI device of a name, and its hand-over from the kernel to vfio. Edge.

driverctl makes the hand-over and keeps it over reboots in /etc/driverctl.d. A bound device no longer has an interface
name; its port in the database keeps the former name, and before the port exists, the journal does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from functools import partial

from .._cpus.answers import answering, decode
from .._cpus.errors import HostError
from .._guests.network import Network
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.resolve import resolve
from .plan import SwitchError, physical_port_name
from .rows import DEVICE_KEY, Database

PCI = "/sys/bus/pci/devices"
NET = "/sys/class/net"
MODULES = "/etc/modules-load.d/realtime-kvm-vfio.conf"
DRIVERCTL_DIR = "/etc/driverctl.d"
VFIO = "vfio-pci"


def resource_of(address: str) -> str:
    return f"pci:{address}:driver"


def find_device(host: Host, network: Network, database: Database) -> str:
    """Return the PCI address of a network's device; ``SwitchError`` names the existing devices."""
    name = network.device or ""
    where = f"realtime_networks: {network.name}: device {name}"
    if network.device_is_address:
        address = name.lower()
        if not host.exists(f"{PCI}/{address}"):
            raise SwitchError(f"{where} is not on this node; network devices are: {_known(host)}")
        return address
    if host.exists(f"{NET}/{name}"):
        found = re.findall(r"/([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?=/)", resolve(host, f"{NET}/{name}"))
        if not found:
            raise SwitchError(f"{where} is no PCI device, so DPDK cannot drive it; network devices are: {_known(host)}")
        return str(found[-1])
    remembered = _remembered(host, network, database)
    if remembered is not None:
        return remembered
    raise SwitchError(
        f"{where} is not on this node; network devices are: {_known(host)} (a device of another driver has no name: "
        "give its PCI address)"
    )


def _remembered(host: Host, network: Network, database: Database) -> str | None:
    """Return the address of a device that lost its name when this collection bound it."""
    port = database.ports.get(physical_port_name(network.name))
    if port is not None and port.map("external_ids").get(DEVICE_KEY) == network.device:
        for interface in database.interfaces_of(port.name):
            if "dpdk-devargs" in interface.map("options"):
                return str(interface.map("options")["dpdk-devargs"])
    for resource, original in host.entries("driver").items():
        if original["name"] == network.device:
            return resource.split(":", 1)[1].rsplit(":", 1)[0]
    return None


def _known(host: Host) -> str:
    found = []
    for address in host.listdir(PCI):
        if (host.value(f"{PCI}/{address}/class") or "").startswith("0x02"):
            names = _names(host, address)
            found.append(f"{' '.join(names)} ({address})" if names else f"{address} ({driver_of(host, address) or 'no driver'})")
    return ", ".join(found) or "none"


def _names(host: Host, address: str) -> list[str]:
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


def kernel_arguments(vendor: str) -> list[str]:
    """Return the kernel arguments by which devices can be given to vfio."""
    return {"GenuineIntel": ["intel_iommu=on", "iommu=pt"], "AuthenticAMD": ["iommu=pt"]}.get(vendor, ["iommu.passthrough=1"])


# -- binding ---------------------------------------------------------------------------------------


def plan_binding(host: Host, runner: Runner, devices: Mapping[str, Network], vendor: str) -> None:
    """Plan to bind devices (PCI address to network) to vfio-pci; refuse those that the node itself uses."""
    wanted = {address: network for address, network in devices.items() if network.driver == VFIO}
    if wanted:
        text = "# Written by realtime.kvm (module ovs_dpdk)\nvfio-pci\nvfio_iommu_type1\n"
        host.set_file(MODULES, text.encode(), reason="PCI devices of the switch")
    elif host.exists(MODULES):
        host.restore_files(only=(MODULES,))
    for address, network in sorted(wanted.items()):
        current = driver_of(host, address)
        if current == VFIO:
            continue
        names = _names(host, address)
        for name in names:
            _refuse_in_use(host, runner, name, network)
        _check_virtual_functions(host, address, network)
        _check_iommu(host, address, network, vendor)
        override = (host.value(f"{DRIVERCTL_DIR}/{address}") or "").strip()
        host.change(
            Change(resource_of(address), current or None, VFIO, "stall", f"device of network {network.name}"),
            partial(_bind, host, runner, address),
            kind="driver",
            original={"driver": current, "override": override, "name": network.device},
        )


def _refuse_in_use(host: Host, runner: Runner, name: str, network: Network) -> None:
    """Refuse an interface of the node's own network: it, or one stacked on it, has an address or the default route."""
    stack = _stack(host, name)
    where = f"realtime_networks: {network.name}: device {name}"
    remedy = "the switch would take it from the node; choose another device"
    routed = {
        line.split()[0] for line in (host.read("/proc/net/route") or "").splitlines()[1:] if line.split()[1:2] == ["00000000"]
    }
    for interface in stack:
        if interface in routed:
            raise SwitchError(f"{where} carries the default route{_by(interface, name)}; {remedy}")
    addresses = _addresses(host, runner)
    for interface in stack:
        if addresses.get(interface):
            raise SwitchError(f"{where} has the address {addresses[interface][0]}{_by(interface, name)}; {remedy}")
    if len(stack) > 1:
        raise SwitchError(f"{where} is part of {', '.join(stack[1:])}; remove it there first")


def _by(interface: str, name: str) -> str:
    return "" if interface == name else f" (through {interface})"


def _stack(host: Host, name: str) -> list[str]:
    """Return an interface and those built on it: bonds, bridges, VLANs."""
    found = [name]
    waiting = [name]
    while waiting:
        for path in host.glob(f"{NET}/{waiting.pop()}/upper_*"):
            upper = os.path.basename(path)[len("upper_") :]
            if upper not in found:
                found.append(upper)
                waiting.append(upper)
    return found


def _addresses(host: Host, runner: Runner) -> dict[str, list[str]]:
    """Return the addresses of interfaces, without link-local ones."""
    if host.captured:
        return {}
    code, out, err = runner(["ip", "-json", "address", "show"])
    if code != 0:
        raise HostError(f"ip address show failed: {(err or out).strip()[-300:]}")
    with answering(lambda reason: HostError(f"ip -json address show printed what cannot be read: {reason}")):
        return {
            str(entry["ifname"]): [
                f"{info['local']}/{info['prefixlen']}"
                for info in entry.get("addr_info", [])
                if info.get("scope") != "link" and info.get("local")
            ]
            for entry in decode(out or "[]", [dict])
            if entry.get("ifname")
        }


def _check_virtual_functions(host: Host, address: str, network: Network) -> None:
    count = host.value(f"{PCI}/{address}/sriov_numvfs") or "0"
    if count != "0":
        raise SwitchError(
            f"realtime_networks: {network.name}: device {network.device} has {count} virtual functions, which it would lose; "
            "name one of them, or remove them first"
        )


def _check_iommu(host: Host, address: str, network: Network, vendor: str) -> None:
    if host.exists(f"{PCI}/{address}/iommu_group"):
        return
    message = (
        f"realtime_networks: {network.name}: device {network.device} cannot be given to {VFIO}, "
        "since the node runs without IOMMU; switch it on in the "
        f"firmware and give the kernel {' '.join(kernel_arguments(vendor))} (rt_kernel_arguments)"
    )
    if not host.dry:
        raise SwitchError(message)
    host.notes.append(f"{message}; the real run refuses until then")


def _bind(host: Host, runner: Runner, address: str) -> None:
    for module in (VFIO, "vfio_iommu_type1"):
        runner(["modprobe", module])  # it may be built in; if it is missing, the next step reports it
    _driverctl(runner, "set-override", address, VFIO)
    if driver_of(host, address) != VFIO:
        raise HostError(
            f"{address}: driverctl reported no error, but the device is bound to {driver_of(host, address) or 'no driver'}, "
            f"not {VFIO}"
        )


def _driverctl(runner: Runner, *arguments: str) -> None:
    code, out, err = runner(["driverctl", *arguments])
    if code != 0:
        raise HostError(f"driverctl {' '.join(arguments)} failed: {(err or out).strip()[-300:]}")


def release_unused(host: Host, runner: Runner, used: Collection[str]) -> None:
    """Plan to return the devices that this collection has bound and that no port uses any more."""
    for resource, original in host.entries("driver").items():
        address = resource.split(":", 1)[1].rsplit(":", 1)[0]
        if address in used:
            continue
        current = driver_of(host, address)
        gone = not host.exists(f"{PCI}/{address}")
        same = current == original["driver"] and (host.value(f"{DRIVERCTL_DIR}/{address}") or "") == original["override"]
        change = None if gone or same else Change(resource, current, original["driver"] or None, "stall", "restored")
        host.restore(change, resource, partial(_release, runner, address, original["override"]))


def _release(runner: Runner, address: str, override: str) -> None:
    # DPDK may still hold the device, for which the kernel would wait; if it does not, this fails without harm
    runner(["ovs-appctl", "--timeout=10", "netdev-dpdk/detach", address])
    _driverctl(runner, *(("set-override", address, override) if override else ("unset-override", address)))
