# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The largest real-time guest that still fits on a node. Pure.

The planner that places guests (``pinning.place``) answers it, so that ``rt_domain`` accepts what is promised here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import Partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import Topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, PinningError, Placement, place

#: No domain can have this name: libvirt refuses the slash.
PROBE = "a/new/guest"
#: A real-time guest has at least one ordinary and one real-time vCPU.
LEAST = 2
PAGE = 2  # MiB


@dataclass(frozen=True)
class Fit:
    """The largest guest; 0 vCPUs if none fits, with the reason."""

    vcpus: int = 0
    memory_mib: int = 0  # the most that this guest may have
    numa_node: int | None = None  # None: spread over several
    reason: str = ""


@dataclass(frozen=True)
class Room:
    """A node's realtime CPUs and memory, and the domains that use them."""

    partition: Partition
    topology: Topology
    existing: Sequence[Existing] = ()
    memory_mib: Mapping[int, int] | None = None  # by NUMA node, that guests may use; None: unknown
    polling: Mapping[int, str] | None = None

    def place(self, vcpus: int, memory_mib: int, numa_node: int | None) -> Placement:
        """Return the placement of such a guest (``numa_node`` None: spread), or raise ``PinningError``."""
        guest = Guest(
            name=PROBE,
            memory_mib=memory_mib,
            hugepages="2M",
            vcpus=vcpus,
            realtime_vcpus=frozenset(range(1, vcpus)),
            numa="strict" if numa_node is not None else "spread",
            numa_node=numa_node,
        )
        return place(self.partition, self.topology, [guest], self.existing, memory_mib=self.memory_mib, polling=self.polling)[
            PROBE
        ]

    def fits(self, vcpus: int, memory_mib: int, numa_node: int | None) -> bool:
        """Whether such a guest could be placed."""
        try:
            self.place(vcpus, memory_mib, numa_node)
        except PinningError:
            return False
        return True

    def free_cpus(self, numa_node: int) -> int:
        """Return the realtime threads of free cores, the most that a new guest can get."""
        taken: frozenset[int] = frozenset().union(*(domain.cpus for domain in self.existing))
        members = self.partition.sets["realtime"] & self.partition.nodes.get(numa_node, frozenset())
        cores = {self.topology.core_of(cpu) & members for cpu in members if cpu in self.topology.cpus}
        return sum(len(core) for core in cores if not core & taken)

    def free_memory(self, numa_node: int) -> int:
        """Return the memory in MiB that no domain is bound to, in whole pages."""
        used = sum(domain.memory_by_node().get(numa_node, 0) for domain in self.existing)
        return max((self.memory_mib or {}).get(numa_node, 0) - used, 0) // PAGE * PAGE


def _largest(fits: Callable[[int], bool], least: int, most: int) -> int:
    """Return the largest number in a range that fits, 0 if none does; if a number fits, so does every smaller one."""
    if most < least:
        return 0
    if fits(most):  # nearly always, since the caller's upper bound is the free amount
        return most
    if not fits(least):
        return 0
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if fits(middle) else (least, middle)
    return least


def largest_on_node(room: Room, numa_node: int) -> Fit:
    """Return the largest guest with all CPUs and memory on one NUMA node."""
    return _fit(room, numa_node, room.free_cpus(numa_node))


def largest_spread(room: Room) -> Fit:
    """Return the largest guest that may use several NUMA nodes (``numa: spread``); they give equal parts of its memory."""
    return _fit(room, None, sum(map(room.free_cpus, room.partition.nodes)))


def _fit(room: Room, numa_node: int | None, free: int) -> Fit:
    vcpus = _largest(lambda count: room.fits(count, PAGE, numa_node), LEAST, free)
    try:
        nodes = room.place(vcpus or LEAST, PAGE, numa_node).nodes
    except PinningError as error:
        return Fit(numa_node=numa_node, reason=str(error))
    if room.memory_mib is None:
        return Fit(vcpus, 0, numa_node)
    most = min(room.free_memory(node) // PAGE for node in nodes) * len(nodes)
    pages = _largest(lambda count: room.fits(vcpus, count * PAGE, numa_node), 1, most)
    return Fit(vcpus, pages * PAGE, numa_node)
