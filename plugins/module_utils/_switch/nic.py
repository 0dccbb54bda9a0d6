# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical ports of the switch: the PCI device of a name, and its hand-over from the kernel to vfio. Edge.

driverctl makes the hand-over and keeps it over reboots in /etc/driverctl.d. A bound device no longer has an interface
name; its port in the database keeps the former name, and before the port exists, the journal does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .._cpus.answers import printable
from .._devices.binding import former_names, kernel_arguments, plan_hand_over, plan_modules, release_unused
from .._devices.marks import PCI
from .._devices.pci import NET, VFIO, address_of, driver_of, interfaces_of
from .._devices.use import read_use
from .._guests.network import Network
from .._host.host import Host, Runner
from .guard import check_driver, check_group, check_unused, check_virtual_functions
from .plan import SwitchError, physical_port_name
from .rows import DEVICE_KEY, Database

MODULES = "/etc/modules-load.d/realtime-kvm-vfio.conf"


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
        found = address_of(host, name)
        if not found:
            raise SwitchError(f"{where} is no PCI device, so DPDK cannot drive it; network devices are: {_known(host)}")
        return found
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
    return next((address for address, name in former_names(host).items() if name == network.device), None)


def _known(host: Host) -> str:
    found = []
    for address in host.listdir(PCI):
        if (host.value(f"{PCI}/{address}/class") or "").startswith("0x02"):
            names = interfaces_of(host, address)
            found.append(f"{' '.join(names)} ({address})" if names else f"{address} ({driver_of(host, address) or 'no driver'})")
    return printable(", ".join(found)) or "none"


# -- binding ---------------------------------------------------------------------------------------


def plan_binding(host: Host, runner: Runner, devices: Mapping[str, Network], vendor: str) -> None:
    """Plan to bind devices (PCI address to network) to vfio-pci; refuse those that the node uses, whatever their driver."""
    if devices:
        use = read_use(host, runner)
        for address, network in sorted(devices.items()):
            check_unused(host, use, address, network)
    wanted = {address: network for address, network in devices.items() if network.driver == VFIO}
    plan_modules(host, MODULES, "ovs_dpdk", due=bool(wanted), reason="PCI devices of the switch")
    for address, network in sorted(wanted.items()):
        if driver_of(host, address) == VFIO:
            continue
        check_driver(host, address, network)
        check_virtual_functions(host, address, network)
        check_group(host, address, network, wanted, " ".join(kernel_arguments(vendor)))
        plan_hand_over(host, runner, address, name=network.device or "", reason=f"device of network {network.name}")


def release_devices(host: Host, runner: Runner, used: Collection[str]) -> None:
    """Plan to return the devices that this collection has bound and that no port uses any more."""

    def detach(
        address: str,
    ) -> None:  # DPDK may still hold the device, for which the kernel would wait; else this fails without harm
        runner(["ovs-appctl", "--timeout=10", "netdev-dpdk/detach", address])

    release_unused(host, runner, used, detach)
