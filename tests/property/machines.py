# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that do not exist: their sysfs files, as a mapping from path to text."""

from __future__ import annotations

from dataclasses import dataclass, field

CPU = "/sys/devices/system/cpu"
NODE = "/sys/devices/system/node"
PCI = "/sys/bus/pci/devices"


def cpulist(cpus):
    """A cpulist without ranges: legal, and not how the code under test writes it."""
    return ",".join(map(str, sorted(cpus)))


def cpumask(cpus):
    """The kernel's mask, zero padded like a kernel built for 64 CPUs prints it."""
    number = sum(1 << cpu for cpu in cpus)
    digits = f"{number:x}"
    digits = digits.zfill(max(16, -(-len(digits) // 8) * 8))
    return ",".join(digits[start : start + 8] for start in range(0, len(digits), 8))


@dataclass
class Machine:
    """Cores are sets of CPU numbers (offline ones included); nodes map a number to cores; ports a name to a node."""

    nodes: dict[int, list[tuple[int, ...]]]
    offline: frozenset[int] = frozenset()
    efficiency: frozenset[int] | None = None  # None: no hybrid processor
    ports: dict[str, int] = field(default_factory=dict)
    caches: int = 0  # cores that share a last-level cache, 0: the whole node
    packages: int = 1  # nodes per package
    masks: bool = False  # an old kernel
    padded: bool = False  # as archives of sysfs are

    @property
    def cpus(self):
        return {cpu for cores in self.nodes.values() for core in cores for cpu in core}

    @property
    def online(self):
        return self.cpus - self.offline

    def files(self):
        files = {}
        if not self.masks:
            files[f"{CPU}/possible"] = files[f"{CPU}/present"] = cpulist(self.cpus)
            files[f"{CPU}/online"] = cpulist(self.online)
        for index, (node, cores) in enumerate(sorted(self.nodes.items())):
            members = {cpu for core in cores for cpu in core} & self.online
            files[f"{NODE}/node{node}/"] = ""
            self._set(files, f"{NODE}/node{node}/cpulist", f"{NODE}/node{node}/cpumap", members)
            for position, core in enumerate(cores):
                group = position // self.caches if self.caches else 0
                cache = {c for i, other in enumerate(cores) if not self.caches or i // self.caches == group for c in other}
                for cpu in core:
                    self._cpu(files, cpu, set(core) & self.online, cache & self.online, index // self.packages)
        if self.efficiency is not None:
            files["/sys/devices/cpu_atom/cpus"] = cpulist(self.efficiency)
        for number, (name, node) in enumerate(self.ports.items()):
            files[f"{PCI}/0000:{number:02x}:00.0/numa_node"] = f"{node}\n"
            files[f"{PCI}/0000:{number:02x}:00.0/net"] = name
        if self.padded:
            files = {path: text + "\n" + "\0" * 8 if text and not path.endswith("/net") else text for path, text in files.items()}
        return files

    def _set(self, files, list_path, mask_path, cpus):
        files.update({mask_path: cpumask(cpus)} if self.masks else {list_path: cpulist(cpus)})

    def _cpu(self, files, cpu, core, cache, package):
        base = f"{CPU}/cpu{cpu}"
        files[f"{base}/"] = ""
        if cpu in self.offline:
            files[f"{base}/online"] = "0"
            return
        self._set(files, f"{base}/topology/thread_siblings_list", f"{base}/topology/thread_siblings", core)
        self._set(files, f"{base}/cache/index3/shared_cpu_list", f"{base}/cache/index3/shared_cpu_map", cache)
        files[f"{base}/topology/physical_package_id"] = str(package)


def regular(nodes=2, cores=4, threads=2, *, interleaved=False, **more):
    """nodes x cores x threads, siblings half the machine apart as on Intel; ``interleaved`` deals CPUs node by node."""
    total = nodes * cores
    layout = {node: [] for node in range(nodes)}
    for core in range(total):
        node = core % nodes if interleaved else core // cores
        layout[node].append(tuple(core + thread * total for thread in range(threads)))
    return Machine(nodes=layout, **more)
