# SPDX-License-Identifier: GPL-3.0-or-later
"""vhost's threads of a running guest: put beside one of its threads, with its CPUs and the policy of the definition. Edge.

Since Linux 6.4 they are tasks of QEMU's process, in the cgroup of the thread that opened the interface, the emulator; before, and where the module vhost
is told so, they are kernel threads, which the kernel attaches to the same cgroup (drivers/vhost/vhost.c, vhost_attach_task_to_cgroups).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.host import Host
from .._host.kernel import read_machine
from .._host.threads import set_affinity, set_priority
from .guest import Guest, GuestError
from .pinning import Placement
from .roles import VHOST
from .threads import GuestThread, process_threads

_CGROUPS = "/sys/fs/cgroup"
#: The first kernel whose vhost threads are tasks of the process that they serve.
_TASKS_SINCE = (6, 4)
#: Kernels that can make either show here what they make (Linux 6.17, CONFIG_VHOST_ENABLE_FORK_OWNER_CONTROL).
_TASKS = "/sys/module/vhost/parameters/fork_from_owner_default"


def place_vhost(host: Host, pid: int, tid: int, beside: str) -> None:
    """Give a vhost thread the cgroup and the CPUs of a thread of its guest, named by its role."""
    threads = process_threads(host, pid)
    leader = next((item.thread for item in threads if item.role == beside), None)
    thread = next((item.thread for item in threads if item.thread.pid == tid), None)
    if leader is None or thread is None:
        return  # the guest, or the interface, is gone
    target = _cgroup(host, f"/proc/{pid}/task/{leader.pid}")
    folder = f"/proc/{tid}" if thread.kernel else f"/proc/{pid}/task/{tid}"
    current = _cgroup(host, folder)
    if target and current != target and current.rpartition("/")[0] == target.rpartition("/")[0]:
        try:
            host.write_value(f"{_CGROUPS}{target}/cgroup.threads", str(tid))  # in another thread's, the kernel refuses its CPUs
        except HostError:
            if not host.exists(folder):
                return  # it has ended
            raise
    set_affinity(tid, format_cpulist(leader.allowed))


def settle_vhost(host: Host, pid: int, beside: str, scheduler: str) -> None:
    """Put all vhost threads of a guest beside one of its threads, with a policy such as ``fifo 1`` or ``other``."""
    threads = process_threads(host, pid)
    leader = next((item.thread for item in threads if item.role == beside), None)
    for item in threads if leader else ():
        if item.role == VHOST and leader and item.thread.allowed != leader.allowed:
            place_vhost(host, pid, item.thread.pid, beside)
        if item.role == VHOST and item.scheduler != scheduler:
            _set_policy(item, scheduler)


def _set_policy(item: GuestThread, scheduler: str) -> None:
    policy, _space, priority = scheduler.partition(" ")
    set_priority(item.thread.pid, f"SCHED_{policy.upper()} {priority or 0}")


def _cgroup(host: Host, folder: str) -> str:
    found = re.search(r"^0::(/.*)$", host.read(f"{folder}/cgroup") or "", re.MULTILINE)
    return found[1] if found else ""


def check_vhost(host: Host, partition: Partition, guests: Sequence[Guest], placements: dict[str, Placement]) -> None:
    """Refuse a place of vhost threads that was never seen to work: of kernel threads in a cpuset partition of its guest's."""
    machine = read_machine(host)
    old = (0, 0) < machine.kernel_version < _TASKS_SINCE
    if partition.isolation != "runtime" or not (old or host.value(_TASKS) in ("N", "0")):
        return
    remedy = "run Linux 6.4 or newer" if old else "load the module vhost with fork_from_owner_default=1"
    for guest in guests:
        placement = placements.get(guest.name)
        if placement is None or guest.vhost is None:
            continue
        cpus = placement.vcpus.get(guest.ordinary_vcpu or 0, frozenset()) if guest.vhost == "vcpu" else placement.emulator
        if not cpus & partition.isolated:
            continue
        what = (
            f"realtime_guests: {guest.name}: its vhost threads would run on CPU {format_cpulist(cpus)}, which is isolated at run time, but kernel "
            f"{machine.kernel_release} makes them as kernel threads, which are not put there; give vhost: emulator with emulator: housekeeping, "
            f"isolate at boot (cpu_partition_isolation: boot), or {remedy}"
        )
        if not host.dry:
            raise GuestError(what)
        host.notes.append(what)
