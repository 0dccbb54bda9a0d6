# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes with the cgroups of systemd and a running guest, and the writes that make partitions of them."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_cpulist
from property.kernel_cpusets.group import (
    CPUS,
    EXCLUSIVE,
    PARTITION,
    Rules,
)
from property.kernel_cpusets.tree import CpusetTree, Write

EVERY = [(6, 1), (6, 12), (7, 3)]
REMOTE = [(6, 12), (7, 3)]
RT, DP = "realtime-kvm.realtime", "realtime-kvm.dataplane"
SCOPE = "machine.slice/machine-qemu\\x2d1\\x2dplc.scope"
VCPU0, VCPU1, EMULATOR = f"{SCOPE}/libvirt/vcpu0", f"{SCOPE}/libvirt/vcpu1", f"{SCOPE}/libvirt/emulator"


def cpus(text):
    return parse_cpulist(text)


def node(release, online="0-7", **options):
    """A node with the slices of systemd, all with tasks and none restricted."""
    tree = CpusetTree(Rules.of_release(release), cpus(online), **options)
    for path in ("init.scope", "system.slice", "user.slice", "machine.slice"):
        tree.add(path)
        tree.attach(path)
    return tree


def holder(tree, path, cpulist):
    if path not in tree.groups:
        tree.add(path)
    return [Write(path, CPUS, cpulist), Write(path, PARTITION, "isolated")]


def guest(tree):
    """A running guest with two vCPU threads, as libvirt lays it out: the emulator's threads on housekeeping CPUs."""
    path = ""
    for name in (*SCOPE.split("/"), "libvirt"):
        path = f"{path}/{name}".lstrip("/")
        if path not in tree.groups:
            tree.add(path)
    tree["machine.slice"].tasks = False
    for leaf in (VCPU0, VCPU1, EMULATOR):
        tree.add(leaf)
        assert tree.attach(leaf).error is None
    tree.write(EMULATOR, CPUS, "0-1")


def down(leaf, cpulist, whole=None):
    """Writes that make a vCPU thread's cgroup a remote partition: exclusive CPUs down the path, then the partition."""
    above = leaf.split("/")
    paths = ["/".join(above[: depth + 1]) for depth in range(len(above) - 1)]
    return [
        *(Write(path, EXCLUSIVE, whole or cpulist) for path in paths),
        Write(leaf, EXCLUSIVE, cpulist),
        Write(leaf, PARTITION, "isolated"),
    ]


def texts(tree):
    return {group.path: (format_cpulist(group.effective), group.partition) for group in tree}
