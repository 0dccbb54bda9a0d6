# SPDX-License-Identifier: GPL-3.0-or-later
"""The threads of running guests and of the switch, as /proc shows them. Edge.

libvirt's XML holds the request; only the kernel shows what a thread may really do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._host.host import Host
from .._host.threads import PID_DIR, SWITCH_PID, Thread, read_thread
from .guest import Guest, Scheduler
from .pinning import Placement
from .roles import VHOST, WORKER, is_vhost, role_of
from .vhost import scheduler_text

_POLICIES = {"fifo": os.SCHED_FIFO, "rr": os.SCHED_RR}
_NAMES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}


@dataclass(frozen=True)
class GuestThread:
    """A thread of a guest and its role: ``vcpu0``, ``iothread1``, ``emulator`` (QEMU's main thread), ``worker`` (KVM's), ``vhost``, ``other``."""

    role: str
    thread: Thread

    @property
    def scheduler(self) -> str:
        """The policy and priority, as ``fifo 1`` or ``other``."""
        name = _NAMES.get(self.thread.policy, str(self.thread.policy))
        return f"{name} {self.thread.priority}" if self.thread.priority else name


def guest_pid(host: Host, name: str) -> int | None:
    """Return the process of a running guest, None where it does not run."""
    text = host.value(f"{PID_DIR}/{name}.pid") or ""
    return int(text) if text.isdecimal() and host.exists(f"/proc/{text}/task") else None


def read_guest_threads(host: Host, name: str) -> list[GuestThread]:
    """Return the threads of a running guest; an empty list where it does not run."""
    pid = guest_pid(host, name)
    return process_threads(host, pid) if pid else []


def process_threads(host: Host, pid: int) -> list[GuestThread]:
    """Return the threads of a QEMU process, and the kernel's threads that serve it alone."""
    found = []
    for task in host.listdir(f"/proc/{pid}/task"):
        thread = read_thread(host, int(task), f"/proc/{pid}/task/{task}")
        if thread is None:
            continue
        found.append(GuestThread(role_of(thread.name, main=int(task) == pid), thread))
    if any(item.role == VHOST for item in found):
        return found
    return found + [GuestThread(VHOST, thread) for thread in kernel_vhosts(host, pid)]


def kernel_vhosts(host: Host, pid: int) -> list[Thread]:
    """Return the kernel threads of vhost that serve a QEMU process: those of kernels before 6.4, and of newer ones that are told so.

    All tasks of the machine are looked at only for a QEMU that asks for vhost of the kernel.
    """
    asked = (host.read(f"/proc/{pid}/cmdline") or "").replace("vhost-user", "")
    if "vhost" not in asked:
        return []
    numbers = [int(path.split("/")[2]) for path in host.glob("/proc/[0-9]*/comm") if host.value(path) == f"vhost-{pid}"]
    threads = [read_thread(host, number) for number in numbers]
    return [thread for thread in threads if thread and thread.kernel and is_vhost(thread.name)]


def polling_cpus(host: Host, staying: Callable[[str], bool] = bool) -> dict[int, str]:
    """Return the CPUs that poll-mode threads of the switch are bound to, with the threads' names; ``staying``: of which threads, by name."""
    pid = host.value(SWITCH_PID) or ""
    polling = {}
    for task in host.listdir(f"/proc/{pid}/task") if pid.isdecimal() else []:
        thread = read_thread(host, int(task), f"/proc/{pid}/task/{task}")
        if thread and thread.name.startswith("pmd-") and staying(thread.name):
            polling.update(dict.fromkeys(thread.allowed, thread.name))
    return polling


@dataclass(frozen=True)
class ThreadDifference:
    """The present and the wanted state of a running guest's thread."""

    role: str
    tid: int
    aspect: str  # cpus or scheduler
    before: str
    after: str


def thread_differences(threads: list[GuestThread], guest: Guest, placement: Placement) -> Iterator[ThreadDifference]:
    """Yield the threads of a running guest whose CPUs or scheduler differ from the wanted ones."""
    cpus, schedulers = wanted_threads(guest, placement)
    # vhost's threads follow another one, so they come last
    for item in sorted(threads, key=lambda item: item.role == VHOST):
        role = item.role
        if role == VHOST and guest.vhost is None:
            if not _left_over(item, guest, placement):
                continue
            role = "emulator"
        wanted = cpus.get(role)
        if wanted is not None and item.thread.allowed != wanted:
            before, after = format_cpulist(item.thread.allowed), format_cpulist(wanted)
            yield ThreadDifference(item.role, item.thread.pid, "cpus", before, after)
        scheduler = schedulers.get(role)
        after = scheduler_text(scheduler)
        if item.role != "other" and item.scheduler != after:
            yield ThreadDifference(item.role, item.thread.pid, "scheduler", item.scheduler, after)


def _left_over(item: GuestThread, guest: Guest, placement: Placement) -> bool:
    """Whether a vhost thread of a guest that no longer asks for a place is still beside a vCPU, or has a policy that is not its emulator's."""
    own: frozenset[int] = frozenset().union(*placement.vcpus.values())
    return item.thread.allowed <= own or item.scheduler not in ("other", scheduler_text(guest.emulator_scheduler))


def wanted_threads(guest: Guest, placement: Placement) -> tuple[Mapping[str, frozenset[int]], Mapping[str, Scheduler]]:
    """Return the CPUs and the scheduler of each thread of a guest."""
    cpus = {f"vcpu{vcpu}": placement.vcpus.get(vcpu, placement.floating) for vcpu in range(guest.vcpus)}
    io_threads = [f"iothread{number}" for number in guest.io_thread_ids]
    cpus.update(dict.fromkeys(["emulator", WORKER, *io_threads], placement.emulator))
    schedulers = {f"vcpu{vcpu}": scheduler for vcpu, scheduler in guest.schedulers.items()}
    if guest.vhost_beside:
        cpus[VHOST] = cpus[guest.vhost_beside]
    if guest.vhost_scheduler:
        schedulers[VHOST] = guest.vhost_scheduler
    if guest.emulator_scheduler:
        schedulers.update(dict.fromkeys(["emulator", WORKER], guest.emulator_scheduler))
    if guest.io_thread_scheduler:
        schedulers.update(dict.fromkeys(io_threads, guest.io_thread_scheduler))
    return cpus, schedulers


def set_scheduler(guest: str, difference: ThreadDifference) -> None:
    """Give a running guest's thread its policy; libvirt has no call for it."""
    policy, _space, priority = difference.after.partition(" ")
    try:
        os.sched_setscheduler(difference.tid, _POLICIES.get(policy, os.SCHED_OTHER), os.sched_param(int(priority or 0)))
    except ProcessLookupError:
        return  # the thread has ended
    except OSError as error:
        raise HostError(
            f"{guest}: the kernel refused {difference.after} for thread {difference.role}: {error.strerror}"
        ) from None
