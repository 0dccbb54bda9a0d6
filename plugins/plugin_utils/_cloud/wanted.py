# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory wants of a cloud, read from its variables and checked before the cloud is asked. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import unknown_keys
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import KVM_TRAIT, neutron_trait, physnet_traits

from .errors import CloudError, SpecError
from .flavor import Flavor, Hosts, nova_flavor

_STATES = ("present", "absent")
_TYPES = ("vlan", "flat")
_DIRECTIONS = ("egress", "ingress")
#: Of a trait, os_traits and placement/schemas/trait.py.
_TRAIT = re.compile(r"CUSTOM_[A-Z0-9_]{1,248}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
#: Kinds whose ids are UUIDs.
_BY_UUID = ("networks", "qos_policies", "ports")
_UUID = re.compile(r"(?i)[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: Key to its type; ``name`` and ``state`` belong to each.
_KEYS: dict[str, dict[str, tuple[type, ...]]] = {
    "flavors": {"guest": (Mapping,), "disk": (int,), "extra_specs": (Mapping,), "public": (bool,), "description": (str,)},
    "networks": {
        "physical_network": (str,),
        "type": (str,),
        "segmentation_id": (int,),
        "mtu": (int,),
        "shared": (bool,),
        "qos_policy": (str,),
    },
    "qos_policies": {"min_kbps": (int,), "direction": (str,), "shared": (bool,)},
    "ports": {"network": (str,), "mac": (str,), "qos_policy": (str,)},
    "traits": {},
}


@dataclass(frozen=True)
class Node:
    """A real-time node as the inventory knows it."""

    name: str
    compute_host: str = ""  # of nova-compute, where it is not the node's own name
    plain_pinned: bool = False  # plainly pinned instances run there too
    networks: Sequence[Mapping[str, Any]] = ()
    version: str = ""  # of its nova-compute

    @property
    def physical_networks(self) -> list[str]:
        """The networks that OpenStack knows, by Neutron's names."""
        return [
            str(item["physical_network"])
            for item in self.networks
            if isinstance(item, Mapping) and item.get("physical_network") and item.get("state", "present") == "present"
        ]


@dataclass
class Item:
    """One thing that the cloud must have, or must not have."""

    name: str
    present: bool = True
    values: dict[str, Any] = field(default_factory=dict)  # what was given
    flavor: Flavor | None = None


@dataclass
class Wanted:
    """All that is wanted of a cloud, by kind; the order of each list is kept."""

    traits: list[Item]
    flavors: list[Item]
    aggregate: Item | None
    qos_policies: list[Item]
    networks: list[Item]
    ports: list[Item]


def read_wanted(variables: Mapping[str, Any], nodes: Sequence[Node], hosts: Hosts) -> Wanted:
    """Return what the role's variables want; ``CloudError`` names variable, item and what would work.

    ``variables`` are those of the role without its prefix: flavors, aggregate, aggregate_state, networks, qos_policies, ports, traits.
    """
    items = {kind: _items(kind, variables.get(kind) or []) for kind in _KEYS}
    inventory = _inventory(nodes)
    for item in items["flavors"]:
        if item.present:
            item.flavor = _flavor(item, inventory, hosts)
    _check_networks(items["networks"], nodes)
    _check_policies(items["qos_policies"])
    _check_ports(items["ports"], items["networks"])
    _check_used_policies(items)
    return Wanted(
        traits=_traits(items, nodes),
        flavors=items["flavors"],
        aggregate=_aggregate(variables),
        qos_policies=items["qos_policies"],
        networks=items["networks"],
        ports=items["ports"],
    )


def _items(kind: str, given: Any) -> list[Item]:
    variable, keys = f"openstack_cloud_{kind}", {"name": (str,), "state": (str,), **_KEYS[kind]}
    if not isinstance(given, (list, tuple)):
        raise CloudError(f"{variable} is no list; give a list, [] for none, or leave it out")
    found: dict[str, Item] = {}
    for number, item in enumerate(given):
        if not isinstance(item, Mapping):
            raise CloudError(f"{variable}[{number}] is {type(item).__name__}, not a mapping with the key name")
        name = item.get("name")
        where = f"{variable}: {plain(str(name), 60)}" if name else f"{variable}[{number}]"
        _check_name(name, where)
        if unknown := [key for key in item if key not in keys]:
            raise CloudError(f"{where}: {unknown_keys(unknown, keys)}")
        values = {str(key): value for key, value in item.items() if value is not None}
        for key, value in values.items():
            if not isinstance(value, keys[key]) or (isinstance(value, bool) and bool not in keys[key]):
                wanted = {Mapping: "a mapping", int: "a number", str: "text", bool: "true or false"}[keys[key][0]]
                raise CloudError(f"{where}: {key} is {type(value).__name__}, not {wanted}")
        state = values.pop("state", "present")
        if state not in _STATES:
            raise CloudError(f"{where}: state {plain(str(state), 40)!r} is not present or absent")
        if name in found:
            raise CloudError(f"{where} is listed twice; every item needs a name of its own")
        if kind in _BY_UUID and _UUID.fullmatch(str(name)):
            raise CloudError(f"{where}: the name has the form of an id, for which tools take it; give another name")
        del values["name"]
        found[str(name)] = Item(str(name), state == "present", values)
    return list(found.values())


def _check_name(name: Any, where: str) -> None:
    if not isinstance(name, str) or not name.strip():
        raise CloudError(f"{where}: name is missing, or no text")
    if len(name) > 255 or _CONTROL.search(name) or name != name.strip():
        raise CloudError(f"{where}: a name has at most 255 characters, no control character, and no blank at its ends")


def _inventory(nodes: Iterable[Node]) -> list[Mapping[str, Any]]:
    """Return the networks of all nodes, each name once; nodes must agree on the physical network."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for node in nodes:
        for network in node.networks:
            if not isinstance(network, Mapping) or network.get("state", "present") != "present":
                continue
            name = str(network.get("name"))
            other, known = found.setdefault(name, (node.name, network))
            physical, own = known.get("physical_network"), network.get("physical_network")
            if own and not physical:
                found[name] = (node.name, network)
            elif own and own != physical:
                raise CloudError(
                    f"realtime_networks: {plain(name, 60)} is the physical network {plain(str(physical), 60)} on {other}, but "
                    f"{plain(str(own), 60)} on {node.name}; one name means one physical network on all nodes"
                )
    return [network for _node, network in found.values()]


def _flavor(item: Item, networks: Sequence[Mapping[str, Any]], hosts: Hosts) -> Flavor:
    where = f"openstack_cloud_flavors: {plain(item.name, 60)}"
    if "guest" not in item.values:
        raise CloudError(f"{where}: guest is missing, the description of the instances (keys as in realtime_guests)")
    disk = item.values.get("disk", 0)
    if not 0 <= disk <= 1 << 20:
        raise CloudError(f"{where}: disk {disk} is not in 0-{1 << 20} (GiB); 0 is as large as the image")
    guest = {**item.values["guest"], "name": item.name}
    try:
        return nova_flavor(guest, networks, hosts=hosts, disk=disk, extra_specs=item.values.get("extra_specs"))
    except SpecError as error:
        raise CloudError(f"openstack_cloud_flavors: {error}") from None


def _traits(items: Mapping[str, Sequence[Item]], nodes: Sequence[Node]) -> list[Item]:
    """Every trait that a node will have, or a flavor or a port asks for.

    One that placement does not know makes nova-scheduler fail without a reason. Neutron makes its own when an agent reports the
    physical network, so that of a network that no host has is missing.
    """
    listed = items["traits"]
    names = [KVM_TRAIT, *physnet_traits(name for node in nodes for name in node.physical_networks).values()]
    if any(item.present for item in items["qos_policies"]):
        named = {str(item.values["physical_network"]) for item in items["networks"] if item.values.get("physical_network")}
        names += [neutron_trait(name) for name in sorted(named.union(*(node.physical_networks for node in nodes)))]
    for item in items["flavors"]:
        specs = item.flavor.extra_specs if item.flavor else {}
        names += [name.partition(":")[2] for name in specs if name.startswith("trait") and ":CUSTOM_" in name]
    for item in listed:
        if not _TRAIT.fullmatch(item.name):
            raise CloudError(
                f"openstack_cloud_traits: {plain(item.name, 60)}: a trait of ours is CUSTOM_ and capitals, digits or _, at most 255 characters"
            )
        if not item.present and item.name in names:
            raise CloudError(
                f"openstack_cloud_traits: {item.name} is absent, but a node (realtime_networks) or a flavor needs it; remove one of both"
            )
    wanted = {name: Item(name) for name in names}
    return [*wanted.values(), *(item for item in listed if item.name not in wanted)]


def _aggregate(variables: Mapping[str, Any]) -> Item | None:
    name, state = variables.get("aggregate") or "", variables.get("aggregate_state") or "present"
    if not name:
        return None
    _check_name(name, "openstack_cloud_aggregate")
    if state not in _STATES:
        raise CloudError(f"openstack_cloud_aggregate_state: {plain(str(state), 40)!r} is not present or absent")
    return Item(name, state == "present", {"metadata": {f"trait:{KVM_TRAIT}": "required"}})


def _check_networks(networks: Sequence[Item], nodes: Sequence[Node]) -> None:
    known = {name for node in nodes for name in node.physical_networks}
    places: dict[tuple[str, str], str] = {}
    for item in networks:
        where, values = f"openstack_cloud_networks: {plain(item.name, 60)}", item.values
        if not item.present:
            continue
        physical = values.get("physical_network")
        if not physical:
            raise CloudError(
                f"{where}: physical_network is missing, Neutron's name of the network (physical_network in realtime_networks)"
            )
        if physical not in known:
            names = ", ".join(sorted(known)) or "none"
            raise CloudError(
                f"{where}: no node has the physical network {plain(physical, 60)}; those of realtime_networks are: {plain(names, 200)}"
            )
        kind = values.setdefault("type", "vlan" if "segmentation_id" in values else "flat")
        if kind not in _TYPES:
            raise CloudError(f"{where}: type {plain(str(kind), 40)!r} is not vlan or flat")
        number = values.get("segmentation_id")
        if kind == "vlan" and (number is None or not 1 <= number <= 4094):
            raise CloudError(f"{where}: type vlan needs segmentation_id, the VLAN, in 1-4094")
        if kind == "flat" and number is not None:
            raise CloudError(f"{where}: type flat has no segmentation_id; use type: vlan, or remove it")
        place = f"{kind} {number}" if kind == "vlan" else "flat"
        if other := places.get((physical, place)):
            raise CloudError(
                f"{where}: {place} of {plain(physical, 60)} is taken by {plain(other, 60)}; Neutron makes one network of it, so give another segmentation_id"
            )
        places[physical, place] = item.name
        if "mtu" in values and not 68 <= values["mtu"] <= 65535:
            raise CloudError(f"{where}: mtu {values['mtu']} is not in 68-65535")


def _check_policies(policies: Sequence[Item]) -> None:
    for item in policies:
        where = f"openstack_cloud_qos_policies: {plain(item.name, 60)}"
        if not item.present:
            continue
        number = item.values.setdefault("min_kbps", 1)
        if not 1 <= number <= 2147483647:
            raise CloudError(f"{where}: min_kbps {number} is not in 1-2147483647 (kbit/s)")
        if item.values.setdefault("direction", "egress") not in _DIRECTIONS:
            raise CloudError(f"{where}: direction is not egress or ingress")


def _check_ports(ports: Sequence[Item], networks: Sequence[Item]) -> None:
    gone = {item.name for item in networks if not item.present}
    taken: dict[tuple[str, str], str] = {}
    for item in ports:
        where = f"openstack_cloud_ports: {plain(item.name, 60)}"
        if not item.present:
            continue
        if not item.values.get("network"):
            raise CloudError(f"{where}: network is missing, the name of a network of the cloud")
        if item.values["network"] in gone:
            raise CloudError(
                f"{where}: the network {plain(item.values['network'], 60)} is absent; give the port state: absent, or keep the network"
            )
        mac = item.values.get("mac")
        if mac is not None:
            item.values["mac"] = mac = mac.lower()
            if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
                raise CloudError(f"{where}: mac {plain(mac, 40)!r} is no address of one interface, like 52:54:00:12:34:56")
            if other := taken.get((item.values["network"], mac)):
                raise CloudError(f"{where}: mac {mac} is that of {plain(other, 60)} in the same network; give another one")
            taken[item.values["network"], mac] = item.name


def _check_used_policies(items: Mapping[str, Sequence[Item]]) -> None:
    gone = {item.name for item in items["qos_policies"] if not item.present}
    for kind in ("networks", "ports"):
        for item in items[kind]:
            if item.present and item.values.get("qos_policy") in gone:
                raise CloudError(
                    f"openstack_cloud_{kind}: {plain(item.name, 60)}: the policy {plain(item.values['qos_policy'], 60)} is absent; keep it, or remove the key"
                )
