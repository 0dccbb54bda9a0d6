# SPDX-License-Identifier: GPL-3.0-or-later
"""Receive packet steering: CPUs to which network queues hand packets on, without an interrupt of their own. Edge.

A packet that arrives on one CPU is handed to a CPU of the queue's mask, which is woken for it
(Documentation/networking/scaling.rst). The mask for sending (XPS) chooses a queue by the CPU that sends; it gives a CPU no
work, so it is left alone.
"""

from __future__ import annotations

from functools import partial

from .._cpus.cpulist import CpuListError
from .._cpus.masks import format_mask, parse_mask
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host

_QUEUES = "/sys/class/net/*/queues/rx-*/rps_cpus"


def plan_steering(host: Host, partition: Partition) -> None:
    """Plan to take the isolated CPUs out of the queues' masks; a mask without other CPUs becomes 0: no steering."""
    if not partition.isolated:
        return
    for path in host.glob(_QUEUES):
        current = host.value(path) or "0"
        try:
            cpus = parse_mask(current)
        except CpuListError:
            continue
        # a name with control characters would reach journal and terminal as part of the path
        if cpus & partition.isolated and path.isprintable():
            wanted = format_mask(cpus - partition.isolated)
            change = Change(path, current, wanted, reason="packets are not handed to isolated CPUs")
            host.change(change, partial(_write, host, change), kind="value")


def _write(host: Host, change: Change) -> None:
    try:
        with open(host.path(change.resource), "w") as stream:
            stream.write(change.after or "")
    except OSError as error:  # the interface has gone meanwhile
        host.take_back(change)
        host.notes.append(f"{change.resource} could not be written: {error.strerror}")
