# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical ports of the switch: the PCI device of a name, and its hand-over from the kernel to vfio. Edge.

driverctl makes the hand-over and keeps it over reboots in /etc/driverctl.d. A bound device no longer has an interface
name; its port in the database keeps the former name, and before the port exists, the journal does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import partial

from .._cpus.errors import HostError
from .._guests.network import Network
from .._host.change import Change
from .._host.host import Host, Runner
from .._host.resolve import resolve
from .._interrupts.affinity import printable
from .devices import NET, PCI, VFIO, driver_of, interfaces_of
from .guard import check_driver, check_group, check_unused, check_virtual_functions, read_use
from .plan import SwitchError, physical_port_name
from .rows import DEVICE_KEY, Database

MODULES = "/etc/modules-load.d/realtime-kvm-vfio.conf"
DRIVERCTL_DIR = "/etc/driverctl.d"


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
            names = interfaces_of(host, address)
            found.append(f"{' '.join(names)} ({address})" if names else f"{address} ({driver_of(host, address) or 'no driver'})")
    return printable(", ".join(found)) or "none"


def kernel_arguments(vendor: str) -> list[str]:
    """Return the kernel arguments by which devices can be given to vfio."""
    return {"GenuineIntel": ["intel_iommu=on", "iommu=pt"], "AuthenticAMD": ["iommu=pt"]}.get(vendor, ["iommu.passthrough=1"])


# -- binding ---------------------------------------------------------------------------------------


def plan_binding(host: Host, runner: Runner, devices: Mapping[str, Network], vendor: str) -> None:
    """Plan to bind devices (PCI address to network) to vfio-pci; refuse those that the node uses, whatever their driver."""
    if devices:
        use = read_use(host, runner)
        for address, network in sorted(devices.items()):
            check_unused(host, use, address, network)
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
        check_driver(host, address, network)
        check_virtual_functions(host, address, network)
        check_group(host, address, network, wanted, " ".join(kernel_arguments(vendor)))
        override = (host.value(f"{DRIVERCTL_DIR}/{address}") or "").strip()
        host.change(
            Change(resource_of(address), current or None, VFIO, "stall", f"device of network {network.name}"),
            partial(_bind, host, runner, address),
            kind="driver",
            original={"driver": current, "override": override, "name": network.device},
        )


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
