# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the isolated CPUs of a node that is isolated at run time. Pure.

A CPU of the realtime or dataplane set is in exactly one of two hands. While a vCPU or a poll-mode thread runs on it, it
belongs to the cgroup of that thread; else to the *holder* of its set, an empty cgroup below the root. Either is an
isolated cpuset partition (Documentation/admin-guide/cgroup-v2.rst): the scheduler balances nothing onto its CPUs. Kernels
before 6.7 know no partition below an ordinary cgroup, so there a CPU in use is in no partition; the service manager's
slices keep other programs off it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from .._cpus.cpulist import CpuListError, format_cpulist
from .._cpus.errors import RefusalError
from .._cpus.partition import Partition
from .rivals import rivals

ROOT = "/sys/fs/cgroup"
#: Set to its holder.
HOLDERS = {name: f"{ROOT}/realtime-kvm.{name}" for name in ("dataplane", "realtime")}
#: Slices whose programs stay on housekeeping and shared CPUs. machine.slice is none of them: emulator threads need the
#: ordinary CPUs, vCPU threads the isolated ones, and both live below it.
SLICES = ("init.scope", "system.slice", "user.slice")


class IsolationError(RefusalError):
    """A partition cannot be had; the message names CPUs, cgroup and what would help."""


@dataclass(frozen=True)
class User:
    """A thread that owns isolated CPUs, with its cgroup."""

    owner: str  # as in "plc1 vcpu0" or "pmd-c02/id:9"
    path: str  # its cgroup
    cpus: frozenset[int]
    state: str = "member"  # what cpuset.cpus.partition shows
    task: int = 0  # of a thread that is to be moved into the cgroup; libvirt has done that for its own

    @property
    def isolated(self) -> bool:
        return self.state == "isolated"


@dataclass(frozen=True)
class Held:
    """A holder as it is, or should be: without CPUs it does not exist."""

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
    """Return what each holder must hold: its set's CPUs that are online, in no use and not reserved for a guest that starts."""
    busy = frozenset(reserved).union(*(user.cpus for user in users))
    return {
        name: Held(cpus, "isolated" if cpus else "")
        for name, own in members(partition).items()
        for cpus in [(own - busy) & online]
    }


def check_free(cpus: frozenset[int], users: Iterable[User], what: str) -> None:
    """Raise ``IsolationError`` when a thread owns one of the CPUs; ``what`` says who asks."""
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
    """Raise ``IsolationError`` when a partition that is none of ours has CPUs of ours."""
    for path, cpus in sorted(owners.items()):
        both = cpus & partition.isolated
        if both:
            raise IsolationError(
                f"CPUs {format_cpulist(both)} belong to the cpuset partition {path}, which is none of ours; dissolve it "
                f"(echo member > {path}/cpuset.cpus.partition), or leave its CPUs out of the isolated sets (cpu_partition_cpus)"
            )


def check_siblings(wanted: Mapping[str, Held], siblings: Mapping[str, Mapping[str, str]], release: tuple[int, int]) -> None:
    """Raise ``IsolationError`` when a cgroup beside the holders keeps the kernel from isolating CPUs for them.

    ``siblings`` is what their files show, by name: before Linux 7.0 a CPU in one's ``cpuset.cpus`` (systemd: ``AllowedCPUs=``)
    makes the partition beside it invalid.
    """
    holders = {path.removeprefix(f"{ROOT}/") for path in HOLDERS.values()}
    others = {name: files for name, files in siblings.items() if name not in holders}
    try:
        for name, held in wanted.items():
            for rival, cpus in sorted(rivals(held.cpus, others, release).items()):
                raise IsolationError(
                    f"CPUs {format_cpulist(cpus)} cannot be isolated for the {name} set: {ROOT}/{rival} lists them (cpuset.cpus, cpuset.cpus.exclusive). "
                    f"Take them out there (systemctl set-property {rival} AllowedCPUs=...), or leave them out of the isolated sets"
                )
    except CpuListError as error:
        raise IsolationError(f"the cgroups below {ROOT} cannot be understood: {error}") from None


def exclusive_paths(users: Iterable[User]) -> dict[str, frozenset[int]]:
    """Return what ``cpuset.cpus.exclusive`` must hold in every cgroup from below the root to each user's own.

    A partition whose parent is none (a *remote* one) takes CPUs that each cgroup above it has marked as exclusive.
    """
    wanted: dict[str, frozenset[int]] = {}
    for user in users:
        parts = user.path.removeprefix(f"{ROOT}/").split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join([ROOT, *parts[:depth]])
            wanted[path] = wanted.get(path, frozenset()) | user.cpus
    return dict(sorted(wanted.items(), key=lambda item: (item[0].count("/"), item[0])))
