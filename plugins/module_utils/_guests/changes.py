# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of guests in the order in which they are safe: stops, removals, definitions, threads, restarts, starts. Edge."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._isolation.moves import Moves
from .backup import BACKUPS, keep_backup
from .domain_xml import differences, is_ours, our_devices, parse, pretty, shape, to_text
from .guest import Guest, GuestError
from .images import Identity, backing_files, disk_files, identify, identity_of, loop_files, remove_image, used_files
from .libvirt import Connection, Domain
from .made_images import plan_cleaning
from .plan import GuestPlan
from .roles import VHOST, WORKER
from .seeds import made_seed
from .threads import ThreadDifference, guest_pid
from .vhost_threads import place_vhost
from .workers import move_worker


class Changes:
    """Plans the changes of a node's guests on its host."""

    def __init__(
        self,
        host: Host,
        connection: Connection,
        domains: Mapping[str, Domain],
        *,
        timeout_s: int,
        force_off: bool,
        ready: Callable[[GuestPlan], None],
    ) -> None:
        """``timeout_s``: how long guests may take to shut down; ``force_off``: whether they are switched off then.

        ``ready`` waits until a guest can start, or refuses.
        """
        self.host = host
        self.connection = connection
        self.domains = domains
        self.timeout_s = timeout_s
        self.force_off = force_off
        self.ready = ready
        self.stopping: list[str] = []

    # -- states ------------------------------------------------------------------------------------

    def stop(self, names: Sequence[str]) -> None:
        """Plan to shut guests down; all of them are asked at once, with the first."""
        self.stopping += names
        for number, name in enumerate(names):
            change = Change(f"domain {name}: state", "running", "shut off", "guest", "requested by its state")
            self.host.follow_up(change, partial(self._stop, names) if number == 0 else _nothing)

    def _stop(self, names: Sequence[str]) -> None:
        try:
            self.connection.stop(names, self.timeout_s, force=self.force_off)
        except HostError as error:
            with suppress(HostError):  # libvirt may answer no more
                off = sorted(name for name, domain in self.connection.domains().items() if name in names and not domain.running)
                error = HostError(f"{error}. {', '.join(off)} ended as requested and stay off") if off else error
            raise error from None

    def start(self, plan: GuestPlan) -> None:
        """Plan to start a guest."""
        change = Change(f"domain {plan.guest.name}: state", "shut off", "running")
        self.host.follow_up(change, partial(self._start, plan))

    def _start(self, plan: GuestPlan) -> None:
        self.ready(plan)
        self.connection.start(plan.guest.name)

    def restart(self, plan: GuestPlan) -> None:
        """Plan to restart a guest for changes that it cannot take while it runs."""
        what = f"restarted for {', '.join(plan.restart_for)}"
        change = Change(
            f"domain {plan.guest.name}: restart", "running as before", what, "guest", "a running guest cannot take these"
        )
        self.host.follow_up(change, partial(self._restart, plan))

    def _restart(self, plan: GuestPlan) -> None:
        self.ready(plan)  # while it still runs
        self.connection.stop([plan.guest.name], self.timeout_s, force=self.force_off)
        self.connection.start(plan.guest.name)

    # -- definitions -------------------------------------------------------------------------------

    def define(self, plan: GuestPlan) -> None:
        """Plan the differences of a definition; the first one makes them all, since libvirt takes a definition as a whole."""
        name, domain = plan.guest.name, plan.domain
        define = partial(self.connection.define, name, to_text(plan.tree), shape(plan.tree))
        for number, item in enumerate(plan.definition):
            resource = f"domain {name}" if item.element == "domain" else f"domain {name}: {item.element}"
            change, make = Change(resource, item.before, item.after), define if number == 0 else _nothing
            if domain is not None and not is_ours(domain.tree) and number == 0:  # adopted: undo restores this definition
                original = {"xml": to_text(domain.tree), "autostart": domain.autostart}
                self.host.change(change, make, kind="domain", original=original)
            else:
                self.host.follow_up(change, make)
        autostart = domain.autostart if domain else False
        if autostart != plan.guest.autostart:
            words = {True: "on", False: "off"}
            change = Change(f"domain {name}: autostart", words[autostart], words[plan.guest.autostart])
            self.host.follow_up(change, partial(self.connection.set_autostart, name, plan.guest.autostart))

    def remove(self, guest: Guest, plans: Sequence[GuestPlan]) -> None:
        """Plan to remove a guest's definition and, with ``remove_disks``, the disks that no other guest has."""
        if guest.remove_disks:  # before the definition, which names them: the next run completes a run that was killed in between
            self._remove_disks(guest, plans)
        self.remove_definition(guest.name, everything=guest.remove_disks)

    def remove_definition(self, name: str, *, everything: bool = False) -> None:
        """Plan to remove a definition; a backup of it stays, and unless ``everything``, so do UEFI variables and saved state."""
        tree = self.domains[name].tree
        change = Change(f"domain {name}", pretty(tree), None, reason=f"a backup stays in {BACKUPS}")
        self.host.follow_up(change, partial(self._remove_definition, name, tree, everything))

    def _remove_definition(self, name: str, tree: ET.Element, everything: bool) -> None:
        keep_backup(self.host, name, tree, saved_state=not everything)
        self.connection.remove(name, everything=everything)

    def _remove_disks(self, guest: Guest, plans: Sequence[GuestPlan]) -> None:
        for path in self._own_disks(guest.name):
            plan_cleaning(self.host, path)
        found = {path: identify(self.host, path, guest.name) for path in self._own_disks(guest.name)}
        going = {
            path: identity for path, identity in found.items() if identity is not None
        }  # a killed run has removed the others
        try:
            users = dict(self._users(guest.name, going, plans)) if going else {}
        except HostError as error:
            raise GuestError(
                f"realtime_guests: {guest.name}: its disks are not removed, since their users are not known: {error}"
            ) from None
        for path, identity in going.items():
            if identity in users:
                who, other = users[identity]
                known_as = "" if other == path else f", as {other}"
                raise GuestError(f"realtime_guests: {guest.name}: disk {path} is not removed, since {who} has it too{known_as}")
            change = Change(path, "disk image", None, reason="remove_disks")
            self.host.follow_up(change, partial(remove_image, self.host, path, guest.name, identity))

    def _own_disks(self, name: str) -> list[str]:
        """Return the image files that this collection gave a guest to write to, and its seed if it has made that."""
        tree = self.domains[name].on_files()
        ours = {item for kind, item in our_devices(tree) if kind == "disk"}
        paths = []
        for disk in tree.findall("devices/disk"):
            target, source = disk.find("target"), disk.find("source")
            path = source.get("file") if source is not None else None
            if path is None or target is None or target.get("dev") not in ours:
                continue
            written = disk.get("device") == "disk" and disk.find("readonly") is None
            if written or made_seed(self.host, name, path):
                paths.append(path)
        return paths

    def _users(
        self, guest: str, going: Mapping[str, Identity], plans: Sequence[GuestPlan]
    ) -> Iterator[tuple[Identity, tuple[str, str]]]:
        """Yield every file in use by others than the guest, with its user and its path there."""
        for disk in self.domains[guest].on_files().findall("devices/disk"):  # one that stays may need one that goes
            files = list(disk_files(self.host, disk))
            if files and files[0][0] not in going.values():
                yield from ((identity, (f"disk {files[0][1]} of the same guest, which stays,", path)) for identity, path in files)
        for identity, path, device in loop_files(self.host):
            yield identity, (f"loop device {device} (losetup --detach ends that)", path)
        for plan in plans:
            for planned in plan.guest.disks:
                yield from (
                    (known, (f"domain {plan.guest.name}", path)) for known, path in backing_files(self.host, planned.path)
                )
                base = planned.recipe.base if planned.recipe else ""
                found = identity_of(self.host, base) if base else None
                if found is not None:
                    yield found, (f"domain {plan.guest.name}, which is made from it,", base)
        for name, domain in self.domains.items():
            for tree in [] if name == guest else [domain.on_files(), *([domain.live_on_files()] if domain.running else [])]:
                yield from ((identity, (f"domain {name}", path)) for identity, path in used_files(self.host, tree))

    def restore(self, name: str, resource: str) -> None:
        """Plan to restore the definition of an adopted guest."""
        original, domain = self.host.entries("domain")[resource], self.domains.get(name)
        found = differences(domain.tree if domain else None, parse(original["xml"]))
        before, after = ("\n".join(text or "" for text in side) for side in ([d.before for d in found], [d.after for d in found]))
        change = Change(f"domain {name}", before, after, reason="restored") if found else None
        self.host.restore(change, resource, partial(self._redefine, name, original))

    def _redefine(self, name: str, original: Mapping[str, Any]) -> None:
        self.connection.define(name, original["xml"], validate=False)  # libvirt took it once
        self.connection.set_autostart(name, original["autostart"])

    # -- threads -----------------------------------------------------------------------------------

    def move(self, plans: Sequence[GuestPlan], partition: Partition, cpus: int) -> None:
        """Plan CPUs and policies for the threads of running guests; ``cpus``: the most CPUs the machine can have."""
        moves = self._moves(plans, partition)
        for plan in plans:
            for difference in plan.threads:
                resource = f"domain {plan.guest.name}: {difference.role} {difference.aspect}"
                change = Change(resource, difference.before, difference.after, reason="live")
                self.host.follow_up(change, self._mover(plan, difference, cpus, moves))

    def _mover(self, plan: GuestPlan, difference: ThreadDifference, cpus: int, moves: Moves | None) -> Callable[[], object]:
        name, role = plan.guest.name, difference.role
        if difference.aspect == "scheduler":
            return partial(self.connection.set_scheduler, name, difference)
        if role == WORKER:
            return partial(move_worker, self.host, guest_pid(self.host, name) or 0, difference.tid)
        if role == VHOST:
            return partial(
                place_vhost, self.host, guest_pid(self.host, name) or 0, difference.tid, plan.guest.vhost_beside or "emulator"
            )
        pin = partial(self.connection.pin, name, role, _target(plan, role), cpus)
        return partial(moves.pin, pin) if moves and role.startswith("vcpu") else pin

    def _moves(self, plans: Sequence[GuestPlan], partition: Partition) -> Moves | None:
        """Return the vCPUs that move while they run, if each has its own partition."""
        if partition.isolation != "runtime":
            return None
        moving = {
            (plan.guest.name, difference.role): _target(plan, difference.role)
            for plan in plans
            for difference in plan.threads
            if difference.aspect == "cpus" and difference.role.startswith("vcpu")
        }
        return Moves(self.host, partition, moving)


def _target(plan: GuestPlan, role: str) -> frozenset[int]:
    """Return the CPUs of a thread by its role: ``vcpu1``, ``emulator``, ``iothread1``."""
    placement = plan.placement
    return placement.vcpus.get(int(role[4:]), placement.floating) if role.startswith("vcpu") else placement.emulator


def _nothing() -> None:
    """Do nothing: an earlier step has made this change."""
