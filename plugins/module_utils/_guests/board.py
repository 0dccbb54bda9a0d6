# SPDX-License-Identifier: GPL-3.0-or-later
"""The realtime CPUs and the memory of a node while guests are placed: who has what, and what is free. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._cpus.topology import Topology


class Board:
    """The realtime CPUs of a node's cores, and their users."""

    def __init__(self, partition: Partition, topology: Topology, memory: Mapping[int, int] | None) -> None:
        self.partition = partition
        self.realtime = partition.sets["realtime"]
        self.topology = topology
        self.owner: dict[int, str] = {}
        self.memory = dict(memory) if memory is not None else None
        #: the most realtime threads of a core
        self.width = max((len(core & self.realtime) for core in topology.cores), default=1) or 1

    def cores(self, node: int) -> list[frozenset[int]]:
        """Return the realtime threads of each core of a NUMA node, in CPU order."""
        members = self.partition.nodes.get(node, frozenset())
        cores = [core & self.realtime & members for core in self.topology.cores]
        return sorted((core for core in cores if core), key=min)

    def free_cores(self, node: int) -> list[frozenset[int]]:
        return [core for core in self.cores(node) if not any(cpu in self.owner for cpu in core)]

    def usable_cores(self, name: str, node: int) -> list[list[int]]:
        """Return the cores that ``name`` alone uses, then those that are free."""
        own = [core for core in self.cores(node) if {self.owner[cpu] for cpu in core if cpu in self.owner} == {name}]
        return [sorted(core) for core in [*own, *self.free_cores(node)]]

    def take(self, name: str, cpus: Iterable[int]) -> None:
        for cpu in cpus:
            self.owner[cpu] = name

    def take_memory(self, memory: Mapping[int, int], *, back: bool = False) -> None:
        if self.memory is not None:
            for node, mib in memory.items():
                self.memory[node] = self.memory.get(node, 0) + (mib if back else -mib)

    def describe(self) -> str:
        """Return the users of CPUs and memory as text, by NUMA node."""
        parts = []
        for node in sorted(self.partition.nodes):
            cores = self.cores(node)
            if not cores:
                continue
            free = sorted(cpu for core in self.free_cores(node) for cpu in core)
            users: dict[str, list[int]] = {}
            for core in cores:
                for cpu in core:
                    if cpu in self.owner:
                        users.setdefault(self.owner[cpu], []).append(cpu)
            taken = ", ".join(f"{name} has {format_cpulist(cpus)}" for name, cpus in sorted(users.items()))
            memory = ""
            if self.memory is not None:
                memory = f", {max(self.memory[node], 0)} MiB of memory" if node in self.memory else ", no memory"
            parts.append(
                f"node {node}: {len(free)} of {sum(map(len, cores))} free "
                f"({format_cpulist(free) or 'none'}{memory}){'; ' if taken else ''}{taken}"
            )
        return " | ".join(parts) or "this node has no realtime CPUs at all"
