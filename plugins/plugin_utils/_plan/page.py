# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a fleet as one HTML page, in the style of the report. Pure but for its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._host.change import DISRUPTIONS
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import when

from .changes import families, worst_first
from .document import is_unchanged
from .text import cpu_runs, deferred_text, happening, memory, package_counts, page_rows, ports

#: Symbol and words for the disruption classes, and for a node without any change; colour is never the only mark.
CLASSES = {
    "nothing": ("✔", "nothing to change"),
    "none": ("○", "not noticeable"),
    "stall": ("◐", "a brief stall of some CPU or NIC"),
    "guest": ("▲", "a real-time guest restarts"),
    "reboot": ("⟳", "the node reboots"),
    "refused": ("✖", "refused"),
}


def plan_page(document: Mapping[str, Any], maps: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the page; ``maps`` has the drawings of the nodes' CPUs."""
    nodes = [_node(number, host, node, maps.get(host, ())) for number, (host, node) in enumerate(document["nodes"].items())]
    view = {
        "title": document["title"],
        "generated": when(document["generated"]),
        "disruption": document["disruption"],
        "at_least": document["at_least"],
        "classes": CLASSES,
        "nodes": nodes,
        "ids": {node["host"]: node["id"] for node in nodes},
        "guests": [guest for node in nodes for guest in node["guests"]],
        "packages": _packages(nodes),
        "remarks": _remarks(document["nodes"]),
        "totals": _totals(nodes),
        "open": len(nodes) <= 4,
    }
    return render("plan.html.j2", view)


def _node(number: int, host: str, node: Mapping[str, Any], sockets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    state = "refused" if node["refused"] or node["lost"] else "nothing" if is_unchanged(node) else node["disruption"]
    return {
        **node,
        "id": f"node-{number}",
        "host": host,
        "state": state,
        "rank": DISRUPTIONS.index(state) if state in DISRUPTIONS else -1 if state == "nothing" else len(DISRUPTIONS),
        "count": len(node["changes"]) + node["more_changes"],
        "changes": [{**change, "times": times} for change, times in families(worst_first(node["changes"]))],
        "package_counts": package_counts(node["packages"]),
        "page_rows": page_rows(node),
        "deferred": deferred_text(node),
        "guests": [_guest(host, guest) for guest in node["guests"]],
        "sockets": sockets,
    }


def _guest(host: str, guest: Mapping[str, Any]) -> dict[str, Any]:
    texts = {"happens": happening(guest), "runs": cpu_runs(guest), "memory": memory(guest), "ports": ports(guest)}
    return {**guest, "host": host, **texts, "port_names": ", ".join(port["port"] for port in guest["ports"] if port["port"])}


def _packages(nodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lists of packages, each with the nodes that have it."""
    found: dict[str, dict[str, Any]] = {}
    for node in nodes:
        if node["packages"]:
            entry = {"hosts": [], "packages": node["packages"], "counts": node["package_counts"]}
            found.setdefault(str(node["packages"]), entry)["hosts"].append(node["host"])
    return list(found.values())


def _remarks(nodes: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: dict[tuple[str, ...], list[str]] = {}
    keys = ("place", "text", "remedy", "source")
    for host, node in nodes.items():
        for item in node["remarks"]:
            found.setdefault(tuple(item[key] for key in keys), []).append(host)
    return [{**dict(zip(keys, key)), "hosts": hosts} for key, hosts in found.items()]


def _totals(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "states": {state: sum(node["state"] == state for node in nodes) for state in CLASSES},
        "at_least": sum(node["at_least"] and node["state"] != "refused" for node in nodes),
        "open_ends": sum(bool(node["not_counted"]) for node in nodes),
        "reboots": sum(node["reboot"] for node in nodes),
        "guests": sum(guest["state"] != "absent" for node in nodes for guest in node["guests"]),
        "touched": sum(bool(guest["happens"] != "nothing") for node in nodes for guest in node["guests"]),
        "packages": len({item["name"] for node in nodes for item in node["packages"]}),
        "installing": sum(bool(node["packages"]) for node in nodes),
        "unlisted": sum(len(node["unlisted"]) for node in nodes),
    }
