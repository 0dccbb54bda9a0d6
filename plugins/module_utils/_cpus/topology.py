# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPUs of a machine, as its sysfs shows them.

Pure: the input is a mapping from path to text (see ``_sysfs.read_topology_files``), the output a
``Topology``. Sources: Documentation/admin-guide/cputopology.rst, Documentation/ABI/stable/sysfs-devices-node
and Documentation/ABI/testing/sysfs-devices-system-cpu of the kernel.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .cpulist import CpuListError, format_cpulist, parse_cpulist
from .errors import RefusalError
from .machine import CPU_ROOT
from .masks import parse_mask

NODE_ROOT = "/sys/devices/system/node"

#: Cores below this share of the strongest core's capacity count as efficiency cores (hybrid Arm).
EFFICIENCY_CAPACITY = 0.8
#: x86 shows each kind of core of a hybrid processor as a PMU, with its CPUs.
KINDS = "/sys/devices/cpu_*/cpus"
_KIND = re.compile(r"(/sys/devices/(cpu_\w+))/cpus")
#: The kinds that the kernel names, the fastest first (arch/x86/events/intel/core.c, intel_hybrid_pmu_type_map: hybrid_big,
#: hybrid_small and, from Linux 6.13 on, hybrid_tiny, whose cores have no L3). A kind of another name is slower than cpu_core.
_FASTEST_FIRST = ("cpu_core", "cpu_atom", "cpu_lowpower")


class TopologyError(RefusalError):
    """The files do not describe a machine that can be partitioned; the message has the reason."""


@dataclass(frozen=True)
class Cpu:
    """One online logical CPU."""

    number: int
    package: int
    die: int
    cluster: int
    node: int
    siblings: frozenset[int]  # the online threads of its core, itself included
    l3: int  # lowest CPU of its last-level (L3) cache domain; its own number when sysfs shows none
    efficiency: bool = False  # an E-core or low-power core of a hybrid processor


@dataclass(frozen=True)
class Device:
    """A network port: interface name (None when no kernel network driver owns it), PCI address, NUMA node."""

    name: str | None
    address: str | None
    node: int | None  # None: the firmware reports none (numa_node reads -1)


@dataclass(frozen=True)
class Topology:
    """Everything that a partition is planned from."""

    cpus: Mapping[int, Cpu]
    possible: frozenset[int]
    present: frozenset[int]
    online: frozenset[int]
    nodes: Mapping[int, frozenset[int]]  # NUMA nodes, CPU-less ones included, to their online CPUs
    devices: tuple[Device, ...] = ()
    without_memory: frozenset[int] = frozenset()  # NUMA nodes that have CPUs and no memory
    cores: tuple[frozenset[int], ...] = field(default=())

    @property
    def boot_cpu(self) -> int:
        """The CPU that can never be isolated: CPU 0, or the lowest online one where 0 is offline."""
        return min(self.online)

    @property
    def offline(self) -> frozenset[int]:
        """Present but switched off."""
        return self.present - self.online

    @property
    def threads_per_core(self) -> int:
        """The most threads that any core has online."""
        return max(len(core) for core in self.cores)

    def core_of(self, cpu: int) -> frozenset[int]:
        """Return the online threads of the core that ``cpu`` belongs to."""
        return self.cpus[cpu].siblings

    def nodes_of(self, cpus: frozenset[int]) -> list[int]:
        """Return the NUMA nodes that hold any of the CPUs, ascending."""
        return sorted({self.cpus[cpu].node for cpu in cpus})

    def digest(self) -> str:
        """A short digest of everything a plan depends on; a partition file with another digest is out of date."""
        facts = [
            (cpu.number, cpu.package, cpu.die, cpu.node, cpu.l3, sorted(cpu.siblings), cpu.efficiency)
            for _number, cpu in sorted(self.cpus.items())
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


class _Files:
    """Typed look-ups in the mapping; a broken file is an error that names it."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._parsed: dict[tuple[object, str], frozenset[int]] = {}  # siblings repeat each other's texts

    def text(self, path: str) -> str | None:
        value = self._files.get(path)
        if value is None:
            return None
        return value.replace("\0", "").strip()

    def number(self, path: str, default: int) -> int:
        value = self.text(path)
        if not value:
            return default
        try:
            return int(value)
        except ValueError:
            raise TopologyError(f"{path} holds {value!r}, not a number") from None

    def cpus(self, base: str, *, list_name: str, mask_name: str | None = None) -> frozenset[int] | None:
        """Read a CPU set from its list file or, on old kernels, from its mask file."""
        for path, parse in ((f"{base}/{list_name}", parse_cpulist), (f"{base}/{mask_name}", parse_mask)):
            value = self.text(path) if not path.endswith("/None") else None
            if value is None or value == "(null)":
                continue
            try:
                known = self._parsed.get((parse, value))
                return self._parsed.setdefault((parse, value), parse(value)) if known is None else known
            except CpuListError as error:
                raise TopologyError(f"{path}: {error}") from None
        return None

    def kinds(self) -> dict[str, frozenset[int]]:
        """Return the CPUs of each kind of core, by the name of its PMU."""
        found = {match[2]: self.cpus(match[1], list_name="cpus") for match in map(_KIND.fullmatch, self._files) if match}
        return {name: cpus for name, cpus in found.items() if cpus is not None}

    def children(self, base: str, pattern: str) -> list[int]:
        rule = re.compile(re.escape(base) + "/" + pattern + "/")
        return sorted({int(match[1]) for match in map(rule.match, self._files) if match})


def _efficiency_cpus(files: _Files, siblings: Mapping[int, frozenset[int]], possible: frozenset[int]) -> frozenset[int]:
    """Return the CPUs of all kinds of core but the fastest."""
    online = frozenset(siblings)
    kinds = {name: cpus & online for name, cpus in files.kinds().items()}
    if kinds.keys() & set(_FASTEST_FIRST):
        return online - _fastest(kinds, online)
    capacities = {cpu: files.number(f"{CPU_ROOT}/cpu{cpu}/cpu_capacity", 0) for cpu in siblings}
    strongest = max(capacities.values())
    if strongest:
        return frozenset(cpu for cpu, capacity in capacities.items() if 0 < capacity < strongest * EFFICIENCY_CAPACITY)
    if possible != frozenset(siblings):
        return frozenset()  # a core with one thread may merely have its sibling switched off
    # Captures often lack cpu_atom. With every CPU there is online, single threads beside SMT cores are E-cores.
    threads = max(len(core) for core in siblings.values())
    return frozenset(cpu for cpu, core in siblings.items() if len(core) == 1 < threads)


def _fastest(kinds: Mapping[str, frozenset[int]], online: frozenset[int]) -> frozenset[int]:
    """Return the CPUs of the fastest kind: the first that has any; without cpu_core, as in a capture, those of no kind."""
    unnamed = online - frozenset[int]().union(*kinds.values())
    named = [kinds[name] for name in _FASTEST_FIRST if kinds.get(name)]
    return named[0] if named and (kinds.get(_FASTEST_FIRST[0]) or not unnamed) else unnamed


def _nodes(files: _Files, online: frozenset[int]) -> dict[int, frozenset[int]]:
    nodes = {}
    for node in files.children(NODE_ROOT, r"node(\d+)"):
        cpus = files.cpus(f"{NODE_ROOT}/node{node}", list_name="cpulist", mask_name="cpumap")
        nodes[node] = (cpus or frozenset()) & online
    for node, cpus in nodes.items():
        for other, others in nodes.items():
            if node < other and cpus & others:
                raise TopologyError(
                    f"CPUs {format_cpulist(cpus & others)} are on NUMA node {node} and on NUMA node {other} below {NODE_ROOT}: "
                    "the firmware's NUMA tables are broken; update it, or switch NUMA off with the kernel argument numa=off"
                )
    homeless = online - frozenset().union(*nodes.values())
    if not homeless:
        return nodes
    with_cpus = [node for node, cpus in nodes.items() if cpus]
    if with_cpus:
        raise TopologyError(f"CPUs {format_cpulist(homeless)} belong to no NUMA node below {NODE_ROOT}")
    return {**nodes, 0: online}  # a kernel without NUMA


def _without_memory(look: _Files, nodes: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Return the NUMA nodes with CPUs whose memory the kernel shows as none; captures often lack the file."""
    totals = {node: re.search(r"MemTotal:\s*(\d+) kB", look.text(f"{NODE_ROOT}/node{node}/meminfo") or "") for node in nodes}
    empty = frozenset(node for node, total in totals.items() if total and int(total[1]) == 0 and nodes[node])
    return empty if any(nodes[node] for node in nodes.keys() - empty) else frozenset()


def _devices(files: Mapping[str, str]) -> tuple[Device, ...]:
    found = []
    for path, text in files.items():
        match = re.fullmatch(r"/sys/bus/pci/devices/([0-9a-f:.]+)/numa_node", path)
        if match:
            address = match[1]
            value = text.replace("\0", "").strip()
            names: list[str | None] = [*files.get(f"/sys/bus/pci/devices/{address}/net", "").split()]
            node = int(value) if re.fullmatch(r"\d+", value) else None
            found += [Device(name=name, address=address, node=node) for name in names or [None]]
    return tuple(sorted(found, key=lambda device: (device.address or "", device.name or "")))


def _siblings(look: _Files, online: frozenset[int]) -> dict[int, frozenset[int]]:
    siblings: dict[int, frozenset[int]] = {}
    for cpu in sorted(online):
        base = f"{CPU_ROOT}/cpu{cpu}/topology"
        threads = look.cpus(base, list_name="thread_siblings_list", mask_name="thread_siblings")
        if threads is None:
            threads = look.cpus(base, list_name="core_cpus_list", mask_name="core_cpus")
        if threads is None:
            raise TopologyError(
                f"{base}/thread_siblings_list is missing: the kernel shows no core layout, so the threads of a core are unknown"
            )
        if cpu not in threads:
            raise TopologyError(
                f"{base}/thread_siblings_list holds {format_cpulist(threads)!r}, without CPU {cpu} itself: "
                "the kernel shows no core layout, so the threads of a core are unknown"
            )
        siblings[cpu] = threads & online
    for cpu, threads in siblings.items():
        for other in threads:
            if siblings[other] != threads:
                raise TopologyError(
                    f"CPUs {cpu} and {other} disagree about their core: "
                    f"{format_cpulist(threads)} against {format_cpulist(siblings[other])}"
                )
    return siblings


def build_topology(files: Mapping[str, str]) -> Topology:
    """Return the topology that the files describe.

    Copes with absent, offline and sparsely numbered CPUs, CPU-less and sparse NUMA nodes, kernels that
    print masks only, and packages or dies numbered -1. Raises ``TopologyError`` when the kernel shows no
    core layout, since a guess would split cores.
    """
    look = _Files(files)
    listed = frozenset(look.children(CPU_ROOT, r"cpu(\d+)"))
    if not listed:
        raise TopologyError(f"no CPU is listed below {CPU_ROOT}")
    present = look.cpus(CPU_ROOT, list_name="present") or listed
    possible = (look.cpus(CPU_ROOT, list_name="possible") or present) | present
    online = look.cpus(CPU_ROOT, list_name="online") or frozenset(
        cpu for cpu in listed if look.text(f"{CPU_ROOT}/cpu{cpu}/online") != "0"
    )
    online &= listed
    if not online:
        raise TopologyError(f"{CPU_ROOT}/online names no CPU that exists")

    siblings = _siblings(look, online)
    nodes = _nodes(look, online)
    node_of = {cpu: node for node, cpus in nodes.items() for cpu in cpus}
    efficiency = _efficiency_cpus(look, siblings, possible)
    cpus = {}
    for cpu in sorted(online):
        base = f"{CPU_ROOT}/cpu{cpu}"
        cache = look.cpus(f"{base}/cache/index3", list_name="shared_cpu_list", mask_name="shared_cpu_map") or frozenset({cpu})
        cpus[cpu] = Cpu(
            number=cpu,
            package=look.number(f"{base}/topology/physical_package_id", -1),
            die=look.number(f"{base}/topology/die_id", -1),
            cluster=look.number(f"{base}/topology/cluster_id", -1),
            node=node_of[cpu],
            siblings=siblings[cpu],
            l3=min((cache & online) or {cpu}),
            efficiency=cpu in efficiency,
        )
    cores = tuple(sorted(set(siblings.values()), key=min))
    for core in cores:
        if len({cpus[cpu].node for cpu in core}) > 1:
            raise TopologyError(f"the threads {format_cpulist(core)} of one core are on different NUMA nodes")
    return Topology(
        cpus=cpus,
        possible=possible,
        present=present,
        online=online,
        nodes=nodes,
        devices=_devices(files),
        without_memory=_without_memory(look, nodes),
        cores=cores,
    )
