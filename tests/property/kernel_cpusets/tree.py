# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel makes of writes to cgroup v2 cpusets: a model to ask before the first write.

The kernel accepts most writes to ``cpuset.cpus.partition`` and shows afterwards what became of them
(``isolated invalid (...)``). ``predict`` replays planned writes on a copy of the tree and says which would be
refused and which partitions would end invalid. The prediction never replaces reading the machine back.

A *partition* owns CPUs that no task outside its subtree may use. It is *local* where its parent is a valid partition
(the cgroup root is one) and takes CPUs from the parent; it is *remote* where the parent is not one, and takes CPUs from
the root, if every cgroup on the way has them in ``cpuset.cpus.exclusive``.

Sources: "Cpuset Interface Files" in the kernel's Documentation/admin-guide/cgroup-v2.rst (6.1, 6.12, 7.x), the
behaviour of kernel/cgroup/cpuset.c and the scenarios of its self test (tools/testing/selftests/cgroup).

On purpose stricter than the kernel: a partition that a change above it leaves without some of the CPUs it asks for stays
invalid here until it is written again; some kernels call it valid and let it share its parent's CPUs. CPUs isolated at
boot stay isolated, as the documentation says, though cpuset.cpus.isolated can lose them with the partition they were in.
The writer is taken to be root in the initial namespaces, and no task to be of SCHED_DEADLINE.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import CpuListError, format_cpulist, parse_cpulist
from property.kernel_cpusets.group import (
    CPUS,
    EXCLUSIVE,
    GRANTED,
    KINDS,
    MEMBER,
    PARTITION,
    ROOT,
    Cgroup,
    Cpus,
    CpusetTreeError,
)
from property.kernel_cpusets.rules import CpusetState


class Write(NamedTuple):
    """One write: cgroup path relative to the cgroup root, name of the file, text."""

    path: str
    file: str
    value: str


@dataclass(frozen=True)
class Outcome:
    """What a step brings: the kernel's error (``EINVAL``) or None, the cgroup's partition, what became invalid elsewhere."""

    error: str | None
    partition: str = MEMBER
    invalidated: tuple[str, ...] = ()
    rivals: Mapping[str, Cpus] = field(default_factory=dict)  #: who has or claims the CPUs, after a refusal


class CpusetTree(CpusetState):
    """The cgroups of a machine that have the cpuset controller; the root's path is the empty text."""

    def load(self, files: Mapping[str, Mapping[str, str]], populated: Collection[str] = ()) -> None:
        """Add cgroups as a machine's files show them (path to file name to text), and those of them that have tasks.

        Raises ``CpusetTreeError`` for a cgroup without its parent or a text that is not what the file may hold.
        """
        for path in sorted(files, key=lambda path: path.split("/")):
            seen = files[path]
            group = self.add(path)
            text, _mark, rest = seen.get(PARTITION, MEMBER).strip().partition(" invalid")
            if text not in KINDS:
                raise CpusetTreeError(f"{path}/{PARTITION} reads {text!r}, not one of {', '.join(KINDS)}")
            group.kind, group.reason = text, rest.strip().strip("()") if _mark else None
            group.cpus, group.exclusive = self._cpulist(seen.get(CPUS, "")), self._cpulist(seen.get(EXCLUSIVE, ""))
            group.tasks = path in populated
            parent = group.parent or self.root
            group.remote = group.valid and not parent.valid
            group.granted = (
                self._cpulist(seen[GRANTED]) if GRANTED in seen else group.cpus & parent.granted if group.valid else frozenset()
            )
        self.settle()

    def _cpulist(self, text: str) -> Cpus:
        try:
            cpus = parse_cpulist(text.strip())
        except CpuListError as error:
            raise CpusetTreeError(str(error)) from None
        if not cpus <= self.possible:
            raise CpusetTreeError(f"no CPU {format_cpulist(cpus - self.possible)} on this machine")
        return cpus

    # what is to be seen

    def __getitem__(self, path: str) -> Cgroup:
        """Return the cgroup; raises ``CpusetTreeError`` where there is none."""
        try:
            return self.groups[path]
        except KeyError:
            raise CpusetTreeError(f"no cgroup {path!r} with the cpuset controller") from None

    def owner_of(self, cpu: int) -> str | None:
        """Return the path of the innermost valid partition that owns the CPU, None if it is the root's."""
        owners = [group.path for group in self if group.valid and cpu in group.granted]
        return owners[-1] if owners else None

    def claimed_by(self, cpu: int) -> tuple[str, ...]:
        """Return the cgroups that have the CPU in cpuset.cpus.exclusive, parents first."""
        return tuple(group.path for group in self if cpu in group.exclusive)

    def rivals(self, path: str, cpus: Cpus) -> dict[str, Cpus]:
        """Return which cgroups, outside the line of this one, keep it from having these CPUs for itself."""
        group = self[path]
        line = {path, *(other.path for other in group.below()), *(other.path for other in group.above())}
        found = {}
        for other in self:
            taken = other.exclusive | (other.granted if other.valid else frozenset())
            if other.parent is group.parent and (not self.rules.yields or (other.cpus and other.cpus <= cpus)):
                taken |= other.cpus
            if other.path not in line and taken & cpus:
                found[other.path] = taken & cpus
        return found

    # what a writer does

    def add(self, path: str) -> Cgroup:
        """Make a cgroup (or enable the controller above it); its parent must be there."""
        head, _slash, name = path.rpartition("/")
        parent = self[head]
        if not name or path in self.groups:
            raise CpusetTreeError(f"cgroup {path!r} is there already" if name else f"{path!r} is no path of a cgroup")
        group = parent.children[name] = self.groups[path] = Cgroup(path, parent, effective=parent.effective)
        return group

    def remove(self, path: str) -> Outcome:
        """Remove a cgroup (or take the controller from it): a partition gives its CPUs back first."""
        group = self[path]
        if group.parent is None or group.children or group.tasks:
            return Outcome("EBUSY", group.partition)
        outcome = self.write(path, PARTITION, MEMBER)
        del group.parent.children[path.rpartition("/")[2]], self.groups[path]
        return outcome

    def attach(self, path: str, tasks: bool = True) -> Outcome:
        """Put a task into a cgroup, or remove the last one; no task may enter where there is no CPU."""
        group = self[path]
        if tasks and not group.effective:
            return Outcome("ENOSPC", group.partition)
        group.tasks = tasks
        return Outcome(None, group.partition)

    def write(self, path: str, file: str, value: str) -> Outcome:
        """Write a text to one of the three files that can be written; a refused write changes nothing.

        Raises ``CpusetTreeError`` only for a cgroup that is not there.
        """
        group = self[path]
        valid = [other for other in self if other.valid and other is not group]
        error = self._write(group, file, value.strip())
        invalidated = tuple(other.path for other in valid if not other.valid)
        if error is None and group.reason is None:
            return Outcome(None, group.partition, invalidated)
        try:
            asked = group.wanted if file == PARTITION else self._cpulist(value)
        except CpusetTreeError:
            asked = frozenset()
        return Outcome(error, group.partition, invalidated, self.rivals(path, asked))

    def plug(self, cpu: int, online: bool) -> Outcome:
        """Take a CPU offline or bring it back."""
        if cpu not in self.possible:
            return Outcome("ENOENT", ROOT)
        left = self.online | {cpu} if online else self.online - {cpu}
        if not left:
            return Outcome("EBUSY", ROOT)
        valid = [group for group in self if group.valid]
        self.online = left
        self.hotplugged()
        return Outcome(None, ROOT, tuple(group.path for group in valid if not group.valid))

    def _write(self, group: Cgroup, file: str, value: str) -> str | None:
        if group.parent is None:
            return "EACCES"
        if file == PARTITION:
            if value not in KINDS:
                return "EINVAL"
            self.set_kind(group, value)
            return None
        if file not in (CPUS, EXCLUSIVE) or (file == EXCLUSIVE and not self.rules.exclusive):
            return "ENOENT"
        try:
            cpus = self._cpulist(value)
        except CpusetTreeError:
            return "EINVAL"
        if cpus == (group.cpus if file == CPUS else group.exclusive):
            return None
        trial = copy.copy(group)
        if file == CPUS:
            trial.cpus = cpus
        else:
            trial.exclusive = cpus
        if (
            not self.rules.yields
            and group.cpus
            and not trial.cpus
            and (group.tasks or any(other.tasks for other in group.below()))
        ):
            return "ENOSPC"
        collides = self.collides(group, trial)
        if collides and file == EXCLUSIVE:
            return "EINVAL"
        self.change(group, trial, collides)
        return None


@dataclass(frozen=True)
class Prediction:
    """How planned writes would end: each with its outcome, and the tree behind them."""

    steps: tuple[tuple[Write, Outcome], ...]
    tree: CpusetTree

    @property
    def problems(self) -> tuple[str, ...]:
        """Writes the kernel would refuse, and partitions that were written or valid before and would end invalid."""
        found = []
        for step, was in self.steps:
            if was.error:
                found.append(f"{step.path}/{step.file}: writing {step.value!r} is refused with {was.error}{_named(was.rivals)}")
        last = {step.path: was for step, was in self.steps}
        touched = {*last, *(path for _step, was in self.steps for path in was.invalidated)}
        for group in self.tree:
            if group.path in touched and group.reason is not None:
                rivals = last[group.path].rivals if group.path in last else {}
                found.append(f"{group.path}/{PARTITION}: {group.partition}{_named(rivals)}")
        return tuple(found)


def predict(tree: CpusetTree, writes: Iterable[Write]) -> Prediction:
    """Replay writes on a copy of the tree."""
    after = copy.deepcopy(tree)
    return Prediction(tuple((write, after.write(*write)) for write in writes), after)


def _named(rivals: Mapping[str, Cpus]) -> str:
    return "".join(f"; {path} has CPU {format_cpulist(cpus)}" for path, cpus in rivals.items())
