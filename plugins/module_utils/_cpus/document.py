# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition and topology as plain data: the JSON document that is kept on the node, and results of modules. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .cpulist import format_cpulist
from .masks import format_mask
from .partition import SCHEMA, SETS, Partition
from .topology import Topology


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
        **({"guest": asdict(partition.guest)} if partition.guest else {}),
    }


def describe_cpus(topology: Topology) -> dict[str, Any]:
    """Return a topology as plain data, CPU by CPU."""
    return {
        "digest": topology.digest(),
        "cpus": {
            str(number): {
                "package": cpu.package,
                "die": cpu.die,
                "cluster": cpu.cluster,
                "node": cpu.node,
                "siblings": format_cpulist(cpu.siblings),
                "l3": cpu.l3,
                "efficiency": cpu.efficiency,
            }
            for number, cpu in sorted(topology.cpus.items())
        },
        "nodes": {str(node): format_cpulist(cpus) for node, cpus in sorted(topology.nodes.items())},
        "possible": format_cpulist(topology.possible),
        "present": format_cpulist(topology.present),
        "online": format_cpulist(topology.online),
        "devices": [asdict(device) for device in topology.devices],
    }
