# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of the machine: reads /proc, sets and restores policies and affinities. Edge."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from .._cpus.cpulist import format_cpulist, parse_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._cpus.policies import POLICY_NAMES
from .change import Change
from .host import Host

SWITCH_PID = "/run/openvswitch/ovs-vswitchd.pid"
#: Where libvirt records the process of each running guest.
PID_DIR = "/run/libvirt/qemu"
#: Files there that are of no guest: of libvirt itself, and of a guest's helpers such as virtiofsd, which begin with the guest's number.
_NO_GUEST = re.compile(r"driver|\d+-.*-.*", re.ASCII | re.DOTALL)


_PF_KTHREAD = 0x00200000


_PF_NO_SETAFFINITY = 0x04000000


#: States of a process that does nothing: stopped, traced, ended (Documentation/filesystems/proc.rst).
_AT_A_STAND = ("T", "t", "Z", "X")

#: How the programs that run a machine are called (the kernel shows 15 characters).
_QEMU = re.compile(r"(qemu-system-\w*|qemu-kvm|kvm)$")


@dataclass(frozen=True)
class Thread:
    """One task of /proc."""

    pid: int
    name: str
    kernel: bool
    bound: bool  # the kernel refuses another affinity
    policy: int
    priority: int
    allowed: frozenset[int]
    cpu: int  # the CPU it last ran on
    started: int  # clock ticks after boot; with the pid it identifies a thread

    @property
    def resource(self) -> str:
        return f"thread:{self.name}:{self.pid}:{self.started}"

    @property
    def interrupt(self) -> bool:
        """Whether this is an interrupt's thread, whose affinity follows the interrupt's."""
        return self.kernel and self.name.startswith("irq/")


def read_thread(host: Host, pid: int, base: str | None = None) -> Thread | None:
    """Return a task, None when it has ended meanwhile."""
    folder = base or f"/proc/{pid}"
    stat = host.read(f"{folder}/stat")
    status = host.read(f"{folder}/status")
    if not stat or not status:
        return None
    name, _rest, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    allowed = re.search(r"^Cpus_allowed_list:\s*(\S*)", status, re.MULTILINE)
    flags = int(fields[6])
    return Thread(
        pid=pid,
        name=name,
        kernel=bool(flags & _PF_KTHREAD),
        bound=bool(flags & _PF_NO_SETAFFINITY),
        policy=int(fields[38]),
        priority=int(fields[37]),
        allowed=parse_cpulist(allowed[1]) if allowed else frozenset(),
        cpu=int(fields[36]),
        started=int(fields[19]),
    )


def read_threads(host: Host, *, user: bool) -> Iterator[Thread]:
    """Yield kernel threads or, with ``user``, every thread of every program."""
    if user:
        for _process, program in read_programs(host):
            yield program
        return
    for entry in host.listdir("/proc"):
        thread = read_thread(host, int(entry)) if entry.isdecimal() else None
        if thread and thread.kernel:
            yield thread


def read_programs(host: Host) -> Iterator[tuple[int, Thread]]:
    """Yield every thread of every program, each with the process that it belongs to."""
    for entry in host.listdir("/proc"):
        for task in host.listdir(f"/proc/{entry}/task") if entry.isdecimal() else ():
            thread = read_thread(host, int(task), f"/proc/{entry}/task/{task}")
            if thread and not thread.kernel:
                yield int(entry), thread


def keep_affinities(host: Host, *, user: bool) -> None:
    """Plan to journal the CPUs of kernel threads, such as those of interrupts, that a new cpuset partition spreads again.

    When a cpuset changes, kernels before 6.2 also forget the affinity of programs' threads (``user``).
    """
    for mine in (False, True)[: 1 + user]:
        for thread in read_threads(host, user=mine):
            if not thread.bound:
                host.keep(f"{thread.resource}:affinity", "thread", format_cpulist(thread.allowed))


def is_stray(thread: Thread, partition: Partition) -> bool:
    """Whether a thread could run on an isolated CPU and can be moved off it.

    Threads that the kernel has bound are no strays, nor are interrupt threads (they follow their interrupt) and
    threads pinned to just one CPU (pinned on purpose).
    """
    if thread.bound or thread.interrupt or len(thread.allowed) <= 1:
        return False
    return bool(thread.allowed & partition.isolated)


def describe_policy(policy: int, priority: int) -> str:
    """Return a policy and priority as ``set_priority`` takes them: ``SCHED_FIFO 2``."""
    return f"{POLICY_NAMES.get(policy, str(policy))} {priority}"


def set_priority(pid: int, text: str) -> None:
    """Give a thread a policy and priority written as ``SCHED_FIFO 2``."""
    name, priority = text.split()
    policy = next(number for number, known in POLICY_NAMES.items() if known == name)
    try:
        os.sched_setscheduler(pid, policy, os.sched_param(int(priority)))
    except ProcessLookupError:
        return  # it has ended
    except OSError as error:
        raise HostError(f"thread {pid}: the kernel refused {text}: {error.strerror}") from None


def set_affinity(pid: int, cpus: str) -> None:
    """Allow a thread on the CPUs of a list."""
    try:
        os.sched_setaffinity(pid, parse_cpulist(cpus))
    except ProcessLookupError:
        return
    except OSError as error:
        raise HostError(f"thread {pid}: the kernel refused CPUs {cpus}: {error.strerror}") from None


def restore_threads(host: Host) -> None:
    """Plan to restore the original policy, priority and affinity of the threads that still exist."""
    for resource, original in host.entries("thread").items():
        _kind, rest = resource.split(":", 1)
        name, pid, started, aspect = rest.rsplit(":", 3)
        thread = read_thread(host, int(pid))
        if thread is None or (thread.name, str(thread.started)) != (name, started):
            host.restore(None, resource, lambda: None)
            continue
        if aspect == "priority":
            current, make = describe_policy(thread.policy, thread.priority), partial(set_priority, thread.pid, original)
        else:
            current, make = format_cpulist(thread.allowed), partial(set_affinity, thread.pid, original)
        change = None if current == original else Change(resource, current, original, reason="restored")
        # dissolving a cpuset partition spreads the threads of the root cgroup again
        host.restore(change, resource, make, anyway=aspect == "affinity", until_boot=True)


def realtime_guests(host: Host) -> list[str]:
    """Return the names of running guests that have a real-time vCPU thread.

    Read from /proc, so it holds without libvirt: QEMU names vCPU threads ``CPU 0/KVM``.
    """
    guests = set()
    for pid, task in _vcpus(host):
        thread = read_thread(host, task, f"/proc/{pid}/task/{task}")
        if thread and POLICY_NAMES.get(thread.policy) in ("SCHED_FIFO", "SCHED_RR"):
            guests.add(guest_name(host, pid))
    return sorted(guests)


def guest_pids(host: Host) -> dict[str, int]:
    """Return the processes of running guests, as libvirt records them, by the guests' names."""
    found = {}
    for file in host.listdir(PID_DIR):  # a pattern would miss a name that begins with a dot
        pid = host.value(f"{PID_DIR}/{file}") or "" if file.endswith(".pid") else ""
        name = file[: -len(".pid")]
        if not pid.isdecimal() or not host.exists(f"/proc/{pid}/task"):
            continue
        if not _NO_GUEST.fullmatch(name) or host.exists(
            f"{PID_DIR}/{name}.xml"
        ):  # a guest may have such a name, and then its record
            found[name] = int(pid)
    return found


def service_pids(host: Host, unit: str) -> list[int]:
    """Return the processes of a system service, none where it does not run; also where the node has cgroup v1."""
    folders = (f"/sys/fs/cgroup{place}/system.slice/{unit}" for place in ("", "/systemd", "/unified"))
    texts = (host.read(f"{folder}/cgroup.procs") for folder in folders)
    return [int(pid) for pid in next(filter(None, texts), "").split() if pid.isdecimal()]


def working_pids(host: Host, unit: str) -> list[int]:
    """Return the processes of a system service that can go on: not those that a signal or a debugger has stopped, or that have ended."""
    return [pid for pid in service_pids(host, unit) if _state(host, pid) not in _AT_A_STAND]


def _state(host: Host, pid: int) -> str:
    return (host.read(f"/proc/{pid}/stat") or "").rpartition(")")[2].strip()[:1]


def cgroup_of(host: Host, pid: str | int) -> str:
    """Return a process's cgroup below the root of cgroup v2, with an empty text where it has none."""
    return next((line[3:] for line in (host.read(f"/proc/{pid}/cgroup") or "").splitlines() if line.startswith("0::/")), "")


def running_guests(host: Host) -> list[str]:
    """Return the names of all running guests, whoever started them. Read from /proc, so it holds without libvirt."""
    programs = {int(path.split("/")[2]) for path in host.glob("/proc/[0-9]*/comm") if _QEMU.match(host.value(path) or "")}
    guests = {pid for pid in programs if not _only_answers(host, pid)} | {pid for pid, _task in _vcpus(host)}
    return sorted(guest_name(host, pid) for pid in guests)


def _vcpus(host: Host) -> Iterator[tuple[int, int]]:
    """Yield process and thread of each vCPU."""
    for path in host.glob("/proc/[0-9]*/task/[0-9]*/comm"):
        if re.fullmatch(r"CPU \d+/\w+", host.value(path) or ""):
            _rest, _rest, pid, _rest, task, _rest = path.split("/")
            yield int(pid), int(task)


def _only_answers(host: Host, pid: int) -> bool:
    """Whether this QEMU has no machine: libvirt starts such a one to ask what QEMU can do."""
    arguments = (host.read(f"/proc/{pid}/cmdline") or "").split("\0")
    return not arguments[0] or any(
        name in ("-M", "-machine") and re.match(r"none(,|$)", value) for name, value in zip(arguments, arguments[1:])
    )


def guest_name(host: Host, pid: int) -> str:
    """Return the name that a QEMU process was given; QEMU doubles its commas."""
    cmdline = (host.read(f"/proc/{pid}/cmdline") or "").split("\0")
    named = re.match(r"(?:guest=)?((?:[^,]|,,)+)", cmdline[cmdline.index("-name") + 1]) if "-name" in cmdline[:-1] else None
    return named[1].replace(",,", ",") if named else f"process {pid}"
