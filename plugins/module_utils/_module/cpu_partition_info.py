# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition_info: a node's CPUs, and how the node differs from its partition file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .._audit.drift import partition_drift
from .._audit.findings import finding_lines, in_order
from .._cpus.cpulist import format_cpulist
from .._cpus.document import to_document
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._host.document import read_partition
from .._host.host import Host
from .._host.kernel import read_kernel
from .._host.sysfs import read_topology
from .._host.threads import realtime_guests
from .._interrupts.interrupts import stuck_interrupts
from .._latency.smi import read_smi_count
from .._tables import plan_table
from ._common import Edges, Outcome


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Read and return the node; plans nothing."""
    del parameters
    host = edges.host
    topology = read_topology(host)
    partition = read_partition(host)
    drift = in_order(partition_drift(host, topology, partition))
    results = {
        **describe_node(host, topology, partition),
        "drift": [finding.to_dict() for finding in drift],
        "drift_table": finding_lines(drift) or ["the machine agrees with its partition file"],
    }
    return Outcome(results)


def describe_node(host: Host, topology: Topology | None, partition: Partition | None) -> dict[str, Any]:
    """Return the results for every node beside its differences; ``topology`` None: it could not be read."""
    kernel = read_kernel(host)
    return {
        "topology": describe_topology(topology) if topology else {},
        "partition": to_document(partition) if partition else {},
        "table": plan_table(partition, topology) if partition and topology else [],
        "kernel": {
            "release": kernel.release,
            "realtime": kernel.realtime,
            "cmdline": " ".join(kernel.cmdline),
            "isolated": format_cpulist(kernel.isolated),
            "nohz_full": format_cpulist(kernel.nohz_full),
        },
        "managed_interrupts": stuck_interrupts(host, partition) if partition else [],
        "realtime_guests": realtime_guests(host),
        "smi": read_smi_count(host),
    }


def describe_topology(topology: Topology) -> dict[str, Any]:
    """Return a topology as plain data."""
    return {
        "digest": topology.digest(),
        "online": format_cpulist(topology.online),
        "offline": format_cpulist(topology.offline),
        "boot_cpu": topology.boot_cpu,
        "threads_per_core": topology.threads_per_core,
        "nodes": {str(node): format_cpulist(cpus) for node, cpus in sorted(topology.nodes.items())},
        "cores": [format_cpulist(core) for core in topology.cores],
        "efficiency": format_cpulist(cpu.number for cpu in topology.cpus.values() if cpu.efficiency),
        "devices": [asdict(device) for device in topology.devices],
    }
