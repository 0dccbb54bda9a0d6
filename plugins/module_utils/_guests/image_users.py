# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses the file of each listed disk: no two disks write one file, and none writes what lies behind another. Edge, read-only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from .._cpus.errors import HostError
from .._host.host import Host
from .guest import Disk, GuestError
from .hiding import clean
from .images import QEMU, Identity, disk_files, identity_of, loop_files, used_files
from .known_disks import format_of, target_of
from .libvirt import Domain
from .plan import GuestPlan, lets_go
from .volumes import on_files


class _Use(NamedTuple):
    """A domain's use of a file: as one of its disks, or behind one."""

    name: str
    disk: ET.Element
    path: str  # of the disk
    behind: bool
    planned: bool = False  # in the definition that this run makes
    live: bool = False
    argument: bool = False  # one of QEMU's, in which a file may be anything

    @property
    def place(self) -> str:
        return "in QEMU's arguments" if self.argument else f"as {clean(target_of(self.disk))}"

    @property
    def reads(self) -> bool:
        return self.disk.find("readonly") is not None

    @property
    def shares(self) -> bool:
        return self.disk.find("shareable") is not None


class _Listed(NamedTuple):
    """A disk of the list."""

    plan: GuestPlan
    disk: Disk

    @property
    def where(self) -> str:
        return f"realtime_guests: {self.plan.guest.name}: disk {self.disk.path}"

    @property
    def shares(self) -> bool:
        return any(target_of(item) == self.disk.target for item in self.plan.tree.findall("devices/disk[shareable]"))


def _as(use: _Use, one: _Listed) -> str:
    return "" if use.path == one.disk.path else f", by the path {clean(use.path)}"


class ImageUsers:
    """Looks once at the files of all domains and all listed disks, links and backing files followed."""

    def __init__(
        self,
        host: Host,
        plans: Sequence[GuestPlan],
        domains: Mapping[str, Domain],
        *,
        gone: Collection[str],
        restarting: Sequence[GuestPlan],
    ) -> None:
        """``gone``: domains that this run removes; ``restarting``: guests that it restarts, in this order."""
        self._host = host
        self._plans = {plan.guest.name: plan for plan in plans}
        self._domains = domains
        self._gone = gone
        self._restarting = restarting

    def check(self) -> None:
        """Refuse the first disk whose file another use forbids."""
        listed: dict[Identity, list[_Listed]] = {}
        for plan in self._plans.values():
            for disk in plan.guest.disks:
                identity = identity_of(self._host, disk.path)
                if identity is not None:
                    self._check_list(_Listed(plan, disk), listed.setdefault(identity, []))
        for identity, path, device in loop_files(self._host) if listed else ():
            for one in listed.get(identity, ()):
                if not one.disk.read_only:
                    raise GuestError(
                        f"{one.where} is the file {path} under loop device {device}, and two cannot write one; end that first (losetup --detach {device})"
                    )
        for identity, use in self._uses() if listed else ():
            for one in listed.get(identity, ()):
                self._check_format(one, use)
                if use.name not in self._gone and (use.behind or use.planned or use.live):
                    (self._check_behind if use.behind else self._check_beside)(one, use)

    @staticmethod
    def _check_list(one: _Listed, others: list[_Listed]) -> None:
        for other in others:
            if not (other.disk.read_only and one.disk.read_only):
                raise GuestError(
                    f"{one.where} is the same file as disk {other.disk.path} of {other.plan.guest.name}, and two cannot write one; "
                    "give each its own image"
                )
        others.append(one)

    # -- who uses what -----------------------------------------------------------------------------

    def _uses(self) -> Iterator[tuple[Identity, _Use]]:
        """Yield the uses of each domain, those that are planned first; the disks of the list only where a guest already runs with them."""
        for name, plan in self._plans.items():
            tree = on_files(plan.tree, plan.domain.find_volume) if plan.domain else plan.tree
            known = {disk.target for disk in plan.guest.disks}
            for identity, use in self._uses_of(name, tree, planned=True):
                if use.behind or use.argument or target_of(use.disk) not in known:
                    yield identity, use
        for name, domain in self._domains.items():
            yield from self._uses_of(name, domain.on_files())
            if domain.running:
                yield from self._uses_of(name, domain.live_on_files(), live=True)

    def _uses_of(
        self, name: str, tree: ET.Element, *, planned: bool = False, live: bool = False
    ) -> Iterator[tuple[Identity, _Use]]:
        for disk in tree.findall("devices/disk"):
            files = disk_files(self._host, disk)
            path = ""
            with suppress(HostError):  # of a format that cannot be read here, or a volume whose file is not known
                for identity, file in files:
                    yield identity, _Use(name, disk, path or file, bool(path), planned, live)
                    path = path or file
        arguments = [item for item in tree if str(item.tag).startswith(QEMU)]
        if arguments and (planned or live):
            alone = ET.Element("domain")
            alone.extend(arguments)
            with suppress(HostError):  # read from a file by QEMU
                for identity, file in used_files(self._host, alone):
                    yield identity, _Use(name, ET.Element("disk"), file, behind=False, planned=planned, live=live, argument=True)

    # -- what forbids it ---------------------------------------------------------------------------

    @staticmethod
    def _check_format(one: _Listed, use: _Use) -> None:
        """Refuse to trust as a header what a guest could write as data, by whatever path the file is listed, and for whichever guest."""
        if one.disk.format != "qcow2" or use.behind or use.planned or use.argument or use.reads or format_of(use.disk) != "raw":
            return
        raise GuestError(
            f"{one.where} would be qcow2, but domain {clean(use.name)} has the file as raw{_as(use, one)}, so its guest could write every byte of it, and "
            "these would be trusted as a header that may name any file of this node; give format: raw"
        )

    def _check_beside(self, one: _Listed, use: _Use) -> None:
        """Refuse a file that another disk is on, where one writes it; two that are marked as shareable agree about that by themselves."""
        own = use.name == one.plan.guest.name
        if (one.disk.read_only and (use.reads or use.argument)) or (one.shares and use.shares) or (own and use.live):
            return
        path = clean(use.path)
        other = self._plans.get(use.name)
        if own and path == one.disk.path:
            who, remedy = f"its domain has {use.place} too", f"remove one of the two with virsh edit {use.name}"
        elif own:
            who, remedy = f"its domain has {use.place}", "give that path"
        elif other is None:
            who, remedy = f"the running domain {clean(use.name)} has", "give another image, or shut that down"
        elif use.planned:
            who, remedy = f"{use.name} has {use.place} without its disks in the list", "give another image"
        elif one.disk.recipe is None and lets_go(other, one.plan, self._restarting):
            return  # an image that is made or grown is before that
        else:
            who = f"{use.name} runs with {use.place} until it is restarted or off"
            remedy = (
                f"take it from {use.name} in a run of its own first, with rt_guest_restart: true or state: stopped for that guest"
            )
        raise GuestError(f"{one.where} is the same file as {path}, which {who}, and two cannot write one; {remedy}")

    def _check_behind(self, one: _Listed, use: _Use) -> None:
        """Refuse to write what lies behind a disk, such as an image whose guest got a snapshot by hand since.

        QEMU's documentation of qcow2 (docs/interop/qcow2.rst): an overlay holds only what differs from its backing file, which must not change.
        """
        if one.disk.read_only or one.disk.cdrom or one.disk.seed:
            return
        path, name = clean(use.path), clean(use.name)
        independent = "give the guest an image of its own, or make that one independent first (qemu-img convert)"
        if name != one.plan.guest.name:
            raise GuestError(f"{one.where} is behind {path}, a disk of {name}, which the first write destroys; {independent}")
        if use.planned:
            raise GuestError(f"{one.where} is behind {path}, another of its disks, which the first write destroys; {independent}")
        raise GuestError(
            f"{one.where} is behind {path}, on which its domain runs since a snapshot was taken; without it, what was written since is lost. "
            f"Give path: {path}, or merge both first (virsh blockcommit {name} TARGET --active --pivot)"
        )
