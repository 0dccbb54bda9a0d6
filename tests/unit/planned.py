# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans without a node: what the modules answer in check mode for a captured machine, by layer, as a playbook hands it to the plan."""

from __future__ import annotations

import shutil

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._module import (
    cpu_partition,
    cpu_power,
    irq_affinity,
    kernel_arguments,
    kvm_host,
    ovs_dpdk,
    rt_domain,
)
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import Database
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Node
from unit.image_tools import qcow2
from unit.trees import fill

NETWORKS = [{"name": "control"}, {"name": "office", "realtime": False}]
IMAGES = "/var/lib/libvirt/images"


def guest(name, *, realtime="1-3", vcpus=4, memory=2048, networks=("control",), **more):
    """A guest as the inventory has it."""
    item = {"name": name, "vcpus": vcpus, "memory_mib": memory, "realtime_vcpus": realtime, **more}
    return {**item, "disks": [{"path": f"{IMAGES}/{name}.qcow2"}], "networks": [{"network": network} for network in networks]}


GUESTS = [
    guest("plc1"),
    guest("plc2", memory=1024),
    guest("motion", vcpus=2, realtime="1"),
    guest("historian", vcpus=2, realtime="", memory=4096, networks=["office"]),
]
#: Some of the packages that Debian 13 installs for all roles, as the package manager lists them.
PACKAGES = [
    {"name": name, "before": "", "after": version}
    for name, version in (
        ("linux-image-rt-amd64", "6.12.117-1"),
        ("linux-image-6.12.117+deb13-rt-amd64", "6.12.117-1"),
        ("libvirt-daemon-system", "11.3.0-3"),
        ("libvirt-clients", "11.3.0-3"),
        ("python3-libvirt", "11.3.0-1"),
        ("qemu-system-x86", "1:10.0.11+ds-0"),
        ("openvswitch-switch-dpdk", "3.5.2-1"),
        ("librte-meta-bus", "24.11.4-0"),
        ("librte-meta-mempool", "24.11.4-0"),
        ("driverctl", "0.115-1"),
    )
]
_LIMITS = {
    "state": "present", "housekeeping_cores_per_node": 1, "dataplane_cores_per_node": 1, "dataplane_devices": [], "shared_cores_per_node": 0,
    "realtime": "rest", "smt": "single", "isolation": "boot", "cpus": {}, "tuned": "refuse", "rt_throttling": "budget", "hardware_watchdog_s": 60,
    "priority_limit": 1, "cycle_cpus": False, "cache": False, "cache_l2": False, "cache_code_data": False, "memory_bandwidth": 0,
    "uncore_frequency": "keep",
}  # fmt: skip
_ARGUMENTS = {
    "state": "present", "arguments": [], "from_partition": True, "nohz_full": "all", "tsc": "nowatchdog", "cstates": "keep", "priority_limit": 1,
    "host_arguments": None, "default_kernel": "*-rt-*", "trial": False, "trial_timeout": 300, "wait_s": 0, "after_install": False,
}  # fmt: skip
_HOST = {
    "socket_memory_mib": 0, "switch_pages": "2M", "hugepages_reserve": {}, "nx_huge_pages": "keep", "halt_poll_ns": -1,
}  # fmt: skip
_SWITCH = {"socket_memory_mib": 0, "pmd_sleep_max_us": 0, "dpdk_extra": "", "socket_group": "", "restart_with_guests": False}
_DOMAIN = {
    "state": "present", "restart": False, "shutdown_timeout_s": 120, "force_off": False, "stop_running": False, "priority_limit": 1,
    "switch_timeout_s": 60, "site": "",
}  # fmt: skip


class NoSwitch:
    """The database of an Open vSwitch that is not installed."""

    def __init__(self, *_edges):
        pass

    def read(self):
        return Database()

    def running(self):
        return False


def racked(capture, folder, guests=()):
    """A copy of a capture with what it lacks of a machine that could run guests: pools of huge pages, the guests' images, a bridge."""
    root = folder / "machine"
    shutil.copytree(capture, root, symlinks=True)
    pools = [path / "hugepages/hugepages-2048kB" for path in (root / "sys/devices/system/node").glob("node[0-9]*")]
    counts = ("nr_hugepages", "free_hugepages", "surplus_hugepages", "nr_overcommit_hugepages")
    fill(root, {f"/{(pool / name).relative_to(root)}": "0\n" for pool in pools for name in counts})
    fill(root, {f"{IMAGES}/{item['name']}.qcow2": qcow2() for item in guests})
    fill(root, {"/sys/class/net/br-office/bridge/": None})
    return root


def planned(root, guests=(), networks=None, **intent):
    """The results of all layers for the machine below ``root``, and the refusals."""
    networks = NETWORKS if networks is None else networks
    results, refused = {}, []

    def run(layer, body, owner, parameters):
        host = Host(str(root), owner=owner, check_mode=True, captured=True)
        edges = SwitchEdges(host, lambda _command: (1, "", ""), ovsdb=NoSwitch)
        try:
            results[layer] = carry_out(edges, body.run, parameters)
        except RefusalError as error:
            results[layer] = {"failed": True}
            refused.append(str(error))

    run("partition", cpu_partition, "cpu_partition", {**_LIMITS, **intent})
    if "partition" in results["partition"]:
        given = {"state": "present", "partition": results["partition"]["partition"]}
        specs = {**given, "networks": networks, "guests": list(guests)}
        run("power", cpu_power, "cpu_power", {**given, "governor": "performance", "turbo": "keep", "cstates": "C1"})
        run("interrupts", irq_affinity, "irq_affinity", {**given, "irqbalance": True, "watcher": True})
        run("host", kvm_host, "kvm_host", {**specs, **_HOST})
        run("switch", ovs_dpdk, "ovs_dpdk", {**specs, **_SWITCH})
        run("kernel", kernel_arguments, "kernel_arguments", {**given, **_ARGUMENTS})
        run("guests", rt_domain, "rt_domain", {**specs, **_DOMAIN, "hugepages": results["host"].get("pages")})
    return results, refused


def planned_node(capture, folder, guests=None, packages=None, **intent):
    """What the plan of a captured machine is made from."""
    guests = GUESTS if guests is None else guests
    results, refused = planned(racked(capture, folder, guests), guests, **intent)
    return Node(results, PACKAGES if packages is None else packages, refused)
