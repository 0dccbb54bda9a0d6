# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition, provided that it describes the CPUs that the machine has now. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.partition import Partition, PartitionError
from .document import require_partition
from .host import Host


def require_current_partition(host: Host, topology_digest: str, given: Mapping[str, Any] | None) -> Partition:
    """Return the partition; ``PartitionError`` when it describes other CPUs than the machine has now."""
    partition = require_partition(host, given)
    if partition.topology_digest != topology_digest:
        raise PartitionError(
            "the partition document describes another topology than the node has now (CPUs were added, removed or renumbered); "
            "run the cpu_partition role (site playbook) before its guests are changed"
        )
    return partition
