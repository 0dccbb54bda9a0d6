# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a machine's topology files and network devices.

Edge, read-only.
"""

from __future__ import annotations

import re

from .._cpus.machine import CPU_ROOT
from .._cpus.topology import KINDS, NODE_ROOT, Topology, build_topology
from .host import Host
from .resolve import resolve

_PER_CPU = (
    "topology/physical_package_id",
    "topology/die_id",
    "topology/cluster_id",
    "cache/index3/shared_cpu_list",
    "cpu_capacity",
    "online",
)


def read_topology_files(host: Host) -> dict[str, str]:
    """Return the files that ``build_topology`` needs, path to text."""
    files: dict[str, str] = {}

    def take(path: str, fallback: str | None = None) -> None:
        text = host.read(path)
        if text is None and fallback is not None:
            path, text = fallback, host.read(fallback)
        if text is not None:
            files[path] = text

    for name in ("possible", "present", "online"):
        take(f"{CPU_ROOT}/{name}")
    for path in host.glob(KINDS):
        take(path)
    for name in host.listdir(CPU_ROOT):
        if not re.fullmatch(r"cpu\d+", name):
            continue
        base = f"{CPU_ROOT}/{name}"
        take(f"{base}/topology/thread_siblings_list", f"{base}/topology/thread_siblings")
        if f"{base}/topology/thread_siblings_list" not in files:
            take(f"{base}/topology/core_cpus_list")
        for item in _PER_CPU:
            take(f"{base}/{item}", f"{base}/cache/index3/shared_cpu_map" if item.startswith("cache") else None)
        files.setdefault(f"{base}/", "")  # so that a CPU without any file is listed too
    for name in host.listdir(NODE_ROOT):
        if re.fullmatch(r"node\d+", name):
            take(f"{NODE_ROOT}/{name}/cpulist", f"{NODE_ROOT}/{name}/cpumap")
            take(f"{NODE_ROOT}/{name}/meminfo")
            files.setdefault(f"{NODE_ROOT}/{name}/", "")
    return {**files, **_network_devices(host)}


def _network_devices(host: Host) -> dict[str, str]:
    """PCI network devices (class 02): their node, and the names of their interfaces."""
    files: dict[str, str] = {}
    names: dict[str, list[str]] = {}
    for name in host.listdir("/sys/class/net"):
        real = resolve(host, f"/sys/class/net/{name}")
        addresses = re.findall(r"/([0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f])(?=/)", real)
        if addresses:
            names.setdefault(addresses[-1], []).append(name)
    for address in host.listdir("/sys/bus/pci/devices"):
        base = f"/sys/bus/pci/devices/{address}"
        if address in names or (host.value(f"{base}/class") or "").startswith("0x02"):
            files[f"{base}/numa_node"] = host.value(f"{base}/numa_node") or "-1"
            files[f"{base}/net"] = " ".join(names.get(address, []))
    return files


def read_topology(host: Host) -> Topology:
    """Return the machine's topology."""
    return build_topology(read_topology_files(host))
