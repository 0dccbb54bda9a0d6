# SPDX-License-Identifier: GPL-3.0-or-later
"""The threads that own isolated CPUs, by their cgroups: vCPUs, emulators with a CPU of their own, poll-mode threads. Edge, read-only."""

from __future__ import annotations

import glob
import re
from dataclasses import replace

from .._cpus.cpulist import parse_or_empty
from .._cpus.partition import Partition
from .._host.host import Host
from .._host.threads import SWITCH_PID, cgroup_of, guest_pids
from .holders import ROOT, User

#: libvirt's slice, and slices below it into which a domain's definition may put its guest.
GUEST_SLICES = tuple("machine.slice" + "/*.slice" * depth for depth in range(4))
#: The cgroups that libvirt makes for a guest's threads that are no vCPUs.
_HELPERS = ("emulator", "iothread[0-9]*")


def has_remote_partitions(host: Host) -> bool:
    """Whether a thread's own cgroup can be a partition (kernels from 6.7, with ``cpuset.cpus.exclusive``)."""
    return host.exists(f"{ROOT}/cpuset.cpus.isolated")


def state_of(host: Host, path: str) -> str:
    """Return what a cgroup's cpuset.cpus.partition shows."""
    return host.value(f"{path}/cpuset.cpus.partition") or ""


def _guests(host: Host) -> dict[str, str]:
    """Return the guests' names by the cgroup that holds those of their vCPUs.

    The name comes with the process that libvirt records: the scope's name lacks characters of the guest's, such as ``_``.
    """
    named = {}
    for name, pid in guest_pids(host).items():
        path = cgroup_of(host, pid)
        if path:
            named[f"{ROOT}{path.removesuffix('/emulator')}"] = name
    for slices in GUEST_SLICES:
        for path in host.glob(f"{ROOT}/{slices}/*.scope/libvirt"):
            named.setdefault(path, _scope_name(path))
    return named


def _scope_name(path: str) -> str:
    """Return what a scope's name keeps of its guest's: systemd escapes ``machine-qemu\\x2d1\\x2dplc1.scope``."""
    scope = path.split("/")[-2].removesuffix(".scope")
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), scope)
    return re.sub(r"^machine-qemu-\d+-", "", plain)


def read_users(host: Host, partition: Partition) -> list[User]:
    """Return the threads that own isolated CPUs now: vCPUs by their cgroups, poll-mode threads by the CPU in their names.

    So do emulator and I/O threads that have isolated CPUs apart from their guest's vCPUs, as OpenStack's
    ``hw:emulator_threads_policy=isolate`` gives them. A poll-mode thread is listed with the cgroup it should have: below its
    daemon's where that can be a partition, else the daemon's.
    """
    users = _polling(host, partition)
    for guest, name in _guests(host).items():
        vcpus = _threads(host, guest, name, "vcpu[0-9]*", partition)
        own: frozenset[int] = frozenset().union(*(user.cpus for user in vcpus))
        others = [user for pattern in _HELPERS for user in _threads(host, guest, name, pattern, partition)]
        users += [*vcpus, *(replace(user, alone=False) for user in others if not user.cpus & own)]
    return users


def _threads(host: Host, guest: str, name: str, pattern: str, partition: Partition) -> list[User]:
    """Return a guest's cgroups of a kind that have threads and isolated CPUs alone."""
    found = []
    for path in host.glob(f"{glob.escape(guest)}/{pattern}"):
        cpus = parse_or_empty(host.value(f"{path}/cpuset.cpus"))
        if cpus and cpus <= partition.isolated and host.value(f"{path}/cgroup.threads"):
            found.append(User(f"{name} {path.rpartition('/')[2]}", path, cpus, state_of(host, path)))
    return found


def helpers_in_the_way(host: Host, partition: Partition) -> list[tuple[User, frozenset[int]]]:
    """Return emulators and I/O threads that may use isolated CPUs of their own guest's vCPUs, each with the CPUs it gets instead.

    OpenStack pins them so unless a flavor has ``hw:emulator_threads_policy``. The kernel then makes no partition for the vCPU:
    a sibling lists its CPU (kernel/cgroup/cpuset.c, cpus_excl_conflict). They get the housekeeping CPUs of the vCPUs' nodes.
    """
    found = []
    for guest, name in _guests(host).items():
        own: frozenset[int] = frozenset().union(*(user.cpus for user in _threads(host, guest, name, "vcpu[0-9]*", partition)))
        near: frozenset[int] = frozenset().union(*(cpus for cpus in partition.nodes.values() if cpus & own))
        for path in [path for pattern in _HELPERS if own for path in host.glob(f"{glob.escape(guest)}/{pattern}")]:
            cpus = parse_or_empty(host.value(f"{path}/cpuset.cpus"))
            if cpus & own:
                rest = cpus & partition.unisolated or partition.housekeeping & near or partition.housekeeping
                found.append((User(f"{name} {path.rpartition('/')[2]}", path, cpus), rest))
    return found


def _polling(host: Host, partition: Partition) -> list[User]:
    pid = host.value(SWITCH_PID) or ""
    cgroup = cgroup_of(host, pid)
    found = []
    for task in host.listdir(f"/proc/{pid}/task") if pid.isdecimal() and cgroup else []:
        name = host.value(f"/proc/{pid}/task/{task}/comm") or ""
        cpu = re.match(r"pmd-c(\d+)", name)
        if not cpu or int(cpu[1]) not in partition.isolated:
            continue
        path = f"{ROOT}{cgroup}/pmd-c{cpu[1]}" if has_remote_partitions(host) else f"{ROOT}{cgroup}"
        inside = task in (host.read(f"{path}/cgroup.threads") or "").split()
        found.append(User(name, path, frozenset({int(cpu[1])}), state_of(host, path) if inside else "member", int(task)))
    return found
