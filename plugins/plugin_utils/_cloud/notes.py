# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator should know beside the changes of a cloud. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .cells import has_room
from .changes import SCHEDULED, Current
from .hosts import unknown_hosts
from .nodes import Answered
from .plan import foreign_hosts
from .wanted import Node, Wanted


def notes(
    wanted: Wanted,
    current: Current,
    nodes: Iterable[Node],
    hosts: Mapping[str, str],
    answers: Mapping[str, Answered] | None = None,
) -> list[str]:
    """Return the notes, each one sentence or two; ``answers`` None: the nodes were not asked."""
    found = _homeless(wanted, answers or {})
    if unasked := [name for name, answer in (answers or {}).items() if not answer.release and hosts.get(name)]:
        found.append(
            f"the release of nova-compute of {_names(unasked)} is not known, so that it was not compared with the cloud's; set "
            "openstack_cloud_compute_version where nova is in a container or a virtual environment"
        )
    if unknown := unknown_hosts(hosts):
        found.append(
            f"the cloud has no nova-compute of {_names(unknown)}, so {'they are' if len(unknown) > 1 else 'it is'} not in the aggregate; start it, "
            "or set nova_compute_host to the name that it has in the cloud"
        )
    if mixed_hosts := [node.name for node in nodes if node.plain_pinned]:
        found.append(
            f"{_names(mixed_hosts)}: nova_compute_plain_pinned, so real-time and plainly pinned instances share the CPUs of one set there, and the "
            "aggregate does not hold the host"
        )
    if foreign := foreign_hosts(wanted.aggregate, current, hosts):
        found.append(f"the aggregate also holds {_names(foreign)}, which no node of the inventory is; they stay")
    mixed = [item.name for item in wanted.flavors if item.flavor and item.flavor.extra_specs.get("hw:cpu_policy") == "mixed"]
    if mixed and not any(service["binary"] == "nova-compute" for service in current.services):
        found.append(
            f"no nova-compute is registered: Nova refuses instances of {_names(mixed)} (hw:cpu_policy=mixed) with 409 until one of release Victoria "
            "(22) or later is"
        )
    dead = [binary for binary in ("nova-scheduler", "nova-conductor") if _all_down(current, binary)]
    if dead:
        found.append(
            f"no {' and no '.join(dead)} is up, so no instance is scheduled; where a nova-compute is older than this Nova takes, they do not start at all"
        )
    if any(item.present for item in wanted.qos_policies) and SCHEDULED not in current.extensions:
        found.append(
            "Neutron has no extension port-resource-request, so a minimum bandwidth does not take part in scheduling; add placement to service_plugins"
        )
    found += [
        f"another project has a network {plain(item.name, 60)} too; it stays as it is"
        for item in wanted.networks
        if item.present and item.name in current.foreign_networks
    ]
    found += [
        f"network {plain(item.name, 60)} has a subnet, which stays: ports that others make there get addresses"
        for item in wanted.networks
        if item.present and (current.networks.get(item.name) or {}).get("subnets")
    ]
    return found


def _homeless(wanted: Wanted, answers: Mapping[str, Answered]) -> list[str]:
    """Say which flavors no node that answered can take, be it empty."""
    rooms = {name: answer.rooms for name, answer in answers.items() if answer.rooms}
    found = []
    for item in wanted.flavors:
        need = item.flavor.needs() if item.flavor else []
        if not need or not rooms or any(has_room(need, room) for room in rooms.values()):
            continue
        asks = ", ".join(f"{cell.ordinary} shared and {cell.pinned} real-time" for cell in need)
        name, best = max(rooms.items(), key=lambda entry: max((room.ordinary, room.pinned) for room in entry[1]))
        has = ", ".join(f"{room.ordinary} and {room.pinned}" for room in best)
        found.append(
            f"flavor {plain(item.name, 60)} fits no node that answered, be it empty: on {'one NUMA node' if len(need) == 1 else 'a NUMA node each'} it needs "
            f"{asks} CPUs (Nova wants a CPU of cpu_shared_set for each ordinary vCPU), and {plain(name, 60)} has {has} on its NUMA nodes; give fewer "
            "vcpus, or the nodes more shared CPUs (cpu_partition_shared_cores_per_node, cpu_partition_housekeeping_cores_per_node)"
        )
    return found


def _all_down(current: Current, binary: str) -> bool:
    states = [service["state"] for service in current.services if service["binary"] == binary]
    return bool(states) and "up" not in states


def _names(names: Iterable[str], most: int = 8) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(plain(name, 60) for name in listed[:most]) + more
