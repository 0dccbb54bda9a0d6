# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a guest could be on at all, however empty they were. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from .model import Host, Wish


def kind_of(wish: Wish) -> Hashable:
    """Return what guests have in common that can be on the same hosts."""
    guest = wish.guest
    siblings = (guest.vcpus, guest.realtime_vcpus) if guest.siblings == "realtime" else None
    networks = tuple(sorted(set(wish.networks)))
    return (
        networks,
        wish.hosts,
        wish.devices,
        wish.priority,
        guest.numa_node,
        guest.realtime,
        siblings,
        wish.home if wish.stays else "",
    )


def obstacle(wish: Wish, host: Host) -> str:
    """Return why a guest cannot be on a host, an empty text if it can."""
    if host.refusal:
        return host.refusal
    if wish.stays and wish.home != host.name:
        return f"it stays where it is ({wish.anchor})"
    if host.drained:
        return "the host is drained"
    if found := breach(wish, host):
        return found
    if wish.name in host.foreign and not wish.guest.adopt:
        return "a domain of its name is there that this collection did not make"
    return refusal_of(wish, host)


def breach(wish: Wish, host: Host) -> str:
    """Return what a guest's own placement says against a host, an empty text if it says nothing: the node itself would not refuse the guest."""
    if wish.hosts is not None and host.name not in wish.hosts:
        return "it is not among the guest's hosts"
    if missing := sorted(name for name in wish.devices if not host.devices.get(name)):
        return f"it has no device {', '.join(missing)}"
    return ""


def refusal_of(wish: Wish, host: Host) -> str:
    """Return what a node would refuse a guest for, however empty it were; an empty text if nothing."""
    return _no_network(wish, host) or _no_cpus(wish, host)


def _no_network(wish: Wish, host: Host) -> str:
    for name in wish.networks:
        network = host.networks.get(name)
        if network is None or network.state == "absent":
            return f"it has no network {name}"
        if network.on_switch and not host.partition.sets["dataplane"]:
            return f"it has no dataplane CPUs to poll real-time network {name}"
    return ""


def _no_cpus(wish: Wish, host: Host) -> str:
    guest = wish.guest
    if wish.priority > host.priority_limit:
        return f"its realtime_priority_limit {host.priority_limit} is below the guest's priority {wish.priority}"
    if guest.realtime and wish.cores(host.width) is None:
        return (
            f"its cores have {host.width} threads, which siblings: realtime cannot fill with whole groups of this guest's vCPUs"
        )
    if guest.numa_node is not None and guest.numa_node not in host.partition.nodes:
        return f"it has no NUMA node {guest.numa_node}"
    if guest.numa_node is not None and not guest.realtime and not host.floating & host.partition.nodes[guest.numa_node]:
        return f"its NUMA node {guest.numa_node} has no CPUs for guests without real time"
    return ""
