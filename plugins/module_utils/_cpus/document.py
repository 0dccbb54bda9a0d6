# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition as the JSON document that is kept on the node. Pure."""

from __future__ import annotations

from typing import Any

from .cpulist import format_cpulist
from .masks import format_mask
from .partition import SCHEMA, SETS, Partition


def to_document(partition: Partition) -> dict[str, Any]:
    """Return the JSON document that is kept on the node."""

    def describe(cpus: frozenset[int]) -> dict[str, Any]:
        nodes = {str(node): format_cpulist(cpus & members) for node, members in sorted(partition.nodes.items())}
        return {"cpus": format_cpulist(cpus), "mask": format_mask(cpus), "nodes": {k: v for k, v in nodes.items() if v}}

    return {
        "schema": SCHEMA,
        "isolation": partition.isolation,
        "smt": partition.smt,
        "topology_digest": partition.topology_digest,
        "boot_cpu": partition.boot_cpu,
        "sets": {name: describe(partition.sets[name]) for name in SETS},
        "isolated": describe(partition.isolated),
        "idle": {"cpus": format_cpulist(partition.idle)},
        "numa_nodes": {str(node): format_cpulist(cpus) for node, cpus in sorted(partition.nodes.items())},
        "warnings": list(partition.warnings),
    }
