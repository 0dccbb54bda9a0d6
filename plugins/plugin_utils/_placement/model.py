# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What placement works with: hosts with what they have, guests that want a host, rules between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import Partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import Topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.module_utils._guests.siblings import SiblingsError, check_siblings, cores_needed

#: Memory of a NUMA node that the machine does not show: no limit.
UNKNOWN_MIB = 1 << 40
#: The kind of fault domain that every host has: itself.
HOST = "host"


class PlacementError(RefusalError):
    """The request contradicts itself or the fleet; the message names variable, guest or host, and what would work."""


@dataclass(frozen=True)
class Host:
    """A host, with what its node has answered and what the inventory says about it."""

    name: str
    partition: Partition
    topology: Topology
    existing: tuple[Existing, ...] = ()  # every domain that libvirt knows there
    memory_mib: Mapping[int, int] | None = (
        None  # by NUMA node, for guests: without operating system, switch and reserve; None: unknown
    )
    polling: Mapping[int, str] = field(default_factory=dict)  # CPUs of poll-mode threads, with their names
    networks: Mapping[str, Network] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)  # realtime_place_devices: how many there are of each name
    domains: Mapping[str, str] = field(default_factory=dict)  # fault domains, by kind: rack, power, ...
    priority_limit: int = 1
    total_mib: Mapping[int, int] = field(default_factory=dict)  # all memory, by NUMA node
    pages: Mapping[tuple[int, str], int] = field(default_factory=dict)  # huge pages that exist, by NUMA node and size
    switch_mib: Mapping[int, int] = field(default_factory=dict)  # huge pages of the switch, by NUMA node
    switch_pages: str = "2M"
    reserve_mib: Mapping[str, int] = field(default_factory=dict)  # kvm_host_hugepages_reserve
    refusal: str = ""  # why nothing can be placed there; empty: something can
    drained: bool = False

    @cached_property
    def width(self) -> int:
        """The most realtime threads of a core, as the node's planner counts them."""
        return max((len(core & self.partition.sets["realtime"]) for core in self.topology.cores), default=1) or 1

    @cached_property
    def uniform(self) -> bool:
        """Whether all cores with realtime threads have the same number of them, so that counting cores is exact."""
        return len({len(core & self.partition.sets["realtime"]) for core in self.topology.cores} - {0}) <= 1

    @cached_property
    def floating(self) -> frozenset[int]:
        """The CPUs that vCPUs of guests without real time float on."""
        return self.partition.sets["shared"] or self.partition.housekeeping

    @cached_property
    def foreign(self) -> frozenset[str]:
        """The names of domains that this collection did not make."""
        return frozenset(domain.name for domain in self.existing if not domain.ours)

    @cached_property
    def near_switch(self) -> frozenset[int]:
        """The NUMA nodes with dataplane CPUs."""
        return frozenset(node for node, cpus in self.partition.nodes.items() if cpus & self.partition.sets["dataplane"])

    def domain(self, kind: str) -> str | None:
        """Return the host's fault domain of a kind, None where the inventory names none."""
        return self.name if kind == HOST else self.domains.get(kind)


@dataclass(frozen=True)
class Wish:
    """A guest that wants a host."""

    guest: Guest
    given: Mapping[str, Any] = field(default_factory=dict)  # its entry in the inventory
    home: str = ""  # the host that has it now; empty: none
    fixed: bool = False  # placement.movable: false
    hosts: frozenset[str] | None = None  # only these; None: any
    devices: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The guest's name."""
        return self.guest.name

    @cached_property
    def tied(self) -> bool:
        """Whether it belongs to the host that it has, since nothing says which other hosts have its PCI devices."""
        return bool(self.guest.devices) and self.hosts is None and not self.devices

    @cached_property
    def stays(self) -> bool:
        """Whether it stays at home whatever happens."""
        return self.fixed or self.tied

    @cached_property
    def anchor(self) -> str:
        """What keeps it at home."""
        return "placement.movable: false" if self.fixed else "its list of devices"

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """The names of its networks."""
        return tuple(attachment.network.name for attachment in self.guest.networks)

    @cached_property
    def strict(self) -> bool:
        """Whether its vCPUs have CPUs of their own on one NUMA node."""
        return self.guest.realtime and self.guest.numa == "strict"

    @cached_property
    def counted(self) -> bool:
        """Whether what it takes of a host can be counted; for others only the node's planner knows."""
        return self.strict or (not self.guest.realtime and (self.guest.hugepages == "none" or self.guest.numa_node is not None))

    @cached_property
    def priority(self) -> int:
        """The highest real-time priority of its threads."""
        guest = self.guest
        others = [item for item in (guest.emulator_scheduler, guest.io_thread_scheduler, guest.vhost_scheduler) if item]
        return max((item.priority for item in [*guest.schedulers.values(), *others]), default=0)

    @cached_property
    def threads(self) -> tuple[str, ...]:
        """The threads that get realtime CPUs."""
        if not self.guest.realtime:
            return ()
        own = ("emulator",) if self.guest.emulator == "own" else ()
        return (*(f"vcpu{vcpu}" for vcpu in range(self.guest.vcpus)), *own)

    @cached_property
    def _cores(self) -> dict[int, int | None]:
        return {}

    def cores(self, width: int) -> int | None:
        """Return how many cores of so many threads it fills, None where its ``siblings`` cannot be met on them."""
        if width not in self._cores:
            try:
                check_siblings(self.guest, width)
                self._cores[width] = cores_needed(self.guest, self.threads, width)
            except SiblingsError:
                self._cores[width] = None
        return self._cores[width]

    def on(self, host: Host, node: int | None) -> Guest:
        """Return the guest as the node's planner gets it: on the host's own networks, and on a NUMA node where it is strict."""
        networks = tuple(
            replace(item, network=host.networks.get(item.network.name, item.network)) for item in self.guest.networks
        )
        return replace(self.guest, networks=networks, numa_node=node if self.strict else self.guest.numa_node)


def as_written(wishes: Iterable[Wish]) -> list[Wish]:
    """Return guests in the order of a host's list: a node takes them one after the other, so that it is asked in the order that is written."""
    return sorted(wishes, key=lambda wish: wish.name)


@dataclass(frozen=True)
class Seat:
    """Where a guest is, and what it takes there."""

    host: str
    node: int | None = None  # of a strict guest
    cores: tuple[tuple[int, int], ...] = ()  # whole cores, by NUMA node
    memory: tuple[tuple[int, int], ...] = ()  # MiB, by NUMA node
    floating: int = 0  # vCPUs on shared CPUs
    loose_mib: int = 0  # memory that is bound to no NUMA node


@dataclass(frozen=True)
class Rule:
    """A relation between guests: apart (anti-affinity), or together (affinity), by host or fault domain."""

    name: str
    kind: str  # anti-affinity, affinity
    guests: frozenset[str]
    by: str = HOST
    most: int = 1  # guests of an anti-affinity rule in one domain
    required: bool = True  # otherwise it is kept where that costs no placement

    @property
    def apart(self) -> bool:
        """Whether it is an anti-affinity rule."""
        return self.kind == "anti-affinity"


@dataclass(frozen=True)
class Options:
    """How guests are placed."""

    strategy: str = "pack"  # fill hosts one after the other, or spread: the emptiest first
    moves: str = (
        "needed"  # guests that have a host move if another guest needs room or their host is drained; drain: only then; none
    )
    overcommit: int = 4  # vCPUs of guests without real time for each CPU that they float on
    work: int = 60_000  # the most attempts of a search
