# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neutron has of the project of the credentials, and of other projects only the ids of what can be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .errors import CloudError
from .wanted import Wanted

#: What a port keeps that must be made again, by Neutron's names, where it has a value. Neutron decides the rest, or it goes with the addresses.
KEPT = (
    "mac_address",
    "description",
    "admin_state_up",
    "binding:vnic_type",
    "binding:profile",
    "extra_dhcp_opts",
    "dns_name",
    "dns_domain",
    "numa_affinity_policy",
    "hints",
    "propagate_uplink_status",
    "qos_policy_id",
    "security_groups",
    "allowed_address_pairs",
    "tags",
)


class Calls(Protocol):
    """The calls of a session (``client.Cloud``)."""

    def project(self) -> str:
        """Return the id of the project of the credentials."""

    def list(self, service: str, path: str, key: str, form: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list."""


class Networking:
    """Reads policies, networks and ports by name."""

    def __init__(self, cloud: Calls) -> None:
        self._cloud, self._project = cloud, cloud.project()

    def read(self, wanted: Wanted, policies: bool) -> dict[str, Any]:
        """Return the fields of ``Current``."""
        found: dict[str, Any] = {}
        if policies:
            found["qos_policies"], found["foreign_policies"] = self.policies()
        names = [*(item.name for item in wanted.networks), *(item.values.get("network", "") for item in wanted.ports)]
        found["networks"], found["foreign_networks"] = self.networks(names)
        found["ports"] = self.ports([item.name for item in wanted.ports])
        for item in wanted.networks:
            network = found["networks"].get(item.name)
            if network and item.present and item.values.get("segmentation_id") != network["provider_segmentation_id"]:
                network["instances"] = self._instances(network["id"])
        return found

    def policies(self) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Return the project's policies, and name to id of the others."""
        form = {"policies": [{"id": str, "name": str, "shared": bool, "rules": [dict]}]}
        found, foreign = self._sorted(self._cloud.list("network", "/qos/policies", "policies", form), "QoS policy")
        return {
            name: {"id": item["id"], "shared": item["shared"], "rules": _rules(item)} for name, item in found.items()
        }, foreign

    def networks(self, names: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Return the project's networks of these names, and name to id of the others."""
        form = {"networks": [{"id": str, "name": str, "subnets": list}]}
        found, foreign = self._sorted(self._named("networks", names, form), "network")
        keys = ("id", "mtu", "shared", "port_security_enabled", "qos_policy_id", "subnets")
        provider = ("network_type", "physical_network", "segmentation_id")
        return {
            name: {**{f"provider_{key}": item.get(f"provider:{key}") for key in provider}, **{key: item.get(key) for key in keys}}
            for name, item in found.items()
        }, foreign

    def ports(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Return the project's ports of these names."""
        form = {"ports": [{"id": str, "name": str, "network_id": str, "mac_address": str, "fixed_ips": list}]}
        found, _foreign = self._sorted(self._named("ports", names, form), "port")
        keys = ("id", "network_id", "mac_address", "device_id", "device_owner", "port_security_enabled", "qos_policy_id")
        return {
            name: {
                **{key: item.get(key) for key in keys},
                "ip_allocation": item.get("ip_allocation") or ("immediate" if item["fixed_ips"] else "none"),
                "kept": {key: item[key] for key in KEPT if item.get(key) not in (None, "", [], {})},
            }
            for name, item in found.items()
        }

    def _instances(self, network: str) -> list[str]:
        """Return the instances that have a port of a network."""
        form = {"ports": [{"device_id": str, "device_owner": str}]}
        path = f"/ports?{urlencode({'network_id': network})}"
        ports = self._cloud.list("network", path, "ports", form)
        return sorted({port["device_id"] for port in ports if port["device_id"] and port["device_owner"].startswith("compute:")})

    def _named(self, kind: str, names: list[str], form: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for name in sorted({name for name in names if name}):
            items = self._cloud.list("network", f"/{kind}?{urlencode({'name': name}, quote_via=quote)}", kind, form)
            yield from (item for item in items if item["name"] == name)

    def _sorted(self, items: Iterator[dict[str, Any]], kind: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Part the items into the project's own and name to id of all others; two of the project of one name are refused."""
        own: dict[str, dict[str, Any]] = {}
        foreign: dict[str, str] = {}
        for item in items:
            name = item["name"]
            if (item.get("project_id") or item.get("tenant_id")) != self._project:
                foreign[name] = "" if name in foreign else item["id"]
            elif name in own:
                raise CloudError(
                    f"the project of the credentials has two things that are called {kind} {plain(name, 60)}, so it cannot be told which is meant; "
                    "rename one"
                )
            else:
                own[name] = item
        return own, foreign


def _rules(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"id": str(rule.get("id")), "min_kbps": rule.get("min_kbps"), "direction": str(rule.get("direction", "egress"))}
        for rule in policy["rules"]
        if rule.get("type") == "minimum_bandwidth"
    ]
