# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of field/13: two sockets, memory modules in the first alone, one device for the switch there."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from property.machines import regular
from unit.loaders import field_values
from unit.trees import memory_files

CASE = field_values("13")
NETWORKS = CASE["networks"]
NODES = {0: parse_cpulist(CASE["node0"]["cpus"]), 1: parse_cpulist(CASE["node1"]["cpus"])}
_SHAPE = regular(nodes=2, cores=18, threads=2, interleaved=True)
assert {node: {cpu for core in cores for cpu in core} for node, cores in _SHAPE.nodes.items()} == NODES


def files(address="0000:17:00.0", device=NETWORKS[0]["device"], node=0):
    """What the machine shows, with its device on a NUMA node."""
    base = f"/sys/devices/pci0000:00/{address}"
    return {
        **_SHAPE.files(),
        **memory_files({int(name[4:]): told["MemTotal_MiB"] for name, told in CASE.items() if name.startswith("node")}),
        f"{base}/class": "0x020000\n",
        f"{base}/numa_node": f"{node}\n",
        f"{base}/net/{device}/": None,
        f"/sys/bus/pci/devices/{address}": ("link", f"../../../devices/pci0000:00/{address}"),
        f"/sys/class/net/{device}": ("link", f"../../devices/pci0000:00/{address}/net/{device}"),
        "/proc/cpuinfo": "vendor_id\t: GenuineIntel\nflags\t: vmx constant_tsc nonstop_tsc\n",
        "/proc/sys/kernel/hostname": "n1\n",
        "/etc/debian_version": "13.0\n",
    }


def partition(**wishes):
    """Its partition, one dataplane core for the device unless the wishes say more."""
    shown = {path: text for path, text in files().items() if isinstance(text, str)}
    return to_document(plan_partition(build_topology(shown), Intent(**{"dataplane_cores_per_node": 1, **wishes})))
