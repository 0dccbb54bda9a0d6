# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's rules for the NUMA nodes and pages of a flavor; Nova says what is wrong only when an instance is made, or finds no host. Pure.

Source: nova/virt/hardware.py, ``numa_get_constraints``, ``_get_numa_topology_auto``, ``_get_numa_topology_manual``, ``_get_numa_pagesize_constraint``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist

from .errors import SpecError

#: The smallest huge page, in KiB.
LARGE_KIB = 2048

_BYTES = re.compile(r"(\d+)(?:([KMGT])i?)?(b|bit|B)", re.ASCII)
_CELL = re.compile(r"hw:numa_(cpus|mem)\.(\d+)", re.ASCII)

#: Reads a list of vCPUs: text, number of vCPUs, name of the extra spec.
Mask = Callable[[str, int, str], frozenset[int]]


def page_kib(size: str) -> int:
    """Return a page size in KiB, 0 for none and for Nova's words; ``SpecError`` for what Nova cannot read (oslo.utils, ``string_to_bytes``)."""
    if size in ("", "small", "any", "large"):
        return 0
    found = _BYTES.fullmatch(size)
    if size.isdecimal():
        return int(size)
    if not found:
        raise SpecError(
            f"hw:mem_page_size {plain(size, 40)!r} is none that Nova reads when it makes an instance; set large, 2048 or 1048576 (KiB), or 2MB, 1GB"
        )
    parts = int(found[1]) * (1024 ** ("KMGT".index(found[2]) + 1) if found[2] else 1)
    return parts // 1024 if found[3] == "B" else parts // 8 // 1024


def check_numa(specs: Mapping[str, str], vcpus: int, ram: int, mask: Mask) -> None:
    """Refuse vCPUs or memory (MiB) that do not part into the flavor's NUMA nodes, and memory of a node that is not whole pages."""
    size = specs.get("hw:mem_page_size", "")
    if "hw:numa_nodes" not in specs and not size:
        return
    nodes = int(specs.get("hw:numa_nodes", 1))
    listed = {(found[1], int(found[2])) for found in map(_CELL.fullmatch, specs) if found}
    memory = _listed(specs, vcpus, ram, nodes, mask) if listed else _halved(vcpus, ram, nodes)
    page = page_kib(size) or (LARGE_KIB if size == "large" else 0)
    for node, mib in enumerate(memory):
        if page and mib * 1024 % page:
            raise SpecError(
                f"NUMA node {node} of the instance has {mib} MiB, which are no whole pages of {page} KiB (hw:mem_page_size={size}), so that no host ever "
                f"takes it; give memory_mib a multiple of {nodes * page // 1024 or 1}, or smaller pages"
            )


def _halved(vcpus: int, ram: int, nodes: int) -> list[int]:
    for what, number in (("vcpus", vcpus), ("memory_mib", ram)):
        if number % nodes:
            raise SpecError(
                f"hw:numa_nodes={nodes}: Nova parts {what} {number} equally over the nodes, and refuses each instance; give a multiple of {nodes}, or "
                "hw:numa_cpus.N and hw:numa_mem.N of each node"
            )
    return [ram // nodes] * nodes


def _listed(specs: Mapping[str, str], vcpus: int, ram: int, nodes: int, mask: Mask) -> list[int]:
    cells = {f"hw:numa_{what}.{node}" for what in ("cpus", "mem") for node in range(nodes)}
    given = {name for name in specs if _CELL.fullmatch(name)}
    if given != cells:
        odd = ", ".join(sorted(given ^ cells))
        raise SpecError(
            f"hw:numa_nodes={nodes}: Nova wants hw:numa_cpus.N and hw:numa_mem.N of each node from 0 to {nodes - 1}, or none of them; too many or missing: "
            f"{plain(odd, 120)}"
        )
    seen: frozenset[int] = frozenset()
    for node in range(nodes):
        name = f"hw:numa_cpus.{node}"
        cpus = mask(specs[name], vcpus, name)
        if twice := cpus & seen:
            raise SpecError(f"{name} has vCPU {format_cpulist(twice)}, which another node has too; each belongs to one")
        seen |= cpus
    if left := frozenset(range(vcpus)) - seen:
        raise SpecError(f"hw:numa_cpus.N leave out vCPU {format_cpulist(left)}; each must belong to a node")
    memory = [int(specs[f"hw:numa_mem.{node}"]) for node in range(nodes)]
    if sum(memory) != ram:
        raise SpecError(f"hw:numa_mem.N are {sum(memory)} MiB together, but memory_mib is {ram}; they must be the same")
    return memory


def ordinary_vcpus(specs: Mapping[str, str], vcpus: int, mask: Mask) -> int:
    """Return the most vCPUs of a NUMA node of the instance that float; 0 where Nova counts no CPUs by NUMA node."""
    policy, nodes = specs.get("hw:cpu_policy", "shared"), int(specs.get("hw:numa_nodes", 1))
    if policy == "dedicated" or not ("hw:numa_nodes" in specs or "hw:mem_page_size" in specs):
        return 0
    name = next((name for name in ("hw:cpu_realtime_mask", "hw:cpu_dedicated_mask") if name in specs), "")
    floating = frozenset(range(vcpus)) - (mask(specs[name], vcpus, name) if policy == "mixed" and name else frozenset())
    cells = [mask(specs[f"hw:numa_cpus.{node}"], vcpus, "") for node in range(nodes) if f"hw:numa_cpus.{node}" in specs]
    size = vcpus // nodes
    cells = cells or [frozenset(range(node * size, (node + 1) * size)) for node in range(nodes)]
    return max(len(cell & floating) for cell in cells)
