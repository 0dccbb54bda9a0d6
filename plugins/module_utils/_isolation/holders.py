# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cgroup holds each isolated CPU of a node that is isolated at run time. Pure.

Exactly one cgroup holds a CPU of the realtime or dataplane set. While a vCPU or a poll-mode thread runs on it, that is the
thread's cgroup; otherwise it is the *holder* of the set, an empty cgroup below the root. Both are isolated cpuset
partitions (Documentation/admin-guide/cgroup-v2.rst): the scheduler balances nothing onto their CPUs. Kernels before 6.7
support no partition below an ordinary cgroup. There a CPU in use is in no partition; the service manager's slices keep
other programs off it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from .._cpus.cpulist import CpuListError, format_cpulist
from .._cpus.errors import RefusalError
from .._cpus.partition import Partition
from .rivals import rivals

ROOT = "/sys/fs/cgroup"
#: The holder of each set.
HOLDERS = {name: f"{ROOT}/realtime-kvm.{name}" for name in ("dataplane", "realtime")}
#: Slices whose programs stay on housekeeping and shared CPUs. machine.slice is not listed: emulator threads, which need
#: the ordinary CPUs, and vCPU threads, which need the isolated ones, are both below it.
SLICES = ("init.scope", "system.slice", "user.slice")


class IsolationError(RefusalError):
    """A partition cannot be made; the message names CPUs, cgroup and what would help."""


@dataclass(frozen=True)
class User:
    """A thread that owns isolated CPUs, with its cgroup."""

    owner: str  # as in "plc1 vcpu0" or "pmd-c02/id:9"
    path: str  # its cgroup
    cpus: frozenset[int]
    state: str = "member"  # what cpuset.cpus.partition shows
    task: int = 0  # a thread that must be moved into the cgroup; libvirt moves its own threads
    alone: bool = True  # whether it gets a partition; an emulator does not, since I/O threads may have the same CPU

    @property
    def isolated(self) -> bool:
        return self.state == "isolated"


@dataclass(frozen=True)
class Held:
    """The present or wanted state of a holder; without CPUs it does not exist."""

    cpus: frozenset[int] = frozenset()
    state: str = ""

    def __str__(self) -> str:
        return f"{self.state} {format_cpulist(self.cpus)}" if self.cpus else self.state or "absent"


def members(partition: Partition) -> dict[str, frozenset[int]]:
    """Return the CPUs of each holder's set; idle SMT threads are held with the realtime ones, whose siblings they are."""
    return {"dataplane": partition.sets["dataplane"], "realtime": partition.sets["realtime"] | partition.idle}


def wanted_holders(
    partition: Partition, users: Iterable[User], reserved: Collection[int], online: frozenset[int]
) -> dict[str, Held]:
    """Return the CPUs of each holder: those of its set that are online, free and not reserved for a guest that starts."""
    busy = frozenset(reserved).union(*(user.cpus for user in users))
    return {
        name: Held(cpus, "isolated" if cpus else "")
        for name, own in members(partition).items()
        for cpus in [(own - busy) & online]
    }


def check_free(cpus: frozenset[int], users: Iterable[User], what: str) -> None:
    """Raise ``IsolationError`` when a thread owns one of the CPUs; ``what`` starts the message."""
    taken = [f"CPU {format_cpulist(user.cpus & cpus)} by {user.owner}" for user in users if user.cpus & cpus]
    if taken:
        raise IsolationError(f"{what}: in use: {', '.join(sorted(taken))}; stop or move it first")


def check_moves(users: Iterable[User], old: Partition, new: Partition) -> None:
    """Raise ``IsolationError`` when a CPU in use by a vCPU or poll-mode thread would leave its set."""
    before, after = members(old), members(new)
    for name, own in before.items():
        check_free(
            own - after[name], users, f"cpu_partition: CPUs {format_cpulist(own - after[name])} cannot leave the {name} set"
        )


def check_owners(partition: Partition, owners: Mapping[str, frozenset[int]]) -> None:
    """Raise ``IsolationError`` when another user's partition has CPUs of the isolated sets."""
    for path, cpus in sorted(owners.items()):
        both = cpus & partition.isolated
        if both:
            raise IsolationError(
                f"CPUs {format_cpulist(both)} belong to the cpuset partition {path} of another user; dissolve it "
                f"(echo member > {path}/cpuset.cpus.partition), or leave its CPUs out of the isolated sets (cpu_partition_cpus)"
            )


def check_siblings(wanted: Mapping[str, Held], siblings: Mapping[str, Mapping[str, str]], release: tuple[int, int]) -> None:
    """Raise ``IsolationError`` when a cgroup beside the holders keeps the kernel from isolating CPUs for them.

    ``siblings`` is what their files show, by name. Before Linux 7.0 a CPU in a sibling's ``cpuset.cpus`` (systemd:
    ``AllowedCPUs=``) makes the partition invalid.
    """
    holders = {path.removeprefix(f"{ROOT}/") for path in HOLDERS.values()}
    others = {name: files for name, files in siblings.items() if name not in holders}
    try:
        for name, held in wanted.items():
            for rival, cpus in sorted(rivals(held.cpus, others, release).items()):
                raise IsolationError(
                    f"CPUs {format_cpulist(cpus)} cannot be isolated for the {name} set: "
                    f"{ROOT}/{rival} lists them (cpuset.cpus, cpuset.cpus.exclusive). "
                    f"Remove them there (systemctl set-property {rival} AllowedCPUs=...), "
                    "or leave them out of the isolated sets"
                )
    except CpuListError as error:
        raise IsolationError(f"the cgroups below {ROOT} cannot be understood: {error}") from None


def exclusive_paths(users: Iterable[User]) -> dict[str, frozenset[int]]:
    """Return what ``cpuset.cpus.exclusive`` must hold in every cgroup from below the root to each user's own.

    A partition whose parent is no partition (a *remote* one) needs CPUs that each cgroup above it has marked as exclusive.
    """
    wanted: dict[str, frozenset[int]] = {}
    for user in users:
        parts = user.path.removeprefix(f"{ROOT}/").split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join([ROOT, *parts[:depth]])
            wanted[path] = wanted.get(path, frozenset()) | user.cpus
    return dict(sorted(wanted.items(), key=lambda item: (item[0].count("/"), item[0])))
