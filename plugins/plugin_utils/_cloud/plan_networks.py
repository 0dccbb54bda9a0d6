# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of policies, networks and ports. Only those of the project of the credentials are looked at. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .changes import NO_ADDRESSES, PORT_SECURITY, QOS, Change, Current, Step, differing, request
from .errors import CloudError
from .wanted import Item, Wanted


def policy_change(item: Item, current: Current) -> Change | None:
    """Return the change of a policy with a minimum bandwidth, None for none."""
    found = current.qos_policies.get(item.name)
    if not item.present:
        if found is None:
            return None
        return Change("QoS policy", item.name, _policy_view(found), None, request("delete_policy", id=found["id"]))
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
        steps = (
            *request("create_policy", name=item.name, shared=wanted.get("shared", False)),
            *request("add_rule", policy=item.name, min_kbps=kbps, direction=direction),
        )
        return Change("QoS policy", item.name, None, wanted, steps, why)
    rule = next((rule for rule in found["rules"] if rule["direction"] == direction), None)
    has = {f"min_kbps {direction}": rule["min_kbps"]} if rule else {}
    before, after = differing({**has, **({"shared": found["shared"]} if "shared" in wanted else {})}, wanted)
    steps = ()
    if "shared" in after:
        steps += request("share_policy", id=found["id"], shared=wanted["shared"])
    if rule is None:
        steps += request("add_rule", policy=item.name, min_kbps=kbps, direction=direction)
    elif rule["min_kbps"] != kbps:
        steps += request("set_rule", id=found["id"], rule=rule["id"], min_kbps=kbps)
    return Change("QoS policy", item.name, before, after, steps) if steps else None


def _policy_view(found: Mapping[str, Any]) -> dict[str, Any]:
    return {f"min_kbps {rule['direction']}": rule["min_kbps"] for rule in found["rules"]}


def _wanted_policy(item: Item, current: Current, wanted: Wanted, variable: str) -> str | None:
    """Return the policy that an item names, None for none given; one that nobody makes is refused."""
    name = item.values.get("qos_policy")
    ours = {policy.name for policy in wanted.qos_policies if policy.present}
    if name and name not in current.qos_policies and name not in ours:
        _check_foreign(
            f"{variable}: {plain(item.name, 60)}", "QoS policy", name, current.foreign_policies, "openstack_cloud_qos_policies"
        )
    return name


def _check_foreign(where: str, kind: str, name: str, foreign: Mapping[str, str], variable: str) -> None:
    """Refuse a name that neither the project nor exactly one other has."""
    if name not in foreign:
        raise CloudError(f"{where}: the cloud has no {kind} {plain(name, 60)}; add it to {variable}")
    if not foreign[name]:
        raise CloudError(
            f"{where}: several projects have a {kind} {plain(name, 60)}, but that of the credentials has none; add it to {variable}, or use another name"
        )


def _policy_name(found: Mapping[str, Any], current: Current) -> str:
    ids = {identity: name for name, identity in current.foreign_policies.items()}
    ids.update({policy["id"]: name for name, policy in current.qos_policies.items()})
    own = found.get("qos_policy_id") or ""
    return ids.get(own, own)


def network_change(item: Item, current: Current, wanted: Wanted) -> Change | None:
    """Return the change of a network, None for none; what Neutron cannot change, or instances would lose, is refused."""
    found, values, where = current.networks.get(item.name), item.values, f"openstack_cloud_networks: {plain(item.name, 60)}"
    if not item.present:
        if found is None:
            return None
        return Change("network", item.name, _network_view(found), None, request("delete_network", id=found["id"]))
    policy = _wanted_policy(item, current, wanted, "openstack_cloud_networks")
    fixed = {"provider_network_type": values["type"], "provider_physical_network": values["physical_network"]}
    free: dict[str, Any] = {"provider_segmentation_id": values["segmentation_id"]} if "segmentation_id" in values else {}
    free.update({name: values[name] for name in ("mtu", "shared") if name in values})
    if PORT_SECURITY in current.extensions:
        free["port_security_enabled"] = False
    view = {**fixed, **free, **({} if policy is None else {"qos_policy": policy})}
    if found is None:
        why = "no subnet, so no address anywhere; a port of it is made with ip_allocation none, and port security, which needs addresses, is off"
        steps = request("create_network", values={"name": item.name, **_provider({**fixed, **free})}, policy=policy or None)
        return Change("network", item.name, None, view, steps, why)
    wrong, right = differing({name: found.get(name) for name in fixed}, fixed)
    if wrong:
        shown = ", ".join(f"{name} is {wrong[name]}, not {right[name]}" for name in wrong)
        raise CloudError(
            f"{where}: {shown}, which Neutron cannot change; remove the network (state: absent) and make it again, or give another name"
        )
    has = {name: found.get(name) for name in free} | ({} if policy is None else {"qos_policy": _policy_name(found, current)})
    before, after = differing(has, {name: value for name, value in view.items() if name not in fixed})
    if "provider_segmentation_id" in after and (users := found.get("instances")):
        raise CloudError(
            f"{where}: segmentation_id is {before['provider_segmentation_id']}, not {after['provider_segmentation_id']}: {_users(users)} there would "
            "change the VLAN while running; detach the ports first, or give another name"
        )
    if not after:
        return None
    given = _provider({name: value for name, value in after.items() if name != "qos_policy"})
    steps = request("set_network", id=found["id"], values=given, policy=after.get("qos_policy"))
    return Change("network", item.name, before, after, steps)


def _users(instances: Sequence[str]) -> str:
    shown = ", ".join(plain(name, 40) for name in instances[:3])
    return f"instance{'s' if len(instances) > 1 else ''} {shown}" + (
        f" and {len(instances) - 3} more" if len(instances) > 3 else ""
    )


def _provider(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes by Neutron's names."""
    return {name.replace("provider_", "provider:", 1): value for name, value in values.items()}


def _network_view(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found.get(name) for name in ("provider_network_type", "provider_physical_network", "provider_segmentation_id")}


def port_change(item: Item, current: Current, wanted: Wanted) -> Change | None:
    """Return the change of a port, None for none; one that an instance or a service has keeps what it cannot change."""
    found = current.ports.get(item.name)
    if not item.present:
        if found is None:
            return None
        if user := _user(found):
            raise CloudError(
                f"openstack_cloud_ports: {plain(item.name, 60)}: state absent, but {user} has the port; detach it first"
            )
        return Change("port", item.name, _port_view(found, current), None, request("delete_port", id=found["id"]))
    view, policy = _port_wanted(item, current, wanted)
    values: dict[str, Any] = {name: value for name, value in view.items() if name in ("mac_address", "port_security_enabled")}
    if found is None:
        why = "fixed_ips is empty, so Neutron gives it no address, and Nova takes it without a subnet"
        return Change("port", item.name, None, view, _new_port(item.name, view["network"], values, policy), why)
    has = {**_port_view(found, current), "qos_policy": _policy_name(found, current)}
    before, after = differing({name: has.get(name) for name in view}, view)
    if not after:
        return None
    _check_port(item, found, before, after)
    if "ip_allocation" in after:
        why = "Neutron cannot change that, so the port, which is free, is made again, with another id and what it has else"
        return Change("port", item.name, before, after, _port_again(item.name, view["network"], found, values, policy), why)
    given: dict[str, Any] = {name: value for name, value in after.items() if name in values}
    if "port_security_enabled" in given:  # Neutron takes it off only with what needs it
        given.update({name: [] for name in _SECURED if found["kept"].get(name)})
    return Change(
        "port", item.name, before, after, request("set_port", id=found["id"], values=given, policy=after.get("qos_policy"))
    )


def _port_wanted(item: Item, current: Current, wanted: Wanted) -> tuple[dict[str, Any], str | None]:
    """Return what a port must be, and its policy; what the cloud cannot have is refused."""
    where, network = f"openstack_cloud_ports: {plain(item.name, 60)}", item.values["network"]
    if NO_ADDRESSES not in current.extensions:
        raise CloudError(
            f"{where}: this Neutron makes no port without addresses: it lacks the extension ip_allocation, which the plug-in segments brings (service_plugins)"
        )
    if network not in current.networks and network not in {other.name for other in wanted.networks if other.present}:
        _check_foreign(where, "network", network, current.foreign_networks, "openstack_cloud_networks")
    policy = _wanted_policy(item, current, wanted, "openstack_cloud_ports")
    view: dict[str, Any] = {"network": network, "ip_allocation": "none"}
    view.update({"mac_address": item.values["mac"]} if "mac" in item.values else {})
    view.update({} if policy is None else {"qos_policy": policy})
    if PORT_SECURITY in current.extensions:
        view["port_security_enabled"] = False
    return view, policy


def _check_port(item: Item, found: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    where = f"openstack_cloud_ports: {plain(item.name, 60)}"
    if "network" in after:
        raise CloudError(
            f"{where} is in the network {plain(str(before['network']), 60)}, which Neutron cannot change; remove the port (state: absent) and make it "
            "again, or give another name"
        )
    kept = [name for name in ("ip_allocation", "mac_address") if name in after]
    if kept and (user := _user(found)):
        what = " and ".join(f"{name} {before[name]}" for name in kept)
        raise CloudError(
            f"{where} has {plain(what, 100)}, which Neutron cannot change while {user} has the port; detach it first, or give another name"
        )


#: Attributes that Neutron takes only with port security.
_SECURED = ("security_groups", "allowed_address_pairs")


def _new_port(name: str, network: str, values: Mapping[str, Any], policy: str | None) -> tuple[Step, ...]:
    return request("create_port", network=network, values={"name": name, "fixed_ips": [], **values}, policy=policy or None)


def _port_again(
    name: str, network: str, found: Mapping[str, Any], values: Mapping[str, Any], policy: str | None
) -> tuple[Step, ...]:
    kept = {key: value for key, value in found["kept"].items() if key not in _SECURED or "port_security_enabled" not in values}
    tags = kept.pop("tags", None)
    if policy is not None:
        kept.pop("qos_policy_id", None)
    return (
        *request("delete_port", id=found["id"]),
        *_new_port(name, network, {**kept, **values}, policy),
        *(request("tag_port", port=name, tags=tags) if tags else ()),
    )


def _user(found: Mapping[str, Any]) -> str:
    """Return who has the port, empty for nobody."""
    if found.get("device_id"):
        return f"instance {plain(str(found['device_id']), 40)}"
    return plain(str(found.get("device_owner") or ""), 40)


def _port_view(found: Mapping[str, Any], current: Current) -> dict[str, Any]:
    ids = {identity: name for name, identity in current.foreign_networks.items()}
    ids.update({network["id"]: name for name, network in current.networks.items()})
    own = found.get("network_id")
    shown = {name: found.get(name) for name in ("ip_allocation", "mac_address", "port_security_enabled")}
    return {"network": ids.get(str(own), own), **shown}
