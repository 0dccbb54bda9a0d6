# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory of the node's NUMA nodes, and its huge pages. Edge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from .._cpus.errors import HostError
from .._cpus.pages import PAGE_MIB
from .._host.change import Change
from .._host.host import Host
from .._host.threads import realtime_guests

NODES = "/sys/devices/system/node"

#: Memory of a NUMA node in MiB that always stays with the operating system.
HOST_MIB = 512


@dataclass(frozen=True)
class NodeMemory:
    """Memory of one NUMA node in MiB."""

    total: int
    free: int  # now, including what the kernel can drop on request


@dataclass(frozen=True)
class Pool:
    """The present huge pages of one size on one NUMA node.

    ``surplus`` pages were removed while in use; the kernel frees them when their user does, so ``have`` does not count them.
    """

    have: int
    free: int
    surplus: int = 0


def read_memory(host: Host) -> dict[int, NodeMemory]:
    """Return the memory of each NUMA node that has any."""
    found = {}
    for path in host.glob(f"{NODES}/node[0-9]*/meminfo"):
        fields = {key: int(kib) for key, kib in re.findall(r"Node \d+ ([\w()]+):\s+(\d+)", host.read(path) or "")}
        # as the kernel computes MemAvailable (mm/show_mem.c): half of the cached files may be in use
        cache = (fields.get("Active(file)", 0) + fields.get("Inactive(file)", 0) + fields.get("SReclaimable", 0)) // 2
        if fields.get("MemTotal"):
            free = fields.get("MemFree", 0) + cache
            found[int(path.split("/")[-2][4:])] = NodeMemory(fields["MemTotal"] // 1024, free // 1024)
    return found


def guest_memory_mib(host: Host) -> dict[int, int] | None:
    """Return the most memory that guests may have on each NUMA node; None where the machine does not show it (a snapshot)."""
    found = {node: max(memory.total - HOST_MIB, 0) for node, memory in read_memory(host).items()}
    return found or None


def pool_path(node: int, size: str) -> str:
    """Return the kernel's folder for the pages of a size on a node."""
    return f"{NODES}/node{node}/hugepages/hugepages-{PAGE_MIB[size] * 1024}kB"


def read_pool(host: Host, node: int, size: str) -> Pool | None:
    """Return the present pages; None where the processor or the kernel does not support this size."""
    names = ("nr_hugepages", "free_hugepages", "surplus_hugepages")
    have, free, surplus = (host.value(f"{pool_path(node, size)}/{name}") for name in names)
    if have is None or free is None:
        return None
    return Pool(int(have) - int(surplus or 0), int(free), int(surplus or 0))


def process_pages(host: Host, pid: int) -> dict[tuple[int, str], int]:
    """Return the huge pages that a process has touched, by NUMA node and size."""
    names = {str(mib * 1024): size for size, mib in PAGE_MIB.items()}
    found: dict[tuple[int, str], int] = {}
    for line in (host.read(f"/proc/{pid}/numa_maps") or "").splitlines():
        size = re.search(r"\bkernelpagesize_kB=(\d+)", line)
        if " huge" not in line or size is None or size[1] not in names:
            continue
        for node, pages in re.findall(r"\bN(\d+)=(\d+)", line):
            key = (int(node), names[size[1]])
            found[key] = found.get(key, 0) + int(pages)
    return found


def memory_nodes(host: Host, pid: int) -> dict[int, int]:
    """Return how many pages of a guest's memory are on each NUMA node: of its huge pages, else of its largest mapping.

    Reading numa_maps walks the process's page tables (Documentation/filesystems/proc.rst), so read it only for guests
    whose memory must not move.
    """
    huge: dict[int, int] = {}
    largest: dict[int, int] = {}
    for line in (host.read(f"/proc/{pid}/numa_maps") or "").splitlines():
        nodes = {int(node): int(pages) for node, pages in re.findall(r"\bN(\d+)=(\d+)", line)}
        if " huge" in line:
            huge = {node: huge.get(node, 0) + nodes.get(node, 0) for node in {*huge, *nodes}}
        elif sum(nodes.values()) > sum(largest.values()):
            largest = nodes
    return huge or largest


def plan_pages(host: Host, pages: Mapping[str, Mapping[str, int]]) -> None:
    """Plan 2 MiB pages by node; a node that has more keeps them, since other programs may need them."""
    for node, by_size in sorted(pages.items(), key=lambda item: int(item[0])):
        wanted = by_size.get("2M", 0)
        pool = read_pool(host, int(node), "2M")
        if pool is None:
            host.notes.append(f"{pool_path(int(node), '2M')} does not exist: NUMA node {node} has no 2 MiB pages")
        elif wanted > pool.have:
            path = f"{pool_path(int(node), '2M')}/nr_hugepages"
            change = Change(path, str(pool.have), str(wanted), reason="memory of guests and switch")
            host.change(change, partial(_grow, host, int(node), wanted), kind="value")


def _grow(host: Host, node: int, wanted: int) -> None:
    """Request pages, and check the number that the kernel shows afterwards: it makes as many as it finds memory for."""
    path = f"{pool_path(node, '2M')}/nr_hugepages"
    compact = f"{NODES}/node{node}/compact"
    for attempt in range(2):
        host.write_value(path, str(wanted))
        have = int(host.value(path) or 0)
        if have >= wanted:
            return
        # Compaction first empties the lists of every CPU, by a work item on each. On the CPU of a spinning vCPU the work
        # item never runs and compaction would hang, so there is no compaction while real-time guests run.
        if attempt == 0 and host.exists(compact) and not realtime_guests(host):
            host.write_value(compact, "1")
    memory = read_memory(host).get(node)
    free = f"{memory.free} MiB are free there, but in pieces" if memory else "its memory is in pieces"
    raise HostError(
        f"NUMA node {node}: of {wanted} huge pages of 2M the kernel could make {have} ({free}); these are kept. "
        "Reboot the node: the boot service makes them all before other programs take the memory. "
        "Or give guests less memory_mib"
    )
