# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_plan: all layers of a node, planned in one look by the bodies of their modules; and the audit, where none has anything to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._boot.arguments import awaited_boot
from .._cpus.errors import UNEXPECTED, HostError, RefusalError
from .._host.host import Host
from . import rt_audit
from ._common import Body, Outcome, carry_out, failure
from ._ends import ENDS
from ._layers import LAYERS, UnknownDistributionError, checked, resolved, waits_for
from ._specs import GUESTS
from ._switch_edges import SwitchEdges

#: The roles whose options the action works out.
ROLES = [
    "cpu_partition", "power", "irq_affinity", "time_sync", "kvm_host", "ovs_dpdk", "rt_kernel", "rt_guest", "rt_metrics", "packages", "nova_compute",
    "neutron_agent", "guest_os", "rt_verify",
]  # fmt: skip
#: The module's options; M(rt_plan) describes them.
OPTIONS: dict[str, Any] = {
    **ENDS,
    "roles": {"type": "list", "elements": "str", "required": True, "choices": ROLES},
    "layers": {"type": "dict", "default": {}},
    "networks": GUESTS["networks"],
    "guests": GUESTS["guests"],
    "audit": {"type": "raw"},
    "keep": {"type": "bool", "default": False},
    "release": {"type": "str", "default": ""},
    "fsroot": {"type": "path", "default": "/"},
}
AUDIT = "rt_audit"


def _unknown() -> Mapping[str, str]:
    return {}


@dataclass
class PlanEdges(SwitchEdges):
    """The machine, its libvirt, its switch, and the facts of its distribution in the words of Ansible's ``setup``."""

    facts: Callable[[], Mapping[str, str]] = field(default=_unknown)


def run(edges: PlanEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan every layer and return their results; a layer that is refused stops only those that need it."""
    if strangers := [name for name in parameters["layers"] if name not in LAYERS]:
        raise HostError(f"layers: {', '.join(strangers)}: no module of this name plans a layer; there are {', '.join(LAYERS)}")
    facts = {} if edges.host.captured else dict(edges.facts())
    look = _Look(edges, parameters, [facts[key] for key in ("distribution", "os_family") if facts.get(key)])
    for name in LAYERS:
        if name in parameters["layers"]:
            look.plan(name)
    if isinstance(parameters["audit"], Mapping) and look.at_rest:
        look.audit()
    audited = not look.results.get(AUDIT, {}).get("failed")
    results: dict[str, Any] = {"planned": look.results, "refused": look.refused, "open": look.open}
    if facts:
        results["ansible_facts"] = {f"ansible_{name}": fact for name, fact in facts.items()}
    return Outcome(results, ended=look.at_rest and audited)


class _Look:
    """The layers of one node, one after the other."""

    def __init__(self, edges: PlanEdges, parameters: Mapping[str, Any], distribution: list[str]) -> None:
        self.edges = edges
        self.parameters = parameters
        self.distribution = distribution
        self.results: dict[str, dict[str, Any]] = {}
        self.planned: dict[str, dict[str, Any]] = {}  # without those that were refused
        self.refused: list[str] = []
        self.open: list[str] = []

    @property
    def at_rest(self) -> bool:
        """Whether nothing is refused, open or to be changed."""
        return not (self.refused or self.open or any(_works(result) for result in self.results.values()))

    def plan(self, name: str) -> None:
        """Plan a layer; its refusal is a result as well."""
        layer, given = LAYERS[name], self.parameters["layers"][name]
        if any(owner in self.results and owner not in self.planned for owner in waits_for(given)):
            return
        try:
            options = resolved(given, self.planned, self.distribution)
        except UnknownDistributionError:
            self.open.append(name)
            return
        result = self._carry_out(name, layer.body, layer.options, options)
        self.results[name] = result
        if not result["failed"]:
            self.planned[name] = result

    def audit(self) -> None:
        """Compare the node with its partition file, as the module rt_audit does."""
        self.results[AUDIT] = self._carry_out(AUDIT, rt_audit.run, rt_audit.OPTIONS, self.parameters["audit"])

    def _carry_out(self, name: str, body: Body, spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        captured = self.edges.host.captured
        host = Host(self.edges.host.root, check_mode=True, owner=name, captured=captured)
        shared = {key: self.parameters[key] for key in ("networks", "guests") if key in spec}
        own = {key: value for key, value in spec.items() if key not in shared}
        try:
            found = carry_out(replace(self.edges, host=host), body, {**checked(given, own), **shared})
        except RefusalError as error:
            found = self._refuse(host, name, error)
        except UNEXPECTED as error:
            found = self._refuse(host, name, HostError(f"unexpected {type(error).__name__}: {error}"))
        self.edges.host.notes += [note for note in host.notes if note not in self.edges.host.notes]
        found.pop("diff", None)  # a plan shows none
        return {"failed": False, **found, "changed": False}

    def _refuse(self, host: Host, name: str, error: RefusalError) -> dict[str, Any]:
        result = failure(host, name, error)
        self.refused.append(result["msg"])
        return {**result, "failed": True}


def _works(result: Mapping[str, Any]) -> bool:
    """Whether a layer's plan has something to do."""
    return bool(
        result.get("changes")
        or awaited_boot(result)
        or result.get("stopped_guests")
        or (not result.get("installed", True) and result.get("ports", True))
        or result.get("trial", {}).get("state") == "judging"
    )
