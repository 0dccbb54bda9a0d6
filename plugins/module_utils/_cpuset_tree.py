# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel makes of writes to cgroup v2 cpusets: a model to ask before the first write.

The kernel accepts most writes to ``cpuset.cpus.partition`` and shows afterwards what became of them
(``isolated invalid (...)``). ``predict`` replays planned writes on a copy of the tree and says which would be
refused and which partitions would end invalid. The prediction never replaces reading the machine back.

A *partition* owns CPUs that nobody outside its subtree may use. It is *local* where its parent is a valid partition
(the cgroup root is one) and takes CPUs from the parent; it is *remote* where the parent is none, and takes CPUs from
the root, if every cgroup on the way has them in ``cpuset.cpus.exclusive``.

Sources: "Cpuset Interface Files" in the kernel's Documentation/admin-guide/cgroup-v2.rst (6.1, 6.12, 7.x), the
behaviour of kernel/cgroup/cpuset.c and the scenarios of its self test (tools/testing/selftests/cgroup).

On purpose stricter than the kernel: a partition that a change above it leaves without CPUs is invalid here; some kernels
call it valid and let it share its parent's CPUs. CPUs isolated at boot stay isolated, as the documentation says.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ._cpuset import CpuListError, format_cpulist, parse_cpulist

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


@dataclass
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

    def partitions(self) -> Iterator[Cgroup]:
        """The valid partitions among the children."""
        return (child for child in self.children.values() if child.valid)

    def siblings(self) -> Iterator[Cgroup]:
        """The other children of the parent."""
        return (other for other in self.parent.children.values() if other is not self) if self.parent else iter(())

    def invalidate(self, reason: str) -> None:
        """Become invalid, or stay so for another reason."""
        self.reason, self.remote = reason, False


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


class CpusetTree:
    """The cgroups of a machine that have the cpuset controller; the root's path is the empty text."""

    def __init__(
        self,
        rules: Rules,
        online: Cpus,
        possible: Cpus | None = None,
        boot_isolated: Cpus = frozenset(),
        nohz_full: Cpus = frozenset(),
    ) -> None:
        """Take CPUs of the machine; boot_isolated are those of ``isolcpus=domain``."""
        self.rules, self.online, self.possible = rules, online, online if possible is None else possible
        self.boot_isolated, self.nohz_full = boot_isolated, nohz_full
        self.root = Cgroup("", None, cpus=self.possible, kind=ROOT, granted=self.possible, effective=online, tasks=True)
        self._groups = {"": self.root}

    @classmethod
    def observed(cls, tree: CpusetTree, files: Mapping[str, Mapping[str, str]], populated: Collection[str] = ()) -> CpusetTree:
        """Fill an empty tree with what a machine's files say (path to file name to text) and the cgroups that have tasks.

        Raises ``CpusetTreeError`` for a cgroup without its parent or a text that is not what the file may hold.
        """
        for path in sorted(files, key=lambda path: path.split("/")):
            seen = files[path]
            group = tree.add(path)
            text, _mark, rest = seen.get(PARTITION, MEMBER).strip().partition(" invalid")
            if text not in KINDS:
                raise CpusetTreeError(f"{path}/{PARTITION} reads {text!r}, not one of {', '.join(KINDS)}")
            group.kind, group.reason = text, rest.strip().strip("()") if _mark else None
            group.cpus, group.exclusive = tree._cpulist(seen.get(CPUS, "")), tree._cpulist(seen.get(EXCLUSIVE, ""))
            group.tasks = path in populated
            parent = group.parent or tree.root
            group.remote = group.valid and not parent.valid
            group.granted = (
                tree._cpulist(seen[GRANTED]) if GRANTED in seen else group.cpus & parent.granted if group.valid else frozenset()
            )
        tree._settle()
        return tree

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
            return self._groups[path]
        except KeyError:
            raise CpusetTreeError(f"no cgroup {path!r} with the cpuset controller") from None

    def __iter__(self) -> Iterator[Cgroup]:
        """Iterate over all cgroups below the root, parents first."""
        return self.root.below()

    @property
    def handed_out(self) -> Cpus:
        """The CPUs that partitions took from the root."""
        return _union(group.granted for group in self if group.valid and (group.parent is self.root or group.remote))

    @property
    def isolated(self) -> Cpus:
        """The root's cpuset.cpus.isolated: CPUs of isolated partitions and of boot, offline ones included."""
        own = (
            group.granted - _union(child.granted for child in group.partitions())
            for group in self
            if group.valid and group.kind == ISOLATED
        )
        return self.boot_isolated | _union(own)

    def owner_of(self, cpu: int) -> str | None:
        """Return the path of the innermost valid partition that owns the CPU, None if it is the root's."""
        owners = [group.path for group in self if group.valid and cpu in group.granted]
        return owners[-1] if owners else None

    def claimed_by(self, cpu: int) -> tuple[str, ...]:
        """Return the cgroups that have the CPU in cpuset.cpus.exclusive, parents first."""
        return tuple(group.path for group in self if cpu in group.exclusive)

    # what a writer does

    def add(self, path: str) -> Cgroup:
        """Make a cgroup (or enable the controller above it); its parent must be there."""
        head, _slash, name = path.rpartition("/")
        parent = self[head]
        if not name or path in self._groups:
            raise CpusetTreeError(f"cgroup {path!r} is there already" if name else f"{path!r} is no path of a cgroup")
        group = parent.children[name] = self._groups[path] = Cgroup(path, parent, effective=parent.effective)
        return group

    def remove(self, path: str) -> Outcome:
        """Remove a cgroup (or take the controller from it): a partition gives its CPUs back first."""
        group = self[path]
        if group.parent is None or group.children or group.tasks:
            return Outcome("EBUSY", group.partition)
        outcome = self.write(path, PARTITION, MEMBER)
        del group.parent.children[path.rpartition("/")[2]], self._groups[path]
        return outcome

    def attach(self, path: str, tasks: bool = True) -> Outcome:
        """Put a task into a cgroup, or take the last one out; nobody may enter where there is no CPU."""
        group = self[path]
        if tasks and not group.effective:
            return Outcome("ENOSPC", group.partition)
        group.tasks = tasks
        return Outcome(None, group.partition)

    def write(self, path: str, file: str, value: str) -> Outcome:
        """Write a text to one of the three files that can be written."""
        group = self[path]
        valid = [other for other in self if other.valid and other is not group]
        error = self._write(group, file, value.strip())
        return Outcome(error, group.partition, tuple(other.path for other in valid if not other.valid))

    def plug(self, cpu: int, online: bool) -> Outcome:
        """Take a CPU offline or bring it back."""
        if cpu not in self.possible:
            return Outcome("ENOENT", ROOT)
        left = self.online | {cpu} if online else self.online - {cpu}
        if not left:
            return Outcome("EBUSY", ROOT)
        valid = [group for group in self if group.valid]
        self.online = left
        self._hotplugged()
        return Outcome(None, ROOT, tuple(group.path for group in valid if not group.valid))

    def _write(self, group: Cgroup, file: str, value: str) -> str | None:
        if group.parent is None:
            return "EACCES"
        if file == PARTITION:
            if value not in KINDS:
                return "EINVAL"
            self._set_kind(group, value)
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
        collides = self._collides(group, trial)
        if collides and file == EXCLUSIVE:
            return "EINVAL"
        self._change(group, trial, collides)
        return None

    def _collides(self, group: Cgroup, trial: Cgroup) -> bool:
        """Whether CPUs of the changed cgroup and of a sibling cannot go together."""
        if not self.rules.yields:
            return any(_overlaps(trial, other) for other in group.siblings())
        if trial.exclusive == group.exclusive:
            return False
        claim = trial.exclusive if group.kind == MEMBER else trial.wanted
        return any(
            claim & _above(group).granted & (other.exclusive or other.granted)
            or trial.exclusive & other.exclusive
            or (other.cpus and other.cpus <= trial.exclusive)
            for other in group.siblings()
        )

    def _change(self, group: Cgroup, trial: Cgroup, collides: bool) -> None:
        """Take over CPUs of a cgroup that the kernel accepts."""
        parent = _above(group)
        granted = self._claim(trial, group, always=group.kind != MEMBER)
        if collides:  # older kernels: nobody keeps a partition
            for other in (other for other in group.siblings() if other.valid and other.granted & trial.wanted):
                other.invalidate("" if self.rules.exclusive else NOT_EXCLUSIVE)
        if group.kind != MEMBER:
            reason = self._obstacle(group, granted)
            if collides and group.valid:
                group.invalidate("" if self.rules.exclusive else NOT_EXCLUSIVE)
            elif collides:
                pass
            elif reason is not None:
                group.invalidate(reason)
            elif group.remote:
                self._regrant(group, granted)
            elif (
                parent.valid
                and self._starves(group, group.wanted)
                and not (group.valid and (group.granted - granted) & self.online)
            ):
                group.invalidate(NO_CPUS_LEFT)
            elif parent.valid:
                group.reason = None
        elif not self.rules.yields:
            lost = group.granted - granted
            for other in [other for other in self if other.remote and other.effective & lost]:
                other.invalidate(INVALID_CPUS)
        group.cpus, group.exclusive = trial.cpus, trial.exclusive
        group.granted = granted if group.valid else self._claim(group, group, always=False)
        self._revisit(group)

    def _set_kind(self, group: Cgroup, kind: str) -> None:
        if group.kind == kind and group.reason is None:
            return
        if kind != MEMBER and group.reason is not None and not self.rules.exclusive:
            group.kind = kind  # 6.1 tries anew only after member
            return
        if kind == MEMBER:
            group.kind, group.reason, group.remote = MEMBER, None, False
        elif group.valid:
            group.kind = kind
            if self.rules.yields and self._spoils_housekeeping(kind, group.granted, kind):
                group.invalidate(HOUSEKEEPING)
        else:
            group.kind, group.reason = MEMBER, None
            reason = self._enable(group, kind)
            group.kind = kind
            if reason is not None:
                group.invalidate(reason if self.rules.exclusive else OLD_WORDING.get(reason, reason))
        self._revisit(group)

    def _enable(self, group: Cgroup, kind: str) -> str | None:
        """Make a partition of a cgroup that is none; return the reason why not."""
        parent, rules = _above(group), self.rules
        if not rules.yields and any(group.wanted & other.wanted for other in group.siblings()):
            return NOT_EXCLUSIVE
        if not group.wanted:
            return EMPTY
        if parent is self.root and group.exclusive & self.handed_out:
            return REMOTE_BELOW
        granted = self._claim(group, group, always=True)
        if not parent.valid:
            if not rules.exclusive:
                return INVALID_PARENT if parent.kind != MEMBER else NO_PARTITION_ABOVE
            usable = granted & self.online if rules.yields else granted
            if not usable or granted & self.handed_out or self.root.effective <= granted:
                return INVALID_CPUS
            if rules.yields and self._spoils_housekeeping(kind, granted, ROOT):
                return HOUSEKEEPING
            group.remote = True
        else:
            if not granted:
                return INVALID_CPUS
            # 6.12 refuses CPUs isolated at boot to every local partition, later kernels only to those that are not isolated
            asked = granted if rules.yields else group.wanted
            if rules.exclusive and self._spoils_housekeeping(kind if rules.yields else MEMBER, asked, parent.kind):
                return HOUSEKEEPING
            if self._starves(group, granted):
                return NO_CPUS_LEFT
        group.granted = granted
        return None

    # the rules behind

    def _claim(self, group: Cgroup, real: Cgroup, always: bool) -> Cpus:
        """The exclusive CPUs a cgroup can have; for ``always`` from cpuset.cpus if cpuset.cpus.exclusive is empty."""
        claim = (group.wanted if always else group.exclusive) & _above(real).granted
        if self.rules.yields and not group.exclusive:
            claim -= _union(other.exclusive or other.granted for other in real.siblings())
        return claim

    def _spoils_housekeeping(self, kind: str, cpus: Cpus, above: str) -> bool:
        """Whether boot time isolation forbids the partition: wrong kind, or no CPU left that is neither isolated nor nohz_full."""
        if kind != ISOLATED:
            return bool(cpus & self.boot_isolated)
        return (
            bool(self.nohz_full) and self.rules.yields and above != kind and self.online <= self.nohz_full | self.isolated | cpus
        )

    def _populated(self, group: Cgroup, leave_out: Cgroup | None = None) -> bool:
        """Whether tasks run on the CPUs a partition keeps for itself."""
        others = (child for child in group.children.values() if not child.valid and child is not leave_out)
        return group.tasks or any(self._populated(child) for child in others)

    def _starves(self, group: Cgroup, cpus: Cpus) -> bool:
        """Whether a partition of these CPUs would leave tasks without any, in the parent or in itself."""
        parent = _above(group)
        if parent.effective <= cpus and self._populated(parent, group):
            return True
        return self.rules.exclusive and not cpus & self.online and self._populated(group)

    def _obstacle(self, group: Cgroup, granted: Cpus) -> str | None:
        """Why a partition cannot have these CPUs."""
        if not granted and (group.valid or self.rules.yields):
            return INVALID_CPUS if self.rules.exclusive else OLD_WORDING[EMPTY]
        if self.rules.exclusive and group.kind != ISOLATED and granted & self.boot_isolated:
            return HOUSEKEEPING
        return NO_CPUS_LEFT if self._starves(group, granted) else None

    def _regrant(self, group: Cgroup, granted: Cpus) -> None:
        """Give a remote partition other CPUs, or none."""
        added = granted - group.granted
        if not granted:
            group.invalidate(EMPTY)
        elif added and (added & self.handed_out or self.root.effective <= added):
            group.invalidate(NO_CPUS_LEFT)
        else:
            group.granted = granted

    def _settle(self) -> None:
        """Derive every cpuset.cpus.effective."""
        self.root.effective = self.online - self.handed_out
        for group in self:
            if group.valid:
                group.effective = (group.granted & self.online) - _union(child.granted for child in group.partitions())
            else:
                group.effective = (group.cpus & _above(group).effective) or _above(group).effective

    def _revisit(self, top: Cgroup) -> None:
        """Let a change of a cgroup reach those below it: some partitions there end, some get another chance."""
        self._settle()
        for group in [top, *top.below()]:
            before = (group.granted, group.reason, [child.reason for child in group.children.values()])
            if group is not top and group.kind != MEMBER:
                self._reconsider(group)
            if not (group.remote and group is not top):
                group.granted = self._claim(group, group, always=group.valid)
            self._trim(group)
            if before != (group.granted, group.reason, [child.reason for child in group.children.values()]):
                self._settle()
        self._settle()

    def _reconsider(self, group: Cgroup) -> None:
        parent = _above(group)
        if (
            group.remote
            and self.rules.exclusive
            and (not self.rules.yields or parent.kind == MEMBER)
            and group.granted <= self.handed_out
        ):
            claim = self._claim(group, group, always=True)
            if self.rules.yields and claim != group.granted:
                self._regrant(group, claim)
                if not group.valid:
                    group.invalidate(NO_PARTITION_ABOVE)
        elif not parent.valid:
            group.invalidate(INVALID_PARENT if parent.kind != MEMBER else NO_PARTITION_ABOVE)
        elif group.wanted and self._starves(group, group.wanted):
            group.invalidate(NO_CPUS_LEFT)
        elif not group.valid and group.wanted and group.wanted <= parent.granted:
            group.reason = NOT_EXCLUSIVE if any(group.wanted & other.wanted for other in group.siblings()) else None

    def _trim(self, group: Cgroup) -> None:
        """End partitions below a partition that no longer fit into it, or leave its tasks no CPU."""
        if group.valid:
            left, populated = group.granted & self.online, self._populated(group)
            for child in group.partitions():
                if not child.granted <= group.granted:
                    child.invalidate(INVALID_CPUS)
                elif populated and left <= child.granted:
                    child.invalidate(NO_CPUS_LEFT)
                else:
                    left -= child.granted

    def _hotplugged(self) -> None:
        """Follow a CPU that came or went. A partition keeps CPUs that are offline, and gets another chance with them."""
        nothing_left = self.online <= self.handed_out
        self._settle()
        for group in [group for group in self if group.kind != MEMBER]:
            parent = _above(group)
            self._trim(group)
            if group.valid:
                has = (group.granted & self.online) - _union(child.granted for child in group.partitions())
                if group.remote:
                    if nothing_left or (not has and self._populated(group)):
                        group.invalidate(HOTPLUG)
                        group.granted = self._claim(group, group, always=False)
                elif nothing_left or not parent.valid or self._starves(group, has):
                    group.invalidate("" if self.rules.exclusive else HOTPLUG)
            elif parent.valid and (group.granted or not self.rules.exclusive):
                self._reconsider(group)
            self._settle()


@dataclass(frozen=True)
class Prediction:
    """How planned writes would end: each with its outcome, and the tree behind them."""

    steps: tuple[tuple[Write, Outcome], ...]
    tree: CpusetTree

    @property
    def problems(self) -> tuple[str, ...]:
        """Writes the kernel would refuse, and partitions that were written or valid before and would end invalid."""
        found = [
            f"{step.path}/{step.file}: writing {step.value!r} is refused with {was.error}"
            for step, was in self.steps
            if was.error
        ]
        touched = {path for step, was in self.steps for path in (step.path, *was.invalidated)}
        return (*found, *(f"{g.path}: {g.partition}" for g in self.tree if g.path in touched and g.reason is not None))


def predict(tree: CpusetTree, writes: Iterable[Write]) -> Prediction:
    """Replay writes on a copy of the tree."""
    after = copy.deepcopy(tree)
    return Prediction(tuple((write, after.write(*write)) for write in writes), after)


def _union(sets: Iterable[Cpus]) -> Cpus:
    return frozenset().union(*sets)


def _above(group: Cgroup) -> Cgroup:
    assert group.parent is not None  # nobody writes to the root
    return group.parent


def _overlaps(one: Cgroup, other: Cgroup) -> bool:
    """Whether kernels before 7.0 forbid two siblings."""
    if one.valid or other.valid or (one.exclusive and other.exclusive):
        return bool(one.wanted & other.wanted)
    claims, cpus = (one.exclusive, other.cpus) if one.exclusive else (other.exclusive, one.cpus)
    return bool(claims and cpus) and cpus <= claims
