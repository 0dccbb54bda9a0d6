# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cloud has, and one change of it with its calls. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

#: Alias of Neutron's extensions.
QOS, NO_ADDRESSES, PORT_SECURITY, SCHEDULED = "qos", "ip_allocation", "port-security", "port-resource-request"


@dataclass
class Current:
    """What the cloud has, by name; read by the client for the names that are wanted.

    Policies, networks and ports are those of the project of the credentials: names are not unique in Neutron, and an administrator sees all projects'.
    """

    traits: frozenset[str] = frozenset()
    flavors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    aggregates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    services: Sequence[Mapping[str, Any]] = ()  # nova-compute's: host, state, status
    qos_policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extensions: frozenset[str] = frozenset()  # of Neutron
    #: Name to id of what belongs to other projects: it can be used, and is never changed. Two of one name: empty.
    foreign_policies: Mapping[str, str] = field(default_factory=dict)
    foreign_networks: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str, name: str) -> Any:
        """Return what there is of a change's object, None where it is not there."""
        if kind == "trait":
            return True if name in self.traits else None
        kinds = {
            "flavor": self.flavors,
            "aggregate": self.aggregates,
            "QoS policy": self.qos_policies,
            "network": self.networks,
            "port": self.ports,
        }
        return kinds[kind].get(name)


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


def module(what: str, /, **arguments: Any) -> tuple[Step, ...]:
    """Return the step of a module of openstack.cloud."""
    return (Step(module=f"openstack.cloud.{what}", arguments=arguments),)


def request(what: str, /, **arguments: Any) -> tuple[Step, ...]:
    """Return the step of a request of ours (``requests.Requests``)."""
    return (Step(request=what, arguments=arguments),)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return only what is not the same on both sides."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return {name: before[name] for name in names if name in before}, {name: after[name] for name in names if name in after}
