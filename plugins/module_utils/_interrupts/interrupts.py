# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's interrupts: reads /proc/irq, plans and makes their moves. Edge."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from dataclasses import replace
from functools import partial

from .._cpus.answers import AnswerError, decode, printable
from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError
from .._cpus.masks import format_mask, parse_mask
from .._cpus.partition import Partition
from .._devices.assigned import vector_homes
from .._host.change import Change
from .._host.host import Host
from .affinity import Interrupt, stuck, wanted_affinity
from .counts import parse_names
from .threads import plan_interrupt_threads

#: Interrupts whose move the kernel refused in this boot; older kernels (6.1) do not show which interrupts they manage.
_REFUSED = "/run/realtime-kvm/managed-irqs.json"
#: How the kernel refuses to move an interrupt that it manages itself (kernel/irq/proc.c); any other error may pass.
_MANAGED = (errno.EIO, errno.EPERM)
_DEFAULT = "/proc/irq/default_smp_affinity"


#: Of each interrupt: the number of its folder's links, which counts its handlers, and what its file of CPUs holds.
Affinities = dict[str, tuple[int, bytes]]


def read_affinities(host: Host) -> Affinities:
    """Return what a move of an interrupt changes, with the default for new ones: few reads, no sense of them."""
    found: Affinities = {_DEFAULT: (0, host.read_bytes(_DEFAULT) or b"")}
    with suppress(OSError), os.scandir(host.path("/proc/irq")) as entries:
        for entry in entries:
            if entry.name.isdecimal():
                path = f"/proc/irq/{entry.name}/smp_affinity_list"
                with suppress(OSError):
                    found[path] = (entry.stat().st_nlink, host.read_bytes(path) or b"")
    return found


def _known_refused(host: Host) -> list[str]:
    try:
        return [str(name) for name in decode(host.read(_REFUSED) or "[]", list)]
    except AnswerError:
        return []


def read_interrupts(host: Host) -> list[Interrupt]:
    """Return the interrupts that have a handler."""
    refused = _known_refused(host)
    named = (
        parse_names(host.read("/proc/interrupts") or "") if host.captured else {}
    )  # a capture may lack the folders of handlers
    homes = vector_homes(host)
    interrupts = []
    for base in host.glob("/proc/irq/[0-9]*"):
        actions = tuple(name for name in host.listdir(base) if os.path.isdir(host.path(f"{base}/{name}")))
        actions = actions or named.get(int(base.rsplit("/", 1)[1]), ())
        if not actions:
            continue
        actions = tuple(map(printable, actions))
        node = host.value(f"{base}/node") or ""
        interrupt = Interrupt(
            number=int(base.rsplit("/", 1)[1]),
            actions=actions,
            affinity=parse_or_empty(host.value(f"{base}/smp_affinity_list")),
            effective=parse_or_empty(host.value(f"{base}/effective_affinity_list")),
            node=int(node) if node.isdecimal() else None,
            movable=_writable(host, f"{base}/smp_affinity_list"),
            home=homes.get(int(base.rsplit("/", 1)[1])),
        )
        interrupts.append(interrupt if interrupt.label not in refused else _managed(interrupt))
    return interrupts


def _managed(interrupt: Interrupt) -> Interrupt:
    return replace(interrupt, movable=False)


def _writable(host: Host, path: str) -> bool:
    try:
        return bool(os.stat(host.path(path)).st_mode & stat.S_IWUSR)
    except OSError:
        return False


def plan_interrupts(host: Host, partition: Partition) -> None:
    """Plan the default affinity and the move of every movable interrupt that may fire on an isolated CPU, and of its threads."""
    if not partition.isolated:
        return
    wanted = format_mask(partition.unisolated)
    current = host.value(_DEFAULT)
    if current is not None and parse_mask(current) != partition.unisolated:
        host.set_value(_DEFAULT, wanted, reason="new interrupts start on housekeeping and shared CPUs")
    interrupts = read_interrupts(host)
    for interrupt in interrupts:
        target = wanted_affinity(interrupt, partition, partition.nodes)
        if interrupt.movable and target != interrupt.affinity:
            file = f"/proc/irq/{interrupt.number}/smp_affinity_list"
            change = Change(file, format_cpulist(interrupt.affinity), format_cpulist(target), reason=_why(interrupt))
            host.change(change, partial(_move, host, interrupt, file, change), kind="value")
    plan_interrupt_threads(host, partition, interrupts)


def _why(interrupt: Interrupt) -> str:
    home = interrupt.home
    return f"{interrupt.label}, to vCPU {home.vcpu} of {home.guest}" if home else interrupt.label


def _is_there(host: Host, interrupt: Interrupt) -> bool:
    """Whether an interrupt still has its handlers: the kernel answers EIO for one that has ended too, and its number comes again."""
    return any(host.exists(f"/proc/irq/{interrupt.number}/{name}") for name in interrupt.actions)


def _move(host: Host, interrupt: Interrupt, path: str, change: Change) -> None:
    """Move one interrupt; if the kernel refuses, drop the change and note it, for good where it manages this one."""
    try:
        with open(host.path(path), "w") as stream:
            stream.write(change.after or "")
    except OSError as error:
        host.take_back(change)
        if error.errno not in _MANAGED or not _is_there(host, interrupt):  # gone meanwhile, or no vector is free on these CPUs
            whither = f" to CPUs {change.after}" if interrupt.home else ""
            host.notes.append(f"{interrupt.label} could not be moved off CPUs {change.before}{whither}: {error.strerror}")
            return
        host.notes.append(f"{interrupt.label} is managed by the kernel, which refused to move it off CPUs {change.before}")
        names = sorted({*_known_refused(host), interrupt.label})
        with suppress(HostError):  # the next run asks the kernel again
            host.write_file(_REFUSED, json.dumps(names).encode())


def stuck_interrupts(host: Host, partition: Partition) -> list[dict[str, object]]:
    """Return the interrupts that cannot be moved off isolated CPUs, for the report."""
    return [
        {
            "irq": irq.number,
            "actions": list(irq.actions),
            "cpus": format_cpulist((irq.effective or irq.affinity) & partition.isolated),
        }
        for irq in stuck(read_interrupts(host), partition)
    ]
