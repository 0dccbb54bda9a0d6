# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer at the end of a plan and of a run, in a few lines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._tables import paragraph
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import BEFORE_TEXT, few

from .document import is_unchanged
from .text import guest_lines


def summary(document: Mapping[str, Any], files: Iterable[str] = ()) -> list[str]:
    """Return what a plan comes to: what is refused, what reboots, guests, packages, and the files that hold it all."""
    nodes = document["nodes"]
    refused = [host for host, node in nodes.items() if node["refused"] or node["above_limit"] or node["lost"]]
    planned = {host: node for host, node in nodes.items() if not node["refused"] and not node["lost"]}
    guests = sum(guest["state"] != "absent" for node in planned.values() for guest in node["guests"])
    unchanged = [host for host, node in planned.items() if is_unchanged(node)]
    packages = {item["name"] for node in planned.values() for item in node["packages"]}
    rows = [
        ("refused", few(refused)),
        ("needs a reboot", few([host for host, node in planned.items() if node["reboot"]])),
        ("changes", few([host for host, node in planned.items() if not node["reboot"] and host not in unchanged])),
        ("nothing to change", few(unchanged)),
        ("guests", str(guests) if guests else ""),
        ("packages", str(len(packages)) if packages else ""),
        ("not everything is counted", few([host for host, node in planned.items() if node["at_least"]])),
        *_later(planned),
        *_left(planned),
        *(("written", path) for path in files),
    ]
    return _lines("In short", rows)


def answer(states: Mapping[str, str], document: Mapping[str, Any]) -> list[str]:
    """Return what a run has come to: the state of each node, its guests, and what is left to do; equal states share a line."""
    nodes = document["nodes"]
    found: dict[str, list[str]] = {}
    for host, text in states.items():
        found.setdefault(text, []).append(host)
    rows = [(few(hosts, BEFORE_TEXT), text) for text, hosts in found.items()]
    rows += [(f"guest {name} on {host}", f"waits for a restart ({few(parts)})") for host, name, parts in _restarts(nodes)]
    guests = guest_lines(nodes, "happened")
    return [*guests, *([""] if guests else []), *_lines("Result", [*rows, *_left(nodes)])]


def _restarts(nodes: Mapping[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(host, name, parts) for host, node in nodes.items() for name, parts in node["restart_required"].items()]


def _later(nodes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return which layers have their changes decided by those before them, so that no plan can show them all."""
    found: dict[tuple[str, ...], list[str]] = {}
    for host, node in nodes.items():
        found.setdefault(tuple(node["later"]), []).append(host)
    return [
        (f"read again after the changes on {few(hosts)}", f"{', '.join(layers)}; what they then need is not in this plan")
        for layers, hosts in found.items()
        if layers
    ]


def _left(nodes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the guests that no inventory lists any more; they are left as they are."""
    return [(f"not listed any more on {host}", few(node["unlisted"])) for host, node in nodes.items() if node["unlisted"]]


def _lines(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = [line for name, text in rows if text for line in paragraph(f"{name}: {text}")]
    return [f"== {title} ==", *lines]
