# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CPUs serve an interrupt. Pure; source: Documentation/core-api/irq/irq-affinity.rst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._cpus.partition import Partition
from .._devices.marks import Home


@dataclass(frozen=True)
class Interrupt:
    """One line of /proc/irq that has a handler."""

    number: int
    actions: tuple[str, ...]
    affinity: frozenset[int]
    effective: frozenset[int]
    node: int | None = None
    movable: bool = True  # False: the kernel manages its affinity and refuses writes
    home: Home | None = None  # of a running guest's device: where it belongs

    @property
    def label(self) -> str:
        return f"IRQ {self.number} ({', '.join(self.actions)})"


def wanted_affinity(interrupt: Interrupt, partition: Partition, nodes: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Return the CPUs that may serve an interrupt.

    An interrupt of a running guest's device goes to the CPU of the vCPU that the guest's list names. For others, these are its present CPUs
    without the isolated ones; if none is left, the ordinary CPUs of its device's NUMA node,
    else all ordinary CPUs.
    """
    if interrupt.home is not None:
        # a vCPU that may run on many CPUs has its own place no more: its interrupts disturb no isolated CPU
        return (
            interrupt.home.cpus
            if len(interrupt.home.cpus) == 1
            else interrupt.home.cpus & partition.unisolated or interrupt.home.cpus
        )
    allowed = interrupt.affinity & partition.unisolated
    if allowed:
        return allowed
    near = nodes.get(interrupt.node, frozenset()) & partition.unisolated if interrupt.node is not None else frozenset()
    return near or partition.unisolated


def stuck(interrupts: Iterable[Interrupt], partition: Partition) -> list[Interrupt]:
    """Return the kernel-managed interrupts that may fire on isolated CPUs: they cannot be moved, only reported."""
    return [irq for irq in interrupts if not irq.movable and (irq.effective or irq.affinity) & partition.isolated]
