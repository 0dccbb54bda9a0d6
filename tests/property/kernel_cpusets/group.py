# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cgroup of a cpuset tree, and how kernels differ; the tree is in kernel_cpusets.tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Cpus = frozenset[int]

CPUS, EXCLUSIVE, PARTITION = "cpuset.cpus", "cpuset.cpus.exclusive", "cpuset.cpus.partition"
GRANTED = "cpuset.cpus.exclusive.effective"
MEMBER, ROOT, ISOLATED = "member", "root", "isolated"
KINDS = (MEMBER, ROOT, ISOLATED)

#: The kernel's reasons for an invalid partition, as it prints them in brackets.
INVALID_CPUS = "Invalid cpu list in cpuset.cpus.exclusive"
INVALID_PARENT = "Parent is an invalid partition root"
NO_PARTITION_ABOVE = "Parent is not a partition root"
NOT_EXCLUSIVE = "Cpu list in cpuset.cpus not exclusive"
NO_CPUS_LEFT = "Parent unable to distribute cpu downstream"
HOTPLUG = "No cpu available due to hotplug"
EMPTY = "cpuset.cpus and cpuset.cpus.exclusive are empty"
HOUSEKEEPING = "partition config conflicts with housekeeping setup"
REMOTE_BELOW = "Have remote partition underneath"
#: Reasons that 6.1 words differently: it has no cpuset.cpus.exclusive.
OLD_WORDING = {INVALID_CPUS: "Invalid cpu list in cpuset.cpus", EMPTY: "cpuset.cpus is empty"}


class CpusetTreeError(ValueError):
    """The tree cannot be what the caller says: an unknown cgroup, a file or value that no cpuset has."""


@dataclass(frozen=True)
class Rules:
    """What differs between kernels."""

    exclusive: bool  #: cpuset.cpus.exclusive and remote partitions are there (6.7)
    yields: bool  #: a partition leaves out CPUs of its siblings, where older kernels make both invalid (7.0)

    @classmethod
    def of_release(cls, release: tuple[int, int]) -> Rules:
        """Return the rules of a kernel release, ``(6, 12)``."""
        return cls(exclusive=release >= (6, 7), yields=release >= (7, 0))


@dataclass(eq=False)
class Cgroup:
    """One cgroup with the cpuset controller. Its fields are what its files show."""

    path: str
    parent: Cgroup | None = field(repr=False)
    cpus: Cpus = frozenset()
    exclusive: Cpus = frozenset()
    kind: str = MEMBER
    reason: str | None = None  #: why the partition is invalid; "" where the kernel gives no reason, None if it is not
    granted: Cpus = frozenset()  #: cpuset.cpus.exclusive.effective
    effective: Cpus = frozenset()
    remote: bool = False  #: the valid partition took its CPUs from the root
    tasks: bool = False
    children: dict[str, Cgroup] = field(default_factory=dict, repr=False)

    @property
    def valid(self) -> bool:
        """Whether this is a valid partition."""
        return self.kind != MEMBER and self.reason is None

    @property
    def partition(self) -> str:
        """The text of cpuset.cpus.partition."""
        if self.reason is None:
            return self.kind
        return f"{self.kind} invalid ({self.reason})" if self.reason else f"{self.kind} invalid"

    @property
    def wanted(self) -> Cpus:
        """The CPUs a partition here asks for."""
        return self.exclusive or self.cpus

    def below(self) -> Iterator[Cgroup]:
        """Every cgroup below, parents first, in the order of their creation."""
        for child in self.children.values():
            yield child
            yield from child.below()

    def above(self) -> Iterator[Cgroup]:
        """Every cgroup above, the root last."""
        if self.parent is not None:
            yield self.parent
            yield from self.parent.above()

    def partitions(self) -> Iterator[Cgroup]:
        """The valid partitions among the children."""
        return (child for child in self.children.values() if child.valid)

    def siblings(self) -> Iterator[Cgroup]:
        """The other children of the parent."""
        return (other for other in self.parent.children.values() if other is not self) if self.parent else iter(())

    def invalidate(self, reason: str) -> None:
        """Become invalid, or stay so for another reason."""
        self.reason, self.remote = reason, False


def union(sets: Iterable[Cpus]) -> Cpus:
    """Return the CPUs of all sets."""
    return frozenset().union(*sets)


def parent_of(group: Cgroup) -> Cgroup:
    """Return the parent of a cgroup that is not the root."""
    if group.parent is None:
        raise CpusetTreeError("the root's cpuset cannot be written")
    return group.parent


def overlaps(one: Cgroup, other: Cgroup) -> bool:
    """Whether kernels before 7.0 forbid two siblings."""
    if one.valid or other.valid or (one.exclusive and other.exclusive):
        return bool(one.wanted & other.wanted)
    claims, cpus = (one.exclusive, other.cpus) if one.exclusive else (other.exclusive, one.cpus)
    return bool(claims and cpus) and cpus <= claims
