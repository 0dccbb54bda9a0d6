# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that are made with openstacksdk itself, each by one call: by id, where openstack.cloud's modules know names only, or have none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .errors import CloudError
from .networking import Calls, Networking


class Session(Calls, Protocol):
    """A session that changes things too (``client.Cloud``)."""

    def flavors(self) -> dict[str, dict[str, Any]]:
        """Return all flavors by name."""

    def send(self, method: str, service: str, path: str, body: Any = None) -> Any:
        """Make one call."""


class Requests:
    """One method for each request of a plan; what the same run has made is looked up by its name."""

    def __init__(self, cloud: Session) -> None:
        self._cloud = cloud

    def make(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Make one change by the name of its step."""
        calls: dict[str, Callable[..., None]] = {
            "describe_flavor": self._describe_flavor,
            "delete_flavor": self._delete_flavor,
            "flavor_access": self._flavor_access,
            "create_policy": self._create_policy,
            "delete_policy": self._delete_policy,
            "share_policy": self._share_policy,
            "add_rule": self._add_rule,
            "set_rule": self._set_rule,
            "create_network": self._create_network,
            "set_network": self._set_network,
            "delete_network": self._delete_network,
            "create_port": self._create_port,
            "set_port": self._set_port,
            "delete_port": self._delete_port,
            "tag_port": self._tag_port,
        }
        calls[name](**arguments)

    def _describe_flavor(self, id: str, description: str) -> None:
        self._cloud.send("PUT", "compute", f"/flavors/{_part(id)}", {"flavor": {"description": description}})

    def _delete_flavor(self, id: str) -> None:
        self._cloud.send("DELETE", "compute", f"/flavors/{_part(id)}")

    def _flavor_access(self, flavor: str, project: str) -> None:
        identity = _known(self._cloud.flavors(), "flavor", flavor)["id"]
        self._cloud.send("POST", "compute", f"/flavors/{_part(identity)}/action", {"addTenantAccess": {"tenant": project}})

    def _create_policy(self, name: str, shared: bool) -> None:
        self._cloud.send("POST", "network", "/qos/policies", {"policy": {"name": name, "shared": shared}})

    def _delete_policy(self, id: str) -> None:
        self._cloud.send("DELETE", "network", f"/qos/policies/{_part(id)}")

    def _share_policy(self, id: str, shared: bool) -> None:
        self._cloud.send("PUT", "network", f"/qos/policies/{_part(id)}", {"policy": {"shared": shared}})

    def _add_rule(self, policy: str, min_kbps: int, direction: str) -> None:
        rule = {"minimum_bandwidth_rule": {"min_kbps": min_kbps, "direction": direction}}
        self._cloud.send("POST", "network", f"/qos/policies/{_part(self._policy(policy))}/minimum_bandwidth_rules", rule)

    def _set_rule(self, id: str, rule: str, min_kbps: int) -> None:
        path = f"/qos/policies/{_part(id)}/minimum_bandwidth_rules/{_part(rule)}"
        self._cloud.send("PUT", "network", path, {"minimum_bandwidth_rule": {"min_kbps": min_kbps}})

    def _create_network(self, values: Mapping[str, Any], policy: str | None) -> None:
        self._cloud.send("POST", "network", "/networks", {"network": {**values, **self._attached(policy)}})

    def _set_network(self, id: str, values: Mapping[str, Any], policy: str | None) -> None:
        self._cloud.send("PUT", "network", f"/networks/{_part(id)}", {"network": {**values, **self._attached(policy)}})

    def _delete_network(self, id: str) -> None:
        self._cloud.send("DELETE", "network", f"/networks/{_part(id)}")

    def _create_port(self, network: str, values: Mapping[str, Any], policy: str | None) -> None:
        own, foreign = Networking(self._cloud).networks([network])
        identity = own[network]["id"] if network in own else foreign.get(network) or _known({}, "network", network)
        body = {"network_id": identity, **values, **self._attached(policy)}
        self._cloud.send("POST", "network", "/ports", {"port": body})

    def _set_port(self, id: str, values: Mapping[str, Any], policy: str | None) -> None:
        self._cloud.send("PUT", "network", f"/ports/{_part(id)}", {"port": {**values, **self._attached(policy)}})

    def _delete_port(self, id: str) -> None:
        self._cloud.send("DELETE", "network", f"/ports/{_part(id)}")

    def _tag_port(self, port: str, tags: Sequence[str]) -> None:
        identity = _known(Networking(self._cloud).ports([port]), "port", port)["id"]
        self._cloud.send("PUT", "network", f"/ports/{_part(identity)}/tags", {"tags": list(tags)})

    def _attached(self, policy: str | None) -> dict[str, Any]:
        """Return the attribute of a policy: nothing where none is named, None where it is taken away."""
        if policy is None:
            return {}
        return {"qos_policy_id": self._policy(policy) if policy else None}

    def _policy(self, name: str) -> str:
        own, foreign = Networking(self._cloud).policies()
        return str(own[name]["id"] if name in own else foreign.get(name) or _known({}, "QoS policy", name))


def _known(found: Mapping[str, Any], kind: str, name: str) -> Any:
    if name not in found:
        raise CloudError(
            f"the {kind} {plain(name, 60)} is not there any more; somebody else removes it at the same time: run the playbook again"
        )
    return found[name]


def _part(text: str) -> str:
    return quote(text, safe="")
