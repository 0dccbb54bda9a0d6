# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a node: threads of programs, and guests with their threads. Pure.

libvirt does not check the rules that these are held against; they hold for every running guest, whoever made it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .._cpus.partition import Partition
from .._cpus.policies import POLICY_NAMES, SCHED_FIFO, SCHED_RR
from .._guests.nova import Instance, InstanceCpus
from .._guests.pinning import Existing
from .._guests.roles import VHOST


@dataclass(frozen=True)
class Actor:
    """A thread of a program."""

    process: int
    tid: int
    name: str
    cpus: frozenset[int]
    policy: int = 0
    priority: int = 0
    last: int = 0  # the CPU it last ran on
    role: str = ""  # of a guest's thread: vcpu0, iothread1, emulator, other

    @property
    def realtime(self) -> bool:
        return self.policy in (SCHED_FIFO, SCHED_RR)

    @property
    def scheduler(self) -> str:
        """Its policy and priority as a definition has them: ``fifo 1``, ``other``."""
        name = POLICY_NAMES.get(self.policy, str(self.policy)).removeprefix("SCHED_").lower()
        return f"{name} {self.priority}" if self.priority else name


@dataclass(frozen=True)
class RunningGuest:
    """A running guest, with its definition if libvirt knows it."""

    name: str
    process: int
    actors: tuple[Actor, ...]
    defined: Existing | None = None
    schedulers: Mapping[int, str] = field(default_factory=dict)  # of the definition
    memory: Mapping[int, int] = field(default_factory=dict)  # pages of the guest's memory by NUMA node; empty: unknown
    locked_kib: int | None = None
    shared: bool | None = None  # whether the switch may see its memory
    vhost_user: tuple[str, ...] = ()  # MACs of its interfaces on vhost-user ports
    listed: bool = False  # its threads have been compared with the inventory
    vhost: tuple[str, str] | None = None  # beside which thread its definition has vhost's threads, and their policy
    wish: bool = False  # the inventory lets its threads share cores
    instance: Instance | None = None  # of Nova
    xml: InstanceCpus | None = None  # of its live XML

    @property
    def vcpus(self) -> dict[int, Actor]:
        return {int(actor.role[4:]): actor for actor in self.actors if actor.role.startswith("vcpu")}

    @property
    def realtime(self) -> bool:
        """Whether any vCPU has a real-time policy."""
        return any(actor.realtime for actor in self.vcpus.values())

    @property
    def shares(self) -> bool:
        """Whether its threads share cores by wish: of the inventory, of the definition that this collection made, or of its flavor."""
        told = self.defined is not None and self.defined.ours and self.defined.threads > 1
        flavor = self.instance is not None and self.instance.specs.get("hw:cpu_thread_policy") == "require"
        return self.listed or self.wish or told or flavor

    def resource(self, actor: Actor) -> str:
        """Return the name that findings give one of its threads."""
        return f"domain {self.name}: {actor.role}"

    def repin(self, vcpu: int) -> str:
        """Return the command that gives a vCPU another CPU."""
        if self.instance is not None:
            return f"openstack server migrate {self.instance.server}"
        return f"virsh vcpupin {self.name} {vcpu} CPU --live --config"

    def mend(self, what: str, extra_spec: str) -> str:
        """Return how its definition is changed: by hand, or by Nova through its flavor."""
        if self.instance is not None:
            return f"give its flavor {extra_spec}, then openstack server resize --flavor FLAVOR {self.instance.server}"
        return f"{what} (virsh edit {self.name}), then restart it"

    def owned(self, partition: Partition) -> dict[int, Actor]:
        """Return the guest's own isolated CPUs: those that one vCPU, or its own emulator, is bound to."""
        bound = [actor for actor in self.actors if actor.role not in ("other", VHOST) and len(actor.cpus) == 1]
        return {min(actor.cpus): actor for actor in bound if actor.cpus <= partition.isolated}


#: A thread that a finding already names: guest and role.
Named = Collection[tuple[str, str]]
