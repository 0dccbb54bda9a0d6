# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real-time nodes of a cloud: their variables of the inventory, and what the nodes have answered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE, differs
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.sets import nova_sets

from .cells import Need
from .errors import CloudError
from .flavor import Hosts
from .placement import own_cpus
from .releases import package_release, read_version
from .wanted import Node

#: What is read of a node's variables.
NAMES = ("realtime_networks", "nova_compute_host", "nova_compute_plain_pinned", "openstack_cloud_compute_version")


def read_node(name: str, variables: Mapping[str, Any]) -> Node:
    """Return a node from its variables; ``CloudError`` names node and variable."""
    networks = variables.get("realtime_networks") or []
    if not isinstance(networks, Sequence) or isinstance(networks, str) or not all(isinstance(item, Mapping) for item in networks):
        raise CloudError(f"{name}: realtime_networks is no list of mappings; give a list, [] for none, or leave it out")
    plain_pinned = variables.get("nova_compute_plain_pinned", False)
    if isinstance(plain_pinned, str):
        plain_pinned = plain_pinned.strip().lower() in ("true", "yes", "on", "1", "t", "y")
    return Node(
        name,
        compute_host=str(variables.get("nova_compute_host") or ""),
        plain_pinned=bool(plain_pinned),
        networks=networks,
        version=str(variables.get("openstack_cloud_compute_version") or ""),
    )


@dataclass(frozen=True)
class Answered:
    """What a node has answered in this run; empty: it was not asked, or could not answer."""

    document: Mapping[str, Any]
    taken: str = ""  # real-time CPUs of guests that are not Nova's
    release: int = 0  # of its nova-compute, 0 unknown
    rooms: tuple[Need, ...] = ()  # what Nova is offered of each NUMA node


_SETS = {"sets": {str: {"cpus": str}}}


def read_answer(node: Node, partition: Any, domains: Any, packages: Any) -> Answered:
    """Return what a node answered: results of cpu_partition_info, rt_domain_info, and of the search for nova's package.

    A node's answer is data: what has not the expected form counts as not answered.
    """
    release = read_version(node.version) or package_release(_paths(packages))
    document = partition.get("partition") if isinstance(partition, Mapping) else None
    if not isinstance(document, Mapping) or differs(dict(document), _SETS) or "realtime" not in document["sets"]:
        return Answered({}, release=release)
    try:
        listed = domains.get("domains") if isinstance(domains, Mapping) else None
        cores = (partition.get("topology") or {}).get("cores") or []
        taken = own_cpus(listed or [], cores, document["sets"]["realtime"]["cpus"])
        rooms = _rooms(document, taken)
    except UNREADABLE:
        return Answered({}, release=release)
    return Answered(document, taken, release, rooms)


def _rooms(document: Mapping[str, Any], taken: str) -> tuple[Need, ...]:
    offered = nova_sets(document, parse_cpulist(taken))
    shared, dedicated = parse_cpulist(offered["shared"]), parse_cpulist(offered["dedicated"])
    nodes: dict[str, set[int]] = {}
    for described in document["sets"].values():
        for node, cpus in (described.get("nodes") or {}).items():
            nodes.setdefault(str(node), set()).update(parse_cpulist(cpus))
    return tuple(Need(len(cpus & shared), len(cpus & dedicated)) for cpus in nodes.values())


def _paths(found: Any) -> list[str]:
    files = found.get("files") if isinstance(found, Mapping) else None
    return [str(item.get("path", "")) for item in files if isinstance(item, Mapping)] if isinstance(files, list) else []


def common(answers: Iterable[Answered]) -> Hosts:
    """Return what holds for all nodes: the most NUMA nodes, and SMT where it is the same everywhere; of nodes that did not answer nothing is known."""
    answered = list(answers)
    documents = [answer.document for answer in answered if answer.document]
    counts = [
        len({node for described in document["sets"].values() for node in described.get("nodes") or {}}) for document in documents
    ]
    smt = {str(document.get("smt", "")) for document in documents}
    if len(documents) < len(answered):
        return Hosts(most if (most := max(counts, default=0)) > 1 else 0)
    known = smt.pop() if len(smt) == 1 else ""
    # nodes that differ: what the default needs is one thread of each core, which "together" would not be
    return Hosts(max(counts, default=0), known if known in ("single", "together") else "")
