# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition file on the node. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.answers import AnswerError, decode
from .._cpus.partition import Partition, PartitionError, partition_from_document
from .host import Host
from .paths import DOCUMENT


def read_partition(host: Host) -> Partition | None:
    """Return the node's partition, None without a partition file."""
    text = host.read(DOCUMENT)
    if text is None:
        return None
    try:
        return partition_from_document(decode(text))
    except AnswerError as error:
        raise PartitionError(f"{DOCUMENT}: it is damaged ({error}); run the cpu_partition role to write it again") from None
    except PartitionError as error:
        raise PartitionError(f"{DOCUMENT}: {error}") from None


def require_partition(host: Host, given: Mapping[str, Any] | None) -> Partition:
    """Return the given partition, else the node's; ``PartitionError`` without either."""
    if given:
        return partition_from_document(given)
    partition = read_partition(host)
    if partition is None:
        raise PartitionError(
            f"there is no partition on this node ({DOCUMENT} is missing); run the cpu_partition role first, or pass partition"
        )
    return partition
