# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NUMA nodes and pages that Nova gives an instance of a flavor, and which of them no host can give. Pure.

Sources: nova 31, ``nova/virt/hardware.py``: ``numa_get_constraints`` (an instance of another form is refused when it is made),
``numa_fit_instance_to_host`` (a cell takes a whole number of pages, and has no more ordinary vCPUs than its host's node has shared CPUs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, permutations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted, plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB

from .errors import SpecError

_PAGE = "hw:mem_page_size"
#: oslo.utils, ``strutils.string_to_bytes``: a large K, and the unit must be there.
_UNITS = re.compile(r"(\d+)([KMGT]?)i?(b|bit|B)")
_POWER = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_ENOUGH = "set large, 2048 or 1048576 (KiB)"


@dataclass(frozen=True)
class Cell:
    """A NUMA node of an instance: its vCPUs, and its memory in MiB."""

    vcpus: frozenset[int]
    memory: int


def page_kib(value: str) -> int:
    """Return a page size in KiB, 0 for one of the words large, small and any; ``SpecError`` for what Nova takes and refuses each instance with."""
    if value in ("large", "small", "any"):
        return 0
    if value.isdigit():
        return int(value)
    match = _UNITS.fullmatch(value)
    if not match:
        raise SpecError(f"{_PAGE} {plain(value, 40)!r} is no size for Nova; {_ENOUGH}")
    size: int = int(match[1]) * 1024 ** _POWER[match[2]]
    return (size if match[3] == "B" else size // 8) // 1024


def check_pages(specs: Mapping[str, str], *, realtime: bool, vhost_user: bool) -> None:
    """Refuse pages with which a real-time instance faults, or a vhost-user port carries nothing."""
    value = specs.get(_PAGE, "")
    size = page_kib(value) if value else 0
    if not realtime and not vhost_user:
        return
    if not value:
        why = (
            "so an instance's memory is not shared with the switch, and its vhost-user ports carry nothing"
            if vhost_user
            else "so a real-time instance has small pages"
        )
        raise SpecError(f"{_PAGE} is not given, {why}; {_ENOUGH}")
    if value == "large":
        return
    huge = {mib * 1024: name for name, mib in PAGE_MIB.items()}
    if size and size > 4 and size not in huge:
        raise SpecError(f"{_PAGE}={value} is no size of huge pages of the hosts ({', '.join(huge.values())}); {_ENOUGH}")
    if size not in huge:  # "any" takes small pages where they are first
        who = "a real-time instance small pages" if realtime else "an instance small pages, which the switch cannot map"
        raise SpecError(f"{_PAGE}={value} may give {who}; {_ENOUGH}")


def cells_of(specs: Mapping[str, str], vcpus: int, memory: int) -> list[Cell]:
    """Return the cells that Nova makes, none where the instance has no NUMA topology; ``memory`` is in MiB."""
    nodes = int(specs.get("hw:numa_nodes", "0"))
    pinned = specs.get("hw:cpu_policy") in ("dedicated", "mixed")
    lists, memories = _numbered(specs, "hw:numa_cpus"), _numbered(specs, "hw:numa_mem")
    if not nodes and not specs.get(_PAGE) and not pinned:
        return []
    nodes = nodes or 1
    if lists or memories:
        return _given(lists, memories, nodes, vcpus, memory)
    if vcpus % nodes or memory % nodes:
        raise SpecError(
            f"hw:numa_nodes={nodes}: Nova parts {vcpus} vCPUs and {memory} MiB evenly over the nodes, which these are no multiple of; choose multiples of "
            f"{nodes}, or give hw:numa_cpus and hw:numa_mem of each node"
        )
    number = vcpus // nodes
    return [Cell(frozenset(range(node * number, (node + 1) * number)), memory // nodes) for node in range(nodes)]


def _numbered(specs: Mapping[str, str], name: str) -> dict[int, str]:
    return {int(key.rpartition(".")[2]): value for key, value in specs.items() if key.startswith(f"{name}.")}


def _given(lists: Mapping[int, str], memories: Mapping[int, str], nodes: int, vcpus: int, memory: int) -> list[Cell]:
    if set(lists) != set(range(nodes)) or set(memories) != set(range(nodes)):
        wanted = ", ".join(f"hw:numa_cpus.{node} and hw:numa_mem.{node}" for node in range(min(nodes, 4)))
        raise SpecError(
            f"hw:numa_cpus and hw:numa_mem: Nova takes both of {'the one node' if nodes == 1 else f'all {nodes} nodes'} of hw:numa_nodes, or none: {wanted}"
        )
    try:
        cells = [Cell(frozenset(parse_cpulist(lists[node])), int(memories[node])) for node in range(nodes)]
    except CpuListError as error:
        raise SpecError(f"hw:numa_cpus: {error}") from None
    listed = [vcpu for cell in cells for vcpu in cell.vcpus]
    if sorted(listed) != list(range(vcpus)):
        raise SpecError(
            f"hw:numa_cpus name vCPUs {format_cpulist(listed) or 'none'}, but each of {format_cpulist(range(vcpus))} must be in one node, once"
        )
    total = sum(cell.memory for cell in cells)
    if memory and total != memory:
        raise SpecError(f"hw:numa_mem are {total} MiB together, but the flavor has {memory} MiB; make them equal")
    return cells


def check_cells(specs: Mapping[str, str], vcpus: int, memory: int) -> None:
    """Refuse what Nova refuses for each instance, and a node's memory that is no whole number of pages, which no host can ever give."""
    cells = cells_of(specs, vcpus, memory)
    value = specs.get(_PAGE, "")
    size = page_kib(value) if value else 0
    if value == "large":
        size = min(PAGE_MIB.values()) * 1024
    for cell in cells:
        if size and cell.memory * 1024 % size:
            page, nodes = max(size // 1024, 1), len(cells)
            up = -(-memory // (page * nodes)) * page * nodes
            raise SpecError(
                f"memory_mib {memory} on {counted(nodes, 'NUMA node')}: {cell.memory} MiB of one is no multiple of the pages "
                f"({_PAGE}={value}), so no host can ever take it; choose {up}"
            )


@dataclass(frozen=True)
class Need:
    """Host CPUs on one NUMA node: for ordinary vCPUs (of cpu_shared_set) and for pinned ones (of cpu_dedicated_set); also what a host has there."""

    ordinary: int
    pinned: int

    def fits(self, room: Need) -> bool:
        """Whether a NUMA node with this room can take it."""
        return self.ordinary <= room.ordinary and self.pinned <= room.pinned


def needs(specs: Mapping[str, str], vcpus: int, memory: int, pinned: frozenset[int]) -> list[Need]:
    """Return what each cell of an instance needs; ordinary vCPUs of a cell float, but Nova wants a shared CPU for each."""
    return [Need(len(cell.vcpus - pinned), len(cell.vcpus & pinned)) for cell in cells_of(specs, vcpus, memory)]


def has_room(wanted: Sequence[Need], rooms: Sequence[Need]) -> bool:
    """Whether a host that is empty can take the cells, each on a NUMA node of its own."""
    if len(wanted) > len(rooms):
        return False
    return any(all(map(Need.fits, wanted, chosen)) for chosen in islice(permutations(rooms, len(wanted)), 50000))
