# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a cloud has to what is wanted: the changes, in the order in which they are made. Pure.

Only what the variables name is compared; whatever else the cloud has stays. What is made stands in order of need (traits before flavors, networks
before ports), what is removed afterwards in the opposite order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .errors import CloudError
from .wanted import Item, Wanted

#: Alias of Neutron's extensions.
QOS, NO_ADDRESSES, PORT_SECURITY, SCHEDULED, GROUPS = (
    "qos",
    "ip_allocation",
    "port-security",
    "port-resource-request",
    "security-group",
)


@dataclass
class Current:
    """What the cloud has, by name; read by the client for the names that are wanted."""

    traits: frozenset[str] = frozenset()
    flavors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    aggregates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    services: Sequence[Mapping[str, Any]] = ()  # nova-compute's: host, state, status
    qos_policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extensions: frozenset[str] = frozenset()  # of Neutron


@dataclass(frozen=True)
class Step:
    """One call that changes the cloud: a module of openstack.cloud with its arguments, or a request of ours where there is none."""

    module: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    request: str = ""


@dataclass(frozen=True)
class Change:
    """One thing of the cloud that changes; ``before`` None: it is made, ``after`` None: it is removed."""

    kind: str
    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    steps: tuple[Step, ...]
    reason: str = ""

    @property
    def resource(self) -> str:
        """What it is, for people."""
        return f"{self.kind} {plain(self.name, 80)}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "resource": self.resource,
            "before": None if self.before is None else dict(self.before),
            "after": None if self.after is None else dict(self.after),
            "reason": self.reason,
        }


def plan(wanted: Wanted, current: Current, hosts: Mapping[str, str], kept_out: Iterable[str] = ()) -> list[Change]:
    """Return the changes in their order.

    ``hosts`` is node to compute host (empty: unknown to the cloud); ``kept_out`` are nodes that serve plainly pinned instances too, and therefore are
    not in the isolated aggregate.
    """
    kinds: list[tuple[list[Item], Callable[[Item], Change | None]]] = [
        (wanted.traits, lambda item: _trait(item, current)),
        (wanted.flavors, lambda item: _flavor(item, current)),
        ([wanted.aggregate] if wanted.aggregate else [], lambda item: _aggregate(item, current, hosts, frozenset(kept_out))),
        (wanted.qos_policies, lambda item: _policy(item, current)),
        (wanted.networks, lambda item: _network(item, current, wanted)),
        (wanted.ports, lambda item: _port(item, current, wanted)),
    ]
    made = [change(item) for items, change in kinds for item in items if item.present]
    gone = [change(item) for items, change in reversed(kinds) for item in items if not item.present]
    return [found for found in [*made, *gone] if found]


def _module(module: str, /, **arguments: Any) -> tuple[Step, ...]:
    return (Step(module=f"openstack.cloud.{module}", arguments=arguments),)


def _request(request: str, /, **arguments: Any) -> tuple[Step, ...]:
    return (Step(request=request, arguments=arguments),)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before[name] for name in names if name in before}, {name: after[name] for name in names if name in after}


def _trait(item: Item, current: Current) -> Change | None:
    if item.present == (item.name in current.traits):
        return None
    if item.present:
        why = "placement must know every trait before a flavor asks for it, or scheduling fails for all"
        return Change("trait", item.name, None, {}, _module("trait", id=item.name), why)
    return Change("trait", item.name, {}, None, _module("trait", id=item.name, state="absent"))


def _flavor(item: Item, current: Current) -> Change | None:
    found = current.flavors.get(item.name)
    if not item.present:
        if found is None:
            return None
        return Change(
            "flavor",
            item.name,
            _flavor_view(found),
            None,
            _module("compute_flavor", name=item.name, id=found["id"], state="absent"),
        )
    if item.flavor is None:  # read_wanted makes it
        return None
    wanted: dict[str, Any] = {"vcpus": item.flavor.vcpus, "ram": item.flavor.ram, "disk": item.flavor.disk}
    if found and "disk" not in item.values:
        wanted["disk"] = found["disk"]
    if "public" in item.values:
        wanted["is_public"] = item.values["public"]
    arguments = {"name": item.name, **wanted, "extra_specs": dict(item.flavor.extra_specs)}
    description = item.values.get("description")
    view = {**wanted, "extra_specs": dict(item.flavor.extra_specs)}
    if found is None:
        _check_id("openstack_cloud_flavors", "flavor", item.name, current.flavors)
        more = {} if description is None else {"description": description}
        return Change("flavor", item.name, None, {**view, **more}, _module("compute_flavor", **arguments, **more))
    fixed, _after = _differing({name: found.get(name) for name in wanted}, wanted)
    before, after = _differing({**{name: found.get(name) for name in wanted}, "extra_specs": dict(found["extra_specs"])}, view)
    steps: tuple[Step, ...] = ()
    if before or after:
        more = {"id": found["id"], **(_kept(found, description) if fixed else {})}
        steps += _module("compute_flavor", **{**more, **arguments})
    if description is not None and description != (found.get("description") or ""):
        before["description"], after["description"] = found.get("description") or "", description
        if not fixed:
            steps += _request("describe_flavor", id=found["id"], description=description)
    if not steps:
        return None
    why = (
        f"{', '.join(fixed)} of a flavor cannot be changed, so it is made again, and access that single projects had is lost; "
        "instances keep what they have"
        if fixed
        else "instances that exist keep the extra specs that they were made with, until they are resized"
    )
    return Change("flavor", item.name, before, after, steps, why)


def _kept(found: Mapping[str, Any], description: str | None) -> dict[str, Any]:
    """Return what a flavor that is made again keeps, since no variable names it."""
    kept = {name: found.get(name) for name in ("is_public", "swap", "ephemeral", "rxtx_factor")}
    kept["description"] = description if description is not None else found.get("description")
    usual = {"swap": 0, "ephemeral": 0, "rxtx_factor": 1.0, "description": ""}
    return {name: value for name, value in kept.items() if value is not None and value != usual.get(name)}


def _check_id(variable: str, kind: str, name: str, current: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a new name that is the id of another thing: openstack.cloud looks for both, and would take the other one."""
    other = next((known for known, found in current.items() if str(found.get("id")) == name), "")
    if other:
        raise CloudError(
            f"{variable}: {plain(name, 60)} is the id of the {kind} {plain(other, 60)}, which would be taken for it; give another name"
        )


def _flavor_view(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found.get(name) for name in ("vcpus", "ram", "disk", "extra_specs")}


def _aggregate(item: Item, current: Current, hosts: Mapping[str, str], kept_out: frozenset[str]) -> Change | None:
    found = current.aggregates.get(item.name)
    if not item.present:
        if found is None:
            return None
        if foreign := foreign_hosts(item, current, hosts):
            raise CloudError(
                f"openstack_cloud_aggregate_state: absent, but {plain(item.name, 60)} also holds {plain(', '.join(foreign), 120)}, which no node of the "
                "inventory is, and which would serve all instances then; take them out of it first, or keep the aggregate"
            )
        before = {"hosts": sorted(found["hosts"]), "metadata": dict(found["metadata"])}
        return Change("aggregate", item.name, before, None, _module("host_aggregate", name=item.name, state="absent"))
    if found is None:
        _check_id("openstack_cloud_aggregate", "aggregate", item.name, current.aggregates)
    ours = {host for host in hosts.values() if host}
    belong = {host for node, host in hosts.items() if host and node not in kept_out}
    members = sorted(belong | (set(found["hosts"]) - ours if found else set()))
    own = {name: value for name, value in found["metadata"].items() if name != "availability_zone"} if found else {}
    after_all = {"hosts": members, "metadata": {**own, **item.values["metadata"]}}
    steps = _module("host_aggregate", name=item.name, **after_all)
    why = "with [scheduler] enable_isolated_aggregate_filtering its hosts take only instances whose flavor asks for the trait"
    if found is None:
        return Change("aggregate", item.name, None, after_all, steps, why)
    before, after = _differing({"hosts": sorted(found["hosts"]), "metadata": own}, after_all)
    return Change("aggregate", item.name, before, after, steps, why) if before or after else None


def foreign_hosts(item: Item | None, current: Current, hosts: Mapping[str, str]) -> list[str]:
    """Return the hosts in the aggregate that are no node of the inventory; they stay."""
    found = current.aggregates.get(item.name) if item else None
    return sorted(set(found["hosts"]) - set(hosts.values())) if found else []


def _policy(item: Item, current: Current) -> Change | None:
    found = current.qos_policies.get(item.name)
    if not item.present:
        if found is None:
            return None
        return Change("QoS policy", item.name, _policy_view(found), None, _request("delete_policy", id=found["id"]))
    if QOS not in current.extensions:
        raise CloudError(
            f"openstack_cloud_qos_policies: {plain(item.name, 60)}: Neutron has no QoS; add qos and placement to service_plugins of neutron-server, "
            "and qos to extension_drivers of ML2"
        )
    kbps, direction = item.values["min_kbps"], item.values["direction"]
    wanted: dict[str, Any] = {f"min_kbps {direction}": kbps}
    if "shared" in item.values:
        wanted["shared"] = item.values["shared"]
    steps: tuple[Step, ...]
    if found is None:
        why = "a port with a minimum bandwidth is scheduled: only hosts take it whose agent has the physical network"
        steps = _request("create_policy", name=item.name, shared=wanted.get("shared", False), min_kbps=kbps, direction=direction)
        return Change("QoS policy", item.name, None, wanted, steps, why)
    rule = next((rule for rule in found["rules"] if rule["direction"] == direction), None)
    has = {f"min_kbps {direction}": rule["min_kbps"]} if rule else {}
    before, after = _differing({**has, **({"shared": found["shared"]} if "shared" in wanted else {})}, wanted)
    steps = ()
    if "shared" in after:
        steps += _request("share_policy", id=found["id"], shared=wanted["shared"])
    if rule is None:
        steps += _request("add_rule", id=found["id"], min_kbps=kbps, direction=direction)
    elif rule["min_kbps"] != kbps:
        steps += _request("set_rule", id=found["id"], rule=rule["id"], min_kbps=kbps)
    return Change("QoS policy", item.name, before, after, steps) if steps else None


def _policy_view(found: Mapping[str, Any]) -> dict[str, Any]:
    return {f"min_kbps {rule['direction']}": rule["min_kbps"] for rule in found["rules"]}


def _wanted_policy(item: Item, current: Current, wanted: Wanted, variable: str) -> str | None:
    """Return the policy that an item names, None for none given; one that nobody makes is refused."""
    name = item.values.get("qos_policy")
    if (
        name
        and name not in current.qos_policies
        and name not in {policy.name for policy in wanted.qos_policies if policy.present}
    ):
        raise CloudError(
            f"{variable}: {plain(item.name, 60)}: the cloud has no QoS policy {plain(name, 60)}; add it to openstack_cloud_qos_policies"
        )
    return name


def _policy_name(found: Mapping[str, Any], current: Current) -> str:
    ids = {policy["id"]: name for name, policy in current.qos_policies.items()}
    own = found.get("qos_policy_id") or ""
    return ids.get(own, own)


def _network(item: Item, current: Current, wanted: Wanted) -> Change | None:
    found, values, where = current.networks.get(item.name), item.values, f"openstack_cloud_networks: {plain(item.name, 60)}"
    if not item.present:
        if found is None:
            return None
        return Change("network", item.name, _network_view(found), None, _module("network", name=item.name, state="absent"))
    policy = _wanted_policy(item, current, wanted, "openstack_cloud_networks")
    fixed = {"provider_network_type": values["type"], "provider_physical_network": values["physical_network"]}
    free: dict[str, Any] = {"provider_segmentation_id": values["segmentation_id"]} if "segmentation_id" in values else {}
    free.update({name: values[name] for name in ("mtu", "shared") if name in values})
    if PORT_SECURITY in current.extensions:
        free["port_security_enabled"] = False
    arguments = {"name": item.name, **fixed, **free}
    view = {**fixed, **free, **({} if policy is None else {"qos_policy": policy})}
    attach = () if policy is None else _request("network_policy", network=item.name, policy=policy)
    if found is None:
        why = "no subnet, so no address anywhere; a port of it is made with ip_allocation none, and port security, which needs addresses, is off"
        return Change("network", item.name, None, view, (*_module("network", **arguments), *(attach if policy else ())), why)
    wrong, right = _differing({name: found.get(name) for name in fixed}, fixed)
    if wrong:
        shown = ", ".join(f"{name} is {wrong[name]}, not {right[name]}" for name in wrong)
        raise CloudError(
            f"{where}: {shown}, which Neutron cannot change; remove the network (state: absent) and make it again, or give another name"
        )
    if free.get("provider_segmentation_id", found.get("provider_segmentation_id")) != found.get(
        "provider_segmentation_id"
    ) and found.get("used_by"):
        raise CloudError(
            f"{where}: its VLAN is {found.get('provider_segmentation_id')}, not {free['provider_segmentation_id']}, and instances have ports on it "
            f"({plain(', '.join(found['used_by']), 120)}), which would change to the other VLAN while they run; detach the ports first, or give another name"
        )
    has = {name: found.get(name) for name in free} | ({} if policy is None else {"qos_policy": _policy_name(found, current)})
    before, after = _differing(has, {name: value for name, value in view.items() if name not in fixed})
    if not after:
        return None
    steps = _module("network", **arguments) if set(after) - {"qos_policy"} else ()
    return Change("network", item.name, before, after, (*steps, *(attach if "qos_policy" in after else ())))


def _network_view(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found.get(name) for name in ("provider_network_type", "provider_physical_network", "provider_segmentation_id")}


def _port(item: Item, current: Current, wanted: Wanted) -> Change | None:
    found, where = current.ports.get(item.name), f"openstack_cloud_ports: {plain(item.name, 60)}"
    if not item.present:
        if found is None:
            return None
        if found.get("device_id"):
            raise CloudError(f"{where}: state absent, but instance {plain(found['device_id'], 40)} has the port; detach it first")
        return Change("port", item.name, _port_view(found), None, _module("port", name=item.name, state="absent"))
    if NO_ADDRESSES not in current.extensions:
        raise CloudError(
            f"{where}: Neutron has no extension ip_allocation, so that ports without addresses cannot be had; it is in the plug-in segments (service_plugins)"
        )
    network = item.values["network"]
    if network not in current.networks and network not in {other.name for other in wanted.networks if other.present}:
        raise CloudError(f"{where}: the cloud has no network {plain(network, 60)}; add it to openstack_cloud_networks")
    policy = _wanted_policy(item, current, wanted, "openstack_cloud_ports")
    arguments: dict[str, Any] = {"name": item.name, "network": network, "fixed_ips": []}
    if PORT_SECURITY in current.extensions:
        arguments["is_port_security_enabled"] = False
    if PORT_SECURITY in current.extensions and GROUPS in current.extensions:
        arguments["no_security_groups"] = True  # without the extension the attribute itself is refused
    if "mac" in item.values:
        arguments["mac_address"] = item.values["mac"]
    attach = () if policy is None else _request("port_policy", port=item.name, policy=policy)
    view: dict[str, Any] = {"network": network, "ip_allocation": "none"}
    view.update({"mac_address": item.values["mac"]} if "mac" in item.values else {})
    view.update({} if policy is None else {"qos_policy": policy})
    if PORT_SECURITY in current.extensions:
        view["port_security_enabled"] = False
    made = (*_module("port", **arguments), *(attach if policy else ()))
    if found is None:
        return Change(
            "port",
            item.name,
            None,
            view,
            made,
            "fixed_ips is empty, so Neutron gives it no address, and Nova takes it without a subnet",
        )
    return _port_change(item, found, current, view, arguments, made, attach)


def _port_change(
    item: Item,
    found: Mapping[str, Any],
    current: Current,
    view: Mapping[str, Any],
    arguments: Mapping[str, Any],
    made: tuple[Step, ...],
    attach: tuple[Step, ...],
) -> Change | None:
    has = {**_port_view(found), "qos_policy": _policy_name(found, current)}
    before, after = _differing({name: has.get(name) for name in view}, view)
    if not after:
        return None
    fixed = [name for name in ("network", "ip_allocation", "mac_address") if name in after]
    if fixed and found.get("device_id"):
        what = " and ".join(f"{name} {before.get(name)}" for name in fixed)
        raise CloudError(
            f"openstack_cloud_ports: {plain(item.name, 60)} has {plain(what, 100)}, which Neutron cannot change, and instance "
            f"{plain(found['device_id'], 40)} has the port; detach it first, or give another name"
        )
    if "network" in after or "ip_allocation" in after:
        removed = _request("delete_port", id=found["id"])
        return Change(
            "port",
            item.name,
            before,
            after,
            (*removed, *made),
            "Neutron cannot change that, so the port, which is free, is made again",
        )
    steps = _module("port", **arguments) if set(after) - {"qos_policy"} else ()
    return Change("port", item.name, before, after, (*steps, *(attach if "qos_policy" in after else ())))


def _port_view(found: Mapping[str, Any]) -> dict[str, Any]:
    names = ("network", "ip_allocation", "mac_address", "port_security_enabled")
    return {name: found.get(name) for name in names}
