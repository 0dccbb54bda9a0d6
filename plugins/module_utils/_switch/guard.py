# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses devices that the node lives on, or that cannot be handed over, whichever driver the switch uses. Edge, read-only.

DPDK takes what a device receives with either driver: vfio-pci removes the interface, a bifurcated driver leaves it there
without its traffic.
"""

from __future__ import annotations

from collections.abc import Collection

from .._cpus.answers import printable
from .._devices.group import described, in_use
from .._devices.marks import PCI
from .._devices.pci import VFIO, driver_of, read_function
from .._devices.use import Use, network_fault
from .._guests.network import Network
from .._host.host import Host
from .plan import SwitchError

#: Drivers that DPDK's own works through, so that a device must stay bound to them, and DPDK's name for each
#: (DPDK, guides: linux_gsg/linux_drivers, "Bifurcated Driver"; nics/mlx4, nics/mlx5 and nics/mana, "Prerequisites").
BIFURCATED = {"mlx4_core": "mlx4", "mlx5_core": "mlx5", "mana": "mana"}


def check_unused(host: Host, use: Use, address: str, network: Network) -> None:
    """Refuse a device of the node's own network: its interface, or one built on it, has a part in that."""
    fault = network_fault(host, use, address)
    if fault is not None:
        remedy = fault.remedy or "the switch would take it from the node; choose another device"
        raise _refusal(f"realtime_networks: {network.name}: device {fault.name or network.device} {fault.text}; {remedy}")


def _refusal(text: str) -> SwitchError:
    return SwitchError(printable(text))  # whoever may rename an interface must not reach the terminal


def check_driver(host: Host, address: str, network: Network) -> None:
    """Refuse to take a device from a driver that DPDK needs."""
    driver = driver_of(host, address)
    if driver in BIFURCATED:
        raise _refusal(
            f"realtime_networks: {network.name}: device {network.device} must stay bound to {driver}, through which DPDK's driver "
            f"{BIFURCATED[driver]} works; give the network driver: keep"
        )


def check_virtual_functions(host: Host, address: str, network: Network) -> None:
    """Refuse to take a device that would lose its virtual functions."""
    count = host.value(f"{PCI}/{address}/sriov_numvfs") or "0"
    if count != "0":
        raise _refusal(
            f"realtime_networks: {network.name}: device {network.device} has {count} virtual functions, which it would lose; "
            "name one of them, or remove them first"
        )


def check_group(host: Host, address: str, network: Network, given: Collection[str], arguments: str) -> None:
    """Refuse a device without an IOMMU group, or whose group has members that the kernel uses.

    ``given`` are the devices that vfio gets in this run, ``arguments`` the kernel arguments of an IOMMU.
    """
    where = f"realtime_networks: {network.name}: device {network.device} cannot be given to {VFIO}"
    function = read_function(host, address)
    if function is None or function.group is None:
        message = (
            f"{where}, since the node runs without IOMMU; switch it on in the firmware and give the kernel {arguments} "
            "(rt_kernel_arguments)"
        )
        if not host.dry:
            raise _refusal(message)
        host.notes.append(f"{message}; the real run refuses until then")
        return
    members = [found for other in function.group for found in [read_function(host, other)] if found]
    others = in_use(members, given)
    if others:
        raise _refusal(
            f"{where}: the kernel uses other members of its IOMMU group, which can only be given as a whole: "
            f"{', '.join(map(described, others))}; unbind them or bind them to {VFIO} (driverctl), or use a slot "
            "or a device whose group has no others"
        )
