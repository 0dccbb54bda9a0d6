# SPDX-License-Identifier: GPL-3.0-or-later
"""The NUMA cells of a guest, and the NUMA nodes of the host that their memory comes from. Pure.

A cell may have its own nodes, by a ``memnode`` of numatune; these decide in place of the guest's own (libvirt, numa_conf.c,
virDomainNumatuneGetNodeset). libvirt accepts a ``memnode`` that contradicts ``memory``, or where the vCPUs are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cell:
    """One NUMA cell that a guest is shown."""

    vcpus: frozenset[int]
    memory_mib: int
    nodes: tuple[int, ...] = ()  # of its memory; empty: those of the guest


def follow(cells: Mapping[int, Cell], nodes: Iterable[int], homes: Mapping[int, int]) -> dict[int, Cell]:
    """Return the cells of a guest whose memory is on ``nodes``; ``homes`` are the NUMA nodes of its pinned vCPUs.

    A cell with its own nodes gets those of its vCPUs, so that each cell of a spread guest stays beside them; where the guest
    has no memory there, it gets all of the guest's nodes. One whose vCPUs float keeps its own, if the guest has memory there.
    """
    found = {}
    for number, cell in cells.items():
        near = {homes[vcpu] for vcpu in cell.vcpus if vcpu in homes}
        kept = cell.nodes if not near and set(cell.nodes) <= set(nodes) else ()
        allowed = tuple(node for node in nodes if node in near) or kept or tuple(nodes)
        found[number] = replace(cell, nodes=allowed if cell.nodes else ())
    return found


def memory_by_node(nodes: tuple[int, ...], cells: Mapping[int, Cell], memory_mib: int, page_mib: int = 1) -> dict[int, int]:
    """Return how much of a guest's memory each node gives: of each cell, and of the rest, equal parts in whole pages."""
    bound = [(cell.memory_mib, cell.nodes) for cell in cells.values() if cell.nodes]
    rest = memory_mib - sum(mib for mib, _nodes in bound)
    found: dict[int, int] = {}
    for mib, of in [(max(rest, 0), nodes), *bound]:
        share = mib // page_mib // len(of) * page_mib if of else 0
        for node in of:
            found[node] = found.get(node, 0) + (mib - share * (len(of) - 1) if node == of[0] else share)
    return found
