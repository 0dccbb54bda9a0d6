# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a fleet as plain data, from the results of the modules in check mode. Pure.

Text, JSON and page show this document. A node whose results cannot be used is refused; it never hides the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import awaited_boot
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE, plain, printed, reason_of
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_or_empty
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import SETS
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import DISRUPTIONS
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import natural

from .changes import Results, collect_changes, disruptions_above, worst_of
from .due import due_layers, later_layers
from .remarks import remarks_of

FORMAT = 1
#: Bounds of what one node's answer puts into the document: items of a list, characters of a word and of a text of several lines.
MOST, MOST_WORD, MOST_TEXT = 5000, 1000, 10_000
_PACKAGE = "package:"
#: No guest has more vCPUs, no machine a higher NUMA node or more MiB.
_VCPUS, _NODES, _MIB = 4096, 1 << 16, 1 << 40


@dataclass(frozen=True)
class Node:
    """What the plan of a node is made from."""

    results: Results
    packages: Sequence[Mapping[str, Any]] = ()
    refused: Sequence[str] = ()
    #: Why it takes no part: it cannot be reached, or a task failed.
    lost: str = ""
    limit: str = DISRUPTIONS[-1]
    #: Whether one look has planned it, after which the roles of layers with work run.
    looked: bool = False


@dataclass(frozen=True)
class Fleet:
    """The input of a plan."""

    nodes: Mapping[str, Node] = field(default_factory=dict)
    generated: str = ""
    title: str = "Plan"


def plan_document(fleet: Fleet) -> dict[str, Any]:
    """Return the plan as plain data."""
    nodes = {host: node_plan(fleet.nodes[host]) for host in sorted(fleet.nodes, key=natural)}
    worst = worst_of([node["disruption"] for node in nodes.values()])
    return {
        "format": FORMAT,
        "generated": fleet.generated,
        "title": fleet.title,
        "disruption": worst,
        "at_least": worst != DISRUPTIONS[-1] and any(node["at_least"] for node in nodes.values()),
        "nodes": nodes,
    }


def node_plan(node: Node) -> dict[str, Any]:
    """Return the plan of one node as plain data."""
    refused = [printed(str(text))[:MOST_TEXT] for text in dict.fromkeys(node.refused)]
    limit = node.limit
    if limit not in DISRUPTIONS:
        choices = ", ".join(DISRUPTIONS)
        refused.append(f"realtime_max_disruption: {word(repr(limit))} is not a disruption class; choose one of {choices}")
        limit = DISRUPTIONS[-1]
    try:
        found = _read(node, limit)
    except UNREADABLE as error:
        found = _read(Node({}), limit)
        refused.append(f"its results cannot be used ({reason_of(error)})")
    whole = not (refused or node.lost or found["not_counted"])
    return {
        **found,
        "refused": refused,
        "lost": word(node.lost),
        "at_least": not whole and found["disruption"] != DISRUPTIONS[-1],
    }


def _read(node: Node, limit: str) -> dict[str, Any]:
    results = node.results
    changes = [_change(change) for change in collect_changes(results)]
    guests = sorted(_guests(results, changes), key=lambda guest: natural(guest["name"]))
    partition = results.get("partition", {})
    return {
        "disruption": worst_of([change["disruption"] for change in changes]),
        "not_counted": list(
            dict.fromkeys(word(text) for result in results.values() for text in (result.get("not_counted") or [])[:MOST])
        ),
        "limit": limit,
        "above_limit": disruptions_above(results, limit),
        "reboot": awaited_boot(results.get("kernel", {})) is not None,
        "changes": changes[:MOST],
        "more_changes": max(len(changes) - MOST, 0),
        "deferred": [layer for layer, result in results.items() if result.get("deferred")],
        "table": [word(line) for line in [*partition.get("table", []), *partition.get("cache", [])][:MOST]],
        "sets": _sets(partition.get("partition") or {}),
        "hugepages": [_pages(row) for row in results.get("host", {}).get("hugepages", [])[:MOST]],
        "guests": guests,
        "unlisted": [word(name) for name in results.get("guests", {}).get("unlisted") or []][:MOST],
        "restart_required": {
            word(name): [word(part) for part in parts]
            for name, parts in (results.get("guests", {}).get("restart_required") or {}).items()
        },
        "packages": [*_packages(node.packages), *_updates(changes)],
        "kernel_arguments": [_words(item, "token", "reason") for item in results.get("kernel", {}).get("arguments", [])[:MOST]],
        "policies": [
            _words(item, "variable", "value", "before", "protects", "costs")
            for result in results.values()
            for item in result.get("policies", [])[:MOST]
        ],
        "remarks": [_words(item, *item) for item in remarks_of(results, guests)][:MOST],
        "stopped_guests": [word(name) for name in results.get("kernel", {}).get("stopped_guests") or []][:MOST],
        "due": due_layers(results, node.packages),
        "later": later_layers(results, node.packages) if node.looked else [],
    }


def is_unchanged(node: Mapping[str, Any]) -> bool:
    """Whether nothing is left to do on a node: nothing to change, install, boot or start, and nothing that the plan could not count."""
    return not any((node["refused"], node["lost"], node["changes"], node["packages"], node["due"], node["not_counted"]))


def word(value: Any) -> str:
    """Return a value of an answer as a printable text of one line."""
    return plain("" if value is None else str(value), MOST_WORD)


def _words(item: Mapping[str, Any], *keys: str) -> dict[str, str]:
    return {key: word(item[key]) for key in keys}


def _change(change: Mapping[str, Any]) -> dict[str, Any]:
    if change["disruption"] not in DISRUPTIONS:
        raise ValueError(f"{plain(repr(change['disruption']), 40)} is no disruption class")
    sides = {key: None if change[key] is None else printed(str(change[key])[:MOST_TEXT]) for key in ("before", "after")}
    return {
        "disruption": change["disruption"],
        "resource": word(change["resource"]),
        **sides,
        "reason": word(change.get("reason", "")),
    }


def _sets(partition: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    if not partition:
        return {}
    texts = {name: partition["sets"][name]["cpus"] for name in SETS}
    nodes = {str(int(node)): parse_or_empty(cpus) for node, cpus in partition["numa_nodes"].items()}
    found = {}
    for name, text in {**texts, "idle": partition["idle"]["cpus"]}.items():
        cpus = parse_or_empty(text)
        by_node = {node: format_cpulist(cpus & members) for node, members in nodes.items() if cpus & members}
        found[name] = {"cpus": format_cpulist(cpus), "count": len(cpus), "nodes": by_node}
    return found


def _pages(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "node": _number(row["node"], _NODES),
        "size": word(row["size"]),
        **{key: _number(row[key], _MIB) for key in ("wanted", "have")},
        "users": {word(user): _number(pages, _MIB) for user, pages in row["users"].items()},
    }


# -- packages --------------------------------------------------------------------------------------


def _packages(planned: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the planned packages by name; roles that need the same ones plan them each."""
    rows = {word(item["name"]): _words(item, "name", "before", "after") for item in planned[:MOST]}
    return [rows[name] for name in sorted(rows, key=natural)]


def _updates(changes: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for change in changes[:MOST]:
        if change["resource"].startswith(_PACKAGE):
            yield {"name": change["resource"][len(_PACKAGE) :], "before": change["before"] or "", "after": change["after"] or ""}


# -- guests ----------------------------------------------------------------------------------------


def _guests(results: Results, changes: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the guests of a node, then those that go."""
    happens: dict[str, list[Mapping[str, Any]]] = {}
    for change in changes:
        if change["resource"].startswith("domain "):
            happens.setdefault(change["resource"][len("domain ") :].partition(": ")[0], []).append(change)
    ports: dict[str, list[Mapping[str, Any]]] = {}
    for port in results.get("switch", {}).get("ports") or []:
        ports.setdefault(str(port["guest"]), []).append(port)
    listed = set()
    for domain in results.get("guests", {}).get("domains", [])[:MOST]:
        listed.add(str(domain["name"]))
        yield _guest(domain, ports.get(str(domain["name"]), []), happens.get(word(domain["name"]), []))
    for name, found in happens.items():
        if name not in listed:
            yield {**_NO_GUEST, "name": name, **_happening(found)}


_NO_GUEST: dict[str, Any] = {
    "state": "absent", "realtime": False, "vcpus": {}, "vcpu_count": 0, "realtime_vcpus": "", "floating": "", "emulator": "", "vhost": "", "numa_nodes": [],
    "memory_mib": 0, "hugepages": "none", "pages": {}, "ports": [],
}  # fmt: skip


def _guest(domain: Mapping[str, Any], ports: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    size = str(domain.get("hugepages", "none"))
    page = PAGE_MIB.get(size, 0)
    by_network = {str(port["network"]): port for port in ports}
    return {
        "name": word(domain["name"]),
        "state": word(domain["state"]),
        "realtime": bool(domain["realtime"]),
        "vcpus": {str(_number(vcpu, _VCPUS)): format_cpulist(parse_or_empty(cpus)) for vcpu, cpus in domain["vcpus"].items()},
        "vcpu_count": _number(domain.get("vcpu_count", len(domain["vcpus"])), _VCPUS),
        "realtime_vcpus": format_cpulist(parse_or_empty(str(domain.get("realtime_vcpus", "")))),
        "floating": format_cpulist(parse_or_empty(domain["floating"])),
        "emulator": format_cpulist(parse_or_empty(domain["emulator"])),
        "vhost": format_cpulist(parse_or_empty(str(domain.get("vhost", "")))),
        "numa_nodes": [_number(node, _NODES) for node in domain["nodes"]],
        "memory_mib": _number(domain["memory_mib"], _MIB),
        "hugepages": word(size),
        "pages": {
            str(_number(node, _NODES)): _number(mib, _MIB) // page for node, mib in (domain.get("memory_by_node") or {}).items()
        }
        if page
        else {},
        "ports": [_port(str(network), word(mac), by_network.get(str(network))) for network, mac in domain["macs"].items()],
        **_happening(changes),
    }


def _number(value: Any, most: int) -> int:
    number = int(value)
    if not 0 <= number <= most:
        raise ValueError(f"{plain(str(value), 40)} is not in 0-{most}")
    return number


def _port(network: str, mac: str, port: Mapping[str, Any] | None) -> dict[str, str]:
    found = {"network": word(network), "mac": mac, "port": "", "bridge": "", "polled_by": ""}
    if port:
        queues = {int(cpu) for cpu in (port.get("affinity") or {}).values()}
        found.update(port=word(port["name"]), bridge=word(port["bridge"]), polled_by=format_cpulist(queues))
    return found


def _happening(changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    words = dict.fromkeys(_what(change) for change in changes)
    new = "new" in words  # says that everything of it changes
    return {
        "happens": [word for word in words if not (new and word == "changes")],
        "disruption": worst_of([change["disruption"] for change in changes]),
    }


def _what(change: Mapping[str, Any]) -> str:
    """Return in a word what a change does to its guest."""
    aspect = change["resource"].partition(": ")[2]
    if not aspect:
        return "new" if change["before"] is None else "removed" if change["after"] is None else "redefined"
    if aspect == "state":
        return "starts" if change["after"] == "running" else "stops"
    if aspect == "restart":
        return "restarts"
    return "moves" if aspect.endswith(" cpus") else "changes"
