# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which compute service of the cloud is which node of the inventory. Pure.

Names are those of the inventory, never what a node answers: a node could name another one's service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .errors import CloudError
from .wanted import Node


def find_host(node: Node, known: Iterable[str]) -> str:
    """Return the node's name in the cloud, empty where the cloud has none.

    ``nova_compute_host`` counts alone where it is given. Otherwise it is the inventory's name, its first label, or the only fully qualified
    name that begins with it.
    """
    hosts = list(known)
    if node.compute_host:
        return node.compute_host if node.compute_host in hosts else ""
    if node.name in hosts:
        return node.name
    short = node.name.partition(".")[0]
    if "." in node.name:
        return short if short in hosts else ""
    longer = [host for host in hosts if host.startswith(f"{short}.")]
    return longer[0] if len(longer) == 1 else ""


def find_hosts(nodes: Sequence[Node], known: Iterable[str]) -> dict[str, str]:
    """Return node to compute host, an empty text where the cloud has none; two nodes of one host are refused."""
    hosts = list(known)
    found = {node.name: find_host(node, hosts) for node in nodes}
    owners: dict[str, str] = {}
    for node, host in found.items():
        if host and owners.setdefault(host, node) != node:
            raise CloudError(
                f"{owners[host]} and {node} are both taken for the cloud's host {host}; set nova_compute_host of each"
            )
    return found


def unknown_hosts(found: Mapping[str, str]) -> list[str]:
    """Return the nodes that the cloud does not know."""
    return [node for node, host in found.items() if not host]
