# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CPUs a change of the partition would take from instances of Nova. Pure.

Nova keeps an instance's CPUs in its database until the instance is deleted or moved, whether it runs or not. Where
``cpu_dedicated_set`` lacks one of them, nova-compute only logs CPUPinningUnknown every minute, and its service stays up
(nova/objects/numa.py, pin_cpus).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .nova import Instance, InstanceCpus

#: The most instances that a message names.
_NAMED = 10


@dataclass(frozen=True)
class Taken:
    """CPUs that an instance would lose, by the roles of its threads."""

    instance: Instance
    state: str  # running, shut off
    roles: Mapping[str, frozenset[int]]

    @property
    def cpus(self) -> frozenset[int]:
        """All of them."""
        return frozenset().union(*self.roles.values())

    def __str__(self) -> str:
        """Return the part of the message about this instance."""
        roles = ", ".join(f"CPU {format_cpulist(cpus)} of its {role}" for role, cpus in sorted(self.roles.items()))
        return f"{self.instance}, {self.state}: {roles}"


def taken_cpus(
    cpus: InstanceCpus, old: Partition | None, new: Partition | None, shared: frozenset[int] = frozenset()
) -> dict[str, frozenset[int]]:
    """Return the CPUs that each thread of an instance would lose, by role.

    A thread with a CPU of its own loses it when the CPU leaves the realtime set. Threads that float lose nothing as long as one
    of their CPUs stays with ordinary work. ``old`` and ``new`` are None where there is no partition; ``shared`` is Nova's
    cpu_shared_set, which tells a floating thread from a pinned one where there is no partition yet.
    """
    found = {}
    for role, pins in cpus.pins.items():
        own = len(pins) == 1 and (pins <= old.sets["realtime"] if old else not pins <= shared)
        if own:
            lost = new is None or not pins <= new.sets["realtime"]
        else:
            lost = new is not None and not pins & new.unisolated and (old is None or bool(pins & old.unisolated))
        if lost:
            found[role] = pins
    if old is None:  # an emulator on the CPUs of its own vCPUs goes with these
        found = {role: pins for role, pins in found.items() if role.startswith("vcpu") or not pins <= cpus.vcpus}
    return found


def narrowed_cpus(cpus: InstanceCpus, old: Partition | None, new: Partition | None) -> frozenset[int]:
    """Return the CPUs that stop serving ordinary work and over which an instance's threads float, with others that still do."""
    if new is None:
        return frozenset()
    gone = new.isolated - (old.isolated if old else frozenset())
    floating = [pins for pins in cpus.pins.values() if len(pins) > 1 and pins & new.unisolated]
    return frozenset().union(*floating) & gone


def refusal(taken: Iterable[Taken], *, undo: bool) -> str:
    """Return the message about the instances that would lose CPUs, an empty text if there are none."""
    items = list(taken)
    if not items:
        return ""
    every = frozenset().union(*(item.cpus for item in items))
    what = "undo would end the isolation of" if undo else "the planned sets would take"
    whose = "of" if undo else "from"
    more = f"; and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    keep = "" if undo else ", or leave these CPUs where they are (cpu_partition_cpus)"
    first = items[0].instance.server
    return (
        f"cpu_partition: {what} CPUs {format_cpulist(every)} {whose} instances of Nova, which has them in its database, running or not: "
        f"{'; '.join(map(str, items[:_NAMED]))}{more}. Let Nova move or delete each instance first (openstack server migrate {first}; one that runs "
        f"also with --live-migration){keep}"
    )
