# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition: every CPU of a node gets exactly one job; docs/partition.md has the rules. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .answers import answering, plain
from .cpulist import format_cpulist, parse_cpulist
from .errors import RefusalError

SCHEMA = 1
SETS = ("housekeeping", "dataplane", "realtime", "shared")
#: Sets whose CPUs are free of the kernel's own work.
ISOLATED_SETS = ("dataplane", "realtime")
SMT_MODES = ("together", "single")
ISOLATION_MODES = ("boot", "runtime")
_REPAIR = "run the cpu_partition role (site playbook) to write it again"


class PartitionError(RefusalError):
    """The request does not fit this node, or contradicts itself; the message names variable, CPUs and a remedy."""


#: What idle vCPUs do.
IDLE_MODES = ("halt", "poll")


@dataclass(frozen=True)
class GuestProfile:
    """What only a guest has."""

    name: str
    idle: str = "halt"


@dataclass(frozen=True)
class Partition:
    """The four disjoint sets, plus the threads that ``smt: single`` leaves idle."""

    isolation: str
    smt: str
    topology_digest: str
    sets: Mapping[str, frozenset[int]]
    idle: frozenset[int]
    nodes: Mapping[int, frozenset[int]]  # NUMA nodes that have CPUs
    boot_cpu: int = 0
    warnings: tuple[str, ...] = ()
    guest: GuestProfile | None = None

    @property
    def housekeeping(self) -> frozenset[int]:
        """CPUs of the operating system; shared CPUs are not part of it."""
        return self.sets["housekeeping"]

    @property
    def isolated(self) -> frozenset[int]:
        """CPUs that must be free of the kernel's own work: dataplane, realtime and idle threads."""
        return self.sets["dataplane"] | self.sets["realtime"] | self.idle

    @property
    def unisolated(self) -> frozenset[int]:
        """Where ordinary work may run: housekeeping and shared CPUs."""
        return self.sets["housekeeping"] | self.sets["shared"]

    def is_same(self, other: Partition) -> bool:
        """Whether every CPU of the same machine has the same job; warnings are for people."""
        return replace(self, warnings=()) == replace(other, warnings=())

    def describe(self) -> str:
        """Return the sets and the mode in a few words, for messages."""
        sets = [f"{name} {format_cpulist(self.sets[name])}" for name in SETS if self.sets[name]]
        return f"{', '.join(sets)} (isolation {self.isolation}, smt {self.smt})"


def partition_from_document(document: Mapping[str, Any]) -> Partition:
    """Return a document's partition; ``PartitionError`` when it is damaged or has another schema."""
    with answering(lambda reason: PartitionError(f"the partition file is damaged ({reason}); {_REPAIR}")):
        _check_schema(document["schema"])
        partition = Partition(
            isolation=document["isolation"],
            smt=document["smt"],
            topology_digest=document["topology_digest"],
            sets={name: parse_cpulist(document["sets"][name]["cpus"]) for name in SETS},
            idle=parse_cpulist(document["idle"]["cpus"]),
            nodes={int(node): parse_cpulist(cpus) for node, cpus in document["numa_nodes"].items()},
            boot_cpu=document["boot_cpu"],
            warnings=tuple(document.get("warnings", ())),
            guest=GuestProfile(guest["name"], guest["idle"]) if (guest := document.get("guest")) is not None else None,
        )
        _check_document(partition)
    return partition


def _check_schema(schema: Any) -> None:
    if schema == SCHEMA:
        return
    if isinstance(schema, int) and schema > SCHEMA:
        raise PartitionError(
            f"the partition file was written by a newer release (schema {schema}, this release knows {SCHEMA}); run that release "
            "or a newer one, or undo with it first"
        )
    raise PartitionError(f"the partition file has schema {plain(repr(schema), 40)}, this collection knows {SCHEMA}; {_REPAIR}")


def _check_document(partition: Partition) -> None:
    """Raise ``ValueError`` when a partition file contradicts itself, as one edited by hand may."""
    if not all(isinstance(text, str) for text in (partition.topology_digest, *partition.warnings)):
        raise ValueError("topology_digest or a warning is no text")
    if partition.guest and not (isinstance(partition.guest.name, str) and partition.guest.idle in IDLE_MODES):
        raise ValueError(f"{partition.guest}")
    if partition.smt not in SMT_MODES or partition.isolation not in ISOLATION_MODES:
        raise ValueError(f"smt {partition.smt!r}, isolation {partition.isolation!r}")
    owned = [*partition.sets.values(), partition.idle]
    everyone: frozenset[int] = frozenset().union(*owned)
    if sum(map(len, owned)) != len(everyone):
        raise ValueError("a CPU is in two sets")
    if everyone != frozenset().union(*partition.nodes.values()):
        raise ValueError("the sets do not hold the CPUs of the NUMA nodes")
    if partition.boot_cpu not in partition.housekeeping:
        raise ValueError(f"the boot CPU {partition.boot_cpu!r} is not in housekeeping")
