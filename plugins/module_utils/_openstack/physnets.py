# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a node that Neutron knows: name, bridge, bandwidth, NUMA node of the NIC. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import RefusalError
from .._cpus.partition import Partition
from .._guests.network import Network
from .._switch.rows import Database
from .traits import physnet_traits


class PhysnetError(RefusalError):
    """A physical network cannot serve real-time instances; the message names it and what would work."""


@dataclass(frozen=True)
class Physnet:
    """A network of ``realtime_networks`` with a ``physical_network``."""

    name: str  # in Neutron
    network: str  # in the inventory
    bridge: str
    kbps: int
    device: str = ""
    node: int | None = None  # NUMA node of its device; None: no device, or the firmware does not tell


def known_physnets(networks: Iterable[Network], nodes: Mapping[str, int | None]) -> list[Physnet]:
    """Return the physical networks by name; ``nodes``: network to the NUMA node of its device. Two with one trait are refused."""
    found = [
        Physnet(
            network.physical_network, network.name, network.bridge, network.kbps, network.device or "", nodes.get(network.name)
        )
        for network in networks
        if network.physical_network is not None and network.state == "present"
    ]
    physnet_traits(physnet.name for physnet in found)
    return sorted(found, key=lambda physnet: physnet.name)


def check_nodes(physnets: Iterable[Physnet], partition: Partition, offered: frozenset[int]) -> None:
    """Refuse a NIC on a NUMA node without real-time CPUs for Nova: its instances would be refused by the scheduler for ever."""
    for physnet in physnets:
        if physnet.node is None or partition.nodes.get(physnet.node, frozenset()) & offered:
            continue
        there = sorted(node for node, cpus in partition.nodes.items() if cpus & offered)
        raise PhysnetError(
            f"realtime_networks: {physnet.network}: device {physnet.device} of physical network {physnet.name} is on NUMA node {physnet.node}, "
            f"which has no realtime CPUs for Nova (they are {format_cpulist(offered) or 'none'}, on {_nodes(there)}), so Nova would place no "
            "instance with a port on it; use a NIC of another node, or give this node realtime CPUs (cpu_partition_realtime)"
        )


def _nodes(nodes: list[int]) -> str:
    return f"NUMA node {', '.join(map(str, nodes))}" if nodes else "no node"


def check_bridges(physnets: Iterable[Physnet], database: Database) -> None:
    """Refuse a physical network whose bridge the switch does not have, or has in the kernel."""
    for physnet in physnets:
        where = f"realtime_networks: {physnet.network}: bridge {physnet.bridge} of physical network {physnet.name}"
        row = database.bridges.get(physnet.bridge)
        if row is None:
            raise PhysnetError(
                f"{where} is not on the switch of this node; run the ovs_dpdk role (playbook guests or site) first"
            )
        if (kind := row.columns.get("datapath_type") or "system") != "netdev":
            raise PhysnetError(
                f"{where} has the datapath of the kernel ({kind}), which vhost-user ports cannot use; run the ovs_dpdk role, or name another bridge"
            )
