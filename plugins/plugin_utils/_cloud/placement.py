# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What placement and Nova have of a node, against its partition file: the findings. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import Finding
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.sets import nova_sets
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import KVM_TRAIT, physnet_traits

from .wanted import Node

#: The role that repairs it, and what else may be the cause.
_ROLE = "run the playbook openstack, which configures nova-compute; placement has it within a minute of the restart"
#: nova/compute/resource_tracker.py, ``_merge_provider_configs``, only adds traits.
_STALE = (
    "Nova never takes a trait back: openstack resource provider trait list UUID, then openstack resource provider trait set UUID with a --trait of "
    "each other one (set replaces the whole list)"
)
_EGRESS = "NET_BW_EGR_KILOBIT_PER_SEC"
#: The bandwidth of a network that gives none, in kbit/s.
DEFAULT_KBPS = 1000000


@dataclass(frozen=True)
class Provider:
    """A compute node as the cloud has it; inventories are resource class to placement's fields."""

    host: str
    inventories: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    children: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)  # name to inventories
    state: str = "up"  # of its nova-compute
    status: str = "enabled"


def compare(node: Node, document: Mapping[str, Any], provider: Provider | None, taken: str = "") -> list[Finding]:
    """Return how the cloud's view of a node differs from its partition file.

    ``taken`` are real-time CPUs (a cpulist) of guests that are not Nova's, which it is not offered.
    """
    if provider is None:
        return [
            Finding(
                "placement-provider",
                f"cloud: {node.name}",
                "a nova-compute of the node",
                "none of its name",
                "start nova-compute on the node, or set nova_compute_host to the name that it has in the cloud",
            )
        ]
    sets = nova_sets(document, parse_cpulist(taken))
    found = [
        *_cpus(provider, "PCPU", sets["dedicated"], "cpu_dedicated_set"),
        *_cpus(provider, "VCPU", sets["shared"], "cpu_shared_set"),
        *_traits(node, provider),
        *_bandwidths(node.networks, provider),
    ]
    if provider.state != "up" or provider.status != "enabled":
        state = f"{provider.state}, {provider.status}"
        remedy = (
            "start nova-compute on the node"
            if provider.state != "up"
            else "openstack compute service set --enable, when it may take instances"
        )
        found.append(Finding("cloud-service", f"nova-compute on {provider.host}", "up, enabled", state, remedy))
    return found


def _cpus(provider: Provider, name: str, cpus: str, option: str) -> list[Finding]:
    wanted = len(parse_cpulist(cpus))
    inventory = provider.inventories.get(name) or {}
    total, reserved = _number(inventory, "total"), _number(inventory, "reserved")
    found = []
    if total - reserved != wanted:
        actual = f"{total}" + (f", {reserved} of them reserved" if reserved else "")
        found.append(
            Finding(
                "placement-cpus",
                f"placement: {name} of {provider.host}",
                f"{wanted} ({option} = {cpus or 'none'})",
                actual,
                _ROLE,
            )
        )
    ratio = inventory.get("allocation_ratio", 1.0)
    if name == "PCPU" and wanted and ratio != 1.0:
        remedy = "remove the ratio (placement, or an aggregate's metadata): two vCPUs must never share a real-time CPU"
        found.append(
            Finding(
                "placement-cpus",
                f"placement: {name} of {provider.host}",
                "allocation ratio 1.0",
                f"allocation ratio {ratio}",
                remedy,
            )
        )
    return found


def _number(inventory: Mapping[str, Any], key: str) -> int:
    value = inventory.get(key, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _traits(node: Node, provider: Provider) -> list[Finding]:
    wanted = {KVM_TRAIT, *physnet_traits(node.physical_networks).values()}
    missing = sorted(wanted - provider.traits)
    stale = sorted(trait for trait in provider.traits - wanted if trait.startswith("CUSTOM_REALTIME_"))
    where = f"placement: traits of {provider.host}"
    found = []
    if missing:
        found.append(Finding("placement-traits", where, ", ".join(sorted(wanted)), f"without {', '.join(missing)}", _ROLE))
    if stale:
        found.append(Finding("placement-traits", where, ", ".join(sorted(wanted)), f"also {', '.join(stale)}", _STALE))
    return found


def _bandwidths(networks: Sequence[Mapping[str, Any]], provider: Provider) -> list[Finding]:
    found = []
    for network in networks:
        if not network.get("physical_network") or network.get("state", "present") != "present":
            continue
        bridge = network.get("bridge") or f"br-{network.get('name')}"
        name = next((child for child in provider.children if child.endswith(f":{bridge}")), "")
        wanted = network.get("kbps", DEFAULT_KBPS)
        actual = _number(provider.children.get(name, {}).get(_EGRESS) or {}, "total")
        if actual != wanted:
            found.append(
                Finding(
                    "placement-bandwidth",
                    f"placement: {bridge} of {provider.host}",
                    f"{wanted} kbit/s of {network['physical_network']}",
                    f"{actual} kbit/s" if name else "no provider of Neutron's agent",
                    "run the playbook openstack, which configures neutron-openvswitch-agent; neutron-server needs the plug-ins qos and placement",
                )
            )
    return found


#: How Nova names its domains where nobody has set another instance_name_template, for results that do not tell the manager.
_INSTANCE = re.compile(r"instance-[0-9a-f]{8}")


def own_cpus(domains: Sequence[Mapping[str, Any]], cores: Sequence[str], realtime: str) -> str:
    """Return the real-time CPUs of guests that are not Nova's, whole cores, as a cpulist.

    ``domains`` is the result of rt_domain_info, ``cores`` that of cpu_partition_info: nova_compute offers Nova none of these CPUs.
    """
    inside = parse_cpulist(realtime)
    pinned: set[int] = set()
    for domain in domains:
        if domain["manager"] == "nova" if "manager" in domain else _INSTANCE.fullmatch(str(domain.get("name", ""))):
            continue
        pins = domain.get("vcpus")
        places = [*(pins.values() if isinstance(pins, Mapping) else ()), domain.get("emulator") or ""]
        for place in places:
            pinned |= parse_cpulist(str(place)) & inside
    whole = pinned.union(*(core for core in map(parse_cpulist, cores) if core & pinned)) & inside
    return format_cpulist(whole)
