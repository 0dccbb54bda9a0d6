# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the kernel answers changes of cpusets: the machinery of kernel_cpusets.tree, which says what is modelled and after what.

A change of a cgroup is taken over, then it reaches the cgroups below it. What is derived is never kept by hand:
``settle`` computes every cpuset.cpus.effective from the CPUs that partitions were granted.
"""

from __future__ import annotations

from collections.abc import Iterator

from property.kernel_cpusets.group import (
    EMPTY,
    HOTPLUG,
    HOUSEKEEPING,
    INVALID_CPUS,
    INVALID_PARENT,
    ISOLATED,
    MEMBER,
    NO_CPUS_LEFT,
    NO_PARTITION_ABOVE,
    NOT_EXCLUSIVE,
    OLD_WORDING,
    REMOTE_BELOW,
    ROOT,
    Cgroup,
    Cpus,
    Rules,
    overlaps,
    parent_of,
    union,
)


class CpusetState:
    """The cgroups of a machine and its CPUs, and the rules they follow."""

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
        self.groups = {"": self.root}

    def __iter__(self) -> Iterator[Cgroup]:
        """Iterate over all cgroups below the root, parents first."""
        return self.root.below()

    @property
    def handed_out(self) -> Cpus:
        """The CPUs that partitions took from the root."""
        return union(group.granted for group in self if group.valid and (group.parent is self.root or group.remote))

    @property
    def isolated(self) -> Cpus:
        """The root's cpuset.cpus.isolated: CPUs of isolated partitions and of boot, offline ones included."""
        own = (
            group.granted - union(child.granted for child in group.partitions())
            for group in self
            if group.valid and group.kind == ISOLATED
        )
        return self.boot_isolated | union(own)

    def collides(self, group: Cgroup, trial: Cgroup) -> bool:
        """Whether CPUs of the changed cgroup and of a sibling cannot go together."""
        if not self.rules.yields:
            return any(overlaps(trial, other) for other in group.siblings())
        if trial.exclusive == group.exclusive:
            return False
        claim = trial.exclusive if group.kind == MEMBER else trial.wanted
        return any(
            claim & parent_of(group).granted & (other.exclusive or other.granted)
            or trial.exclusive & other.exclusive
            or (other.cpus and other.cpus <= trial.exclusive)
            for other in group.siblings()
        )

    def change(self, group: Cgroup, trial: Cgroup, collides: bool) -> None:
        """Take over CPUs of a cgroup that the kernel accepts."""
        parent = parent_of(group)
        granted = self._claim(trial, group, always=group.kind != MEMBER)
        losers = [other for other in group.siblings() if collides and other.valid and other.granted & trial.wanted]
        for other in losers:  # older kernels: no cgroup keeps a partition
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
            elif parent.valid and not group.valid:
                # since 6.7 the CPUs asked for until now still count: it takes a second write to come out of want
                want = self.rules.exclusive and self._starves(group, group.wanted)
                group.reason = NO_CPUS_LEFT if want else self._bar(group, trial.wanted, granted)
        elif not self.rules.yields:
            lost = group.granted - granted
            for other in [other for other in self if other.remote and other.effective & lost]:
                other.invalidate(INVALID_CPUS)
        group.cpus, group.exclusive = trial.cpus, trial.exclusive
        group.granted = granted if group.valid else self._claim(group, group, always=False)
        for changed in (*losers, group):
            self._revisit(changed)

    def set_kind(self, group: Cgroup, kind: str) -> None:
        """Take over a write to cpuset.cpus.partition; what cannot be becomes an invalid partition."""
        if group.kind == kind and group.reason is None:
            return
        if kind != MEMBER and group.reason is not None and not self.rules.exclusive:
            group.kind = kind  # 6.1 tries again only after member
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
                group.invalidate(reason)
        self._revisit(group)

    def _enable(self, group: Cgroup, kind: str) -> str | None:
        """Make a partition of a cgroup that is not one; return the reason why not."""
        parent, rules = parent_of(group), self.rules
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

    def _claim(self, group: Cgroup, real: Cgroup, always: bool) -> Cpus:
        """The exclusive CPUs a cgroup can have; for ``always`` from cpuset.cpus if cpuset.cpus.exclusive is empty."""
        claim = (group.wanted if always else group.exclusive) & parent_of(real).granted
        if self.rules.yields and not group.exclusive:
            claim -= union(other.exclusive or other.granted for other in real.siblings())
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
        parent = parent_of(group)
        if parent.effective <= cpus and self._populated(parent, group):
            return True
        return self.rules.exclusive and not cpus & self.online and self._populated(group)

    def _obstacle(self, group: Cgroup, granted: Cpus) -> str | None:
        """Why a partition cannot have these CPUs."""
        if not granted:
            return INVALID_CPUS if self.rules.exclusive else EMPTY
        if self.rules.exclusive and group.kind != ISOLATED and granted & self.boot_isolated:
            return HOUSEKEEPING
        return NO_CPUS_LEFT if self._starves(group, granted) else None

    def _bar(self, group: Cgroup, wanted: Cpus, granted: Cpus) -> str | None:
        """Why an invalid partition cannot come back as a local one."""
        if not self.rules.yields and any(wanted & other.wanted for other in group.siblings()):
            return NOT_EXCLUSIVE
        if self.rules.exclusive and group.kind != ISOLATED and granted & self.boot_isolated:
            return HOUSEKEEPING
        return REMOTE_BELOW if group.parent is self.root and granted & self.handed_out else None

    def _regrant(self, group: Cgroup, granted: Cpus) -> None:
        """Give a remote partition other CPUs, or none."""
        added = granted - group.granted
        if not granted:
            group.invalidate(EMPTY)
        elif added and self.root.effective <= added:
            group.invalidate(NO_CPUS_LEFT)
        else:
            group.granted = granted

    def settle(self) -> None:
        """Derive every cpuset.cpus.effective."""
        self.root.effective = self.online - self.handed_out
        for group in self:
            if group.reason and not self.rules.exclusive:
                group.reason = OLD_WORDING.get(group.reason, group.reason)
            if group.valid:
                group.effective = (group.granted & self.online) - union(child.granted for child in group.partitions())
            else:
                group.effective = (group.cpus & parent_of(group).effective) or parent_of(group).effective

    def _revisit(self, top: Cgroup) -> None:
        """Let a change of a cgroup reach those below it: some partitions there end, some get another chance."""
        self.settle()
        for group in [top, *top.below()]:
            before = (group.granted, group.reason, [child.reason for child in group.children.values()])
            if group is not top and group.kind != MEMBER:
                self._reconsider(group)
            if not (group.remote and group is not top):
                group.granted = self._claim(group, group, always=group.valid)
            self._trim(group)
            if before != (group.granted, group.reason, [child.reason for child in group.children.values()]):
                self.settle()
        self.settle()

    def _reconsider(self, group: Cgroup) -> None:
        """Check a partition again after something above it changed."""
        parent = parent_of(group)
        if group.remote:
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
            if any(group.wanted & other.wanted for other in group.siblings()):
                group.invalidate(NOT_EXCLUSIVE)
            else:
                group.reason = self._bar(group, group.wanted, group.wanted)
                group.granted = self._claim(group, group, always=True) if group.valid else group.granted

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

    def hotplugged(self) -> None:
        """Follow a CPU that came or went. A partition keeps CPUs that are offline, and gets another chance with them."""
        nothing_left = self.online <= self.handed_out
        self.settle()
        for group in [group for group in self if group.kind != MEMBER]:
            parent = parent_of(group)
            self._trim(group)
            if group.valid:
                has = (group.granted & self.online) - union(child.granted for child in group.partitions())
                if group.remote:
                    if nothing_left or (not has and self._populated(group)):
                        group.invalidate(HOTPLUG)
                        group.granted = self._claim(group, group, always=False)
                elif nothing_left or not parent.valid or self._starves(group, has) or (not has and self._populated(group)):
                    group.invalidate("" if self.rules.exclusive else HOTPLUG)
            elif parent.valid and (group.granted or not self.rules.exclusive):
                self._reconsider(group)
            self.settle()
