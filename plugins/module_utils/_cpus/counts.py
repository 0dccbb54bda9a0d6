# SPDX-License-Identifier: GPL-3.0-or-later
"""Cores per NUMA node, as an inventory requests them: one number for every node, or a number by node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Union

from .answers import plain
from .cpulist import format_cpulist
from .partition import PartitionError

#: One number of cores for every NUMA node, or a number by node; nodes that are not named have the least number.
Counts = Union[int, Mapping[int, int]]

#: No machine has so many cores or nodes; a longer number is no number of them.
_DIGITS = 5


def parse_counts(variable: str, value: Any) -> Counts:
    """Return the counts that a variable gives; ``PartitionError`` names the variable and what would work.

    YAML and JSON may make text of numbers, and JSON does so with the keys of a mapping.
    """
    if isinstance(value, Mapping):
        if not value:
            raise PartitionError(
                f"{variable}: the mapping is empty; name NUMA nodes ({{0: 2, 1: 1}}), or give one number for all"
            )
        counts: dict[int, int] = {}
        for key, cores in value.items():
            node = _number(key)
            if node is None or node < 0:
                raise PartitionError(
                    f"{variable}: {_shown(key)} is not a NUMA node; name nodes by number, such as {{0: 2, 1: 1}}"
                )
            if node in counts:
                raise PartitionError(f"{variable}: NUMA node {node} is named twice")
            counts[node] = _cores(f"{variable}: NUMA node {node}", cores, "is not a number of cores")
        return counts
    return _cores(variable, value, "is neither a number of cores nor a number by NUMA node, such as {0: 2, 1: 1}")


def _cores(where: str, value: Any, wrong: str) -> int:
    number = _number(value)
    if number is None:
        raise PartitionError(f"{where}: {_shown(value)} {wrong}")
    if number < 0:
        raise PartitionError(f"{where}: {number} is negative; give a number of cores from 0 on")
    return number


def _number(value: Any) -> int | None:
    text = str(value).strip()
    digits = text.removeprefix("-")
    fine = isinstance(value, (int, str)) and not isinstance(value, bool) and digits.isascii() and digits.isdecimal()
    return int(text) if fine and len(digits) <= _DIGITS else None


def _shown(value: Any) -> str:
    return plain(repr(value), 80)


def on_node(counts: Counts, node: int, least: int) -> int:
    """Return how many cores a NUMA node gives; ``least`` where a mapping does not name it."""
    return counts if isinstance(counts, int) else counts.get(node, least)


def check_counts(variable: str, counts: Counts, least: int, nodes: Iterable[int], barren: Iterable[int] = ()) -> None:
    """Refuse counts below ``least``, nodes that the machine lacks, and cores of ``barren`` nodes, which have no memory."""
    if isinstance(counts, int):
        if counts < least:
            raise PartitionError(f"{variable}: {_too_few(counts, least)}")
        return
    known, lacking = set(nodes), set(barren)
    for node, cores in sorted(counts.items()):
        if node not in known:
            raise PartitionError(
                f"{variable}: there is no NUMA node {node} with CPUs on this machine; its nodes are {format_cpulist(known)}"
            )
        if cores < least:
            raise PartitionError(f"{variable}: NUMA node {node}: {_too_few(cores, least)}")
        if cores and node in lacking:
            raise PartitionError(
                f"{variable}: NUMA node {node} has CPUs and no memory, so its CPUs are housekeeping unless cpu_partition_cpus names them; "
                f"leave node {node} out, or fit memory there"
            )


def _too_few(cores: int, least: int) -> str:
    if least:
        return "at least 1 is needed; interrupts, emulator threads and the kernel itself run on housekeeping CPUs"
    return f"{cores} is not a number of cores; use 0 for no cores"
