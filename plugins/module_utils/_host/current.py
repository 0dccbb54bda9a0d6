# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition, provided that it describes the CPUs that the machine has now. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.partition import Partition, PartitionError
from .._cpus.topology import Topology
from .document import require_partition
from .host import Host
from .sysfs import read_topology


def check_current(partition: Partition, topology: Topology) -> None:
    """Raise ``PartitionError`` when a partition describes other CPUs than the machine has now."""
    if partition.topology_digest != topology.digest():
        raise PartitionError(
            "the partition file describes another topology than the node has now (CPUs were added, removed, renumbered or "
            "are off); nothing is changed by it. Restore the CPUs, or run the cpu_partition role (site playbook), which plans again"
        )


def require_current_partition(host: Host, given: Mapping[str, Any] | None) -> tuple[Partition, Topology]:
    """Return the partition and the machine's topology; ``PartitionError`` when they do not agree."""
    partition, topology = require_partition(host, given), read_topology(host)
    check_current(partition, topology)
    return partition, topology
