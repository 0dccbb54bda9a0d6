# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM's own worker in a guest's process: put beside the emulator, away from the vCPUs. Edge.

The thread that first enters the guest makes it (arch/x86/kvm/mmu/mmu.c, kvm_mmu_start_lpage_recovery), so it inherits CPU,
cgroup and policy of whichever vCPU runs first: a real-time one's too, as whose equal it would then run.
"""

from __future__ import annotations

import re
import time

from .._cpus.cpulist import format_cpulist
from .._host.host import Host
from .._host.threads import describe_policy, read_thread, set_affinity, set_priority
from .roles import WORKER, role_of

_CGROUPS = "/sys/fs/cgroup"
#: How often, and at what distance in seconds, a worker is looked for that a guest's first vCPU is about to make.
_LOOKS, _PAUSE = 5, 0.1
#: The same for a guest that is paused, as Nova starts its instances: at most a day, since a guest may also stay paused.
_LONG_LOOKS, _LONG_PAUSE = 43200, 2


def move_worker(host: Host, pid: int, tid: int) -> None:
    """Give a worker the cgroup, the CPUs and the policy of its process's first thread, the emulator."""
    emulator = read_thread(host, pid, f"/proc/{pid}/task/{pid}")
    group = re.search(r"^0::(/.*)$", host.read(f"/proc/{pid}/task/{pid}/cgroup") or "", re.MULTILINE)
    if emulator is None or not host.exists(f"/proc/{pid}/task/{tid}"):
        return  # the guest has ended
    if group:  # in the vCPU's cgroup the kernel refuses all CPUs but the vCPU's
        host.write_value(f"{_CGROUPS}{group[1]}/cgroup.threads", str(tid))
    set_affinity(tid, format_cpulist(emulator.allowed))
    set_priority(tid, describe_policy(emulator.policy, emulator.priority))


def settle_workers(host: Host, pid: int) -> bool:
    """Move the worker of a guest that has just started; KVM makes none where its parameter is ``never``.

    Returns whether that is done; False for a guest that no vCPU has entered yet, since it is paused.
    """
    return not _makes_workers(host) or _settle(host, pid, _LOOKS, _PAUSE)


def await_worker(host: Host, pid: int) -> None:
    """Move the worker of a guest that is paused, once it goes on; end with the guest."""
    if _makes_workers(host):
        _settle(host, pid, _LONG_LOOKS, _LONG_PAUSE)


def _makes_workers(host: Host) -> bool:
    return host.value("/sys/module/kvm/parameters/nx_huge_pages") not in (None, "never")


def _settle(host: Host, pid: int, looks: int, pause: float) -> bool:
    first = read_thread(host, pid, f"/proc/{pid}/task/{pid}")
    for look in range(looks):
        emulator = read_thread(host, pid, f"/proc/{pid}/task/{pid}")
        if emulator is None or first is None or emulator.started != first.started:
            return True  # the guest has ended
        tasks = [read_thread(host, int(task), f"/proc/{pid}/task/{task}") for task in host.listdir(f"/proc/{pid}/task")]
        workers = [thread for thread in tasks if thread and role_of(thread.name, main=False) == WORKER]
        for worker in workers:
            if (worker.allowed, worker.policy) != (emulator.allowed, emulator.policy):
                move_worker(host, pid, worker.pid)
        if workers:
            return True
        if look < looks - 1:
            time.sleep(pause)
    return False
