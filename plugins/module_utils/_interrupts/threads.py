# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of interrupts: read, moved off isolated CPUs, or reported where the kernel refuses that. Edge.

Before Linux 6.9 a thread follows its interrupt only when that fires next, and is woken where it was, above every vCPU. From 6.19
on the kernel binds all of these threads and moves them itself (kernel/irq/manage.c).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import partial

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._host.threads import Thread, read_thread, set_affinity
from .affinity import Interrupt, wanted_affinity

#: kthreadd, the parent of all kernel threads, and where the kernel lists its children.
_CHILDREN = "/proc/2/task/2/children"
_NAME = re.compile(r"irq/(\d+)-")


def read_interrupt_threads(host: Host) -> Iterator[tuple[int, Thread]]:
    """Yield the threads of interrupts, each with the interrupt's number."""
    pids = (host.value(_CHILDREN) or "").split() or host.listdir("/proc")
    for pid in pids:
        named = _NAME.match(host.value(f"/proc/{pid}/comm") or "") if pid.isdecimal() else None
        thread = read_thread(host, int(pid)) if named else None
        if named and thread and thread.kernel:
            yield int(named[1]), thread


def strays(host: Host, partition: Partition, interrupts: Collection[Interrupt]) -> Iterator[tuple[Interrupt, Thread]]:
    """Yield the threads that may run on an isolated CPU although their interrupt keeps off them, or can be kept off."""
    known = {interrupt.number: interrupt for interrupt in interrupts}
    for number, thread in read_interrupt_threads(host):
        interrupt = known.get(number)
        if interrupt is None or interrupt.home is not None or not thread.allowed & partition.isolated:
            continue  # the thread of an interrupt that belongs to a guest follows it
        if interrupt.movable or not interrupt.affinity & partition.isolated:
            yield interrupt, thread


def plan_interrupt_threads(host: Host, partition: Partition, interrupts: Collection[Interrupt]) -> None:
    """Plan to move threads at once to where their interrupts are or go; those that the kernel has bound stay."""
    for interrupt, thread in strays(host, partition, interrupts):
        if thread.bound:
            continue
        wanted = wanted_affinity(interrupt, partition, partition.nodes)
        change = Change(
            f"{thread.resource}:affinity",
            format_cpulist(thread.allowed),
            format_cpulist(wanted),
            reason=f"thread of {interrupt.label}, which otherwise runs here once more",
        )
        host.change(change, partial(_move, host, thread, change), kind="thread")


def _move(host: Host, thread: Thread, change: Change) -> None:
    try:
        set_affinity(thread.pid, change.after or "")
    except HostError as error:
        host.take_back(change)
        host.notes.append(f"{error}")


def bound_threads(host: Host, partition: Partition, interrupts: Collection[Interrupt]) -> list[tuple[Interrupt, Thread]]:
    """Return the threads that the kernel has bound to isolated CPUs on which their interrupt does not fire.

    An interrupt that the kernel manages may fire on an isolated CPU, with its thread beside it; a thread on another isolated CPU
    is left behind like that of any interrupt.
    """
    known = {interrupt.number: interrupt for interrupt in interrupts}
    return [
        (known[number], thread)
        for number, thread in read_interrupt_threads(host)
        if number in known
        and thread.bound
        and known[number].home is None
        and (thread.allowed & partition.isolated) - (known[number].effective or known[number].affinity)
    ]
