# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition file on the node. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.answers import AnswerError, decode
from .._cpus.partition import Partition, PartitionError, partition_from_document
from .host import Host
from .paths import DOCUMENT

_AGAIN = "Run the site playbook again, without --tags or with cpu_partition among them"


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
    """Return the given partition, else the node's; ``PartitionError`` without either.

    A plan in check mode may be ahead of the document. What changes the node must have the document's partition, else parts
    of the node belong to different partitions: another run may have changed it, or cpu_partition is left out of this one.
    """
    if given and host.dry:
        return partition_from_document(given)
    wanted = partition_from_document(given) if given else None
    partition = read_partition(host)
    if partition is None:
        raise PartitionError(
            f"there is no partition on this node ({DOCUMENT} is missing); "
            + (f"the given one is not applied. {_AGAIN}" if wanted else "run the cpu_partition role first, or pass partition")
        )
    if wanted and not wanted.is_same(partition):
        other = " of another topology" * (wanted.describe() == partition.describe())
        raise PartitionError(
            f"partition: it is {wanted.describe()}, but the document on the node ({DOCUMENT}) says {partition.describe()}{other}: another run "
            f"has changed it meanwhile, or cpu_partition has not run since its variables were changed. {_AGAIN}"
        )
    return partition
