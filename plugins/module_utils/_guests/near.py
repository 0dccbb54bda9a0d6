# SPDX-License-Identifier: GPL-3.0-or-later
"""The NUMA node of a guest's devices, to which the guest goes. Edge, read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .._devices.functions import is_address
from .._devices.pci import address_of, node_of
from .._host.host import Host
from .guest import Device, Guest, GuestError


def with_near(host: Host, guests: Sequence[Guest]) -> list[Guest]:
    """Return the guests, each real-time one on the NUMA node of its devices: access to a device of another node crosses between the sockets.

    A guest with ``numa: spread`` goes where there is room, and so do ordinary guests, whose vCPUs float.
    """
    return [_near(host, guest) if guest.devices and guest.realtime and guest.numa == "strict" else guest for guest in guests]


def _near(host: Host, guest: Guest) -> Guest:
    found = {device.label: node for device in guest.devices for node in [node_of(host, whose(host, device))] if node is not None}
    where = f"realtime_guests: {guest.name}"
    for label, node in found.items():
        if guest.numa_node is not None and node != guest.numa_node:
            raise GuestError(
                f"{where}: its device {label} is on NUMA node {node}, not on numa_node {guest.numa_node}; give it numa_node {node} or none, or a "
                "device of the other node (numa: spread allows both)"
            )
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{label} on node {node}" for label, node in found.items())
        raise GuestError(
            f"{where}: its devices are on several NUMA nodes ({listed}); give it devices of one node, or numa: spread, with which some of them are far"
        )
    if guest.numa_node is not None or not found:
        return guest
    label, node = next(iter(found.items()))
    return replace(guest, numa_node=node, near=label)


def whose(host: Host, device: Device) -> str:
    """Return the address of a device, or of the physical function of a virtual one; empty where the node has no such interface."""
    name = device.physical_function
    return device.address if not name else name if is_address(name) else address_of(host, name)
