# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of its domain's disks a guest's disks are, once their paths are known. Pure.

An image that the domain has is that disk, wherever the domain has it: it keeps its target, its bus and its format unless the list names
others. A disk of this collection is known by its target as well, which the list's order gives.
"""

from __future__ import annotations

import string
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import replace

from .disk_paths import own_disks
from .domain_xml import DomainError
from .guest import Disk, Guest
from .hiding import clean
from .volumes import volume_of


def with_known_disks(guest: Guest, tree: ET.Element | None) -> Guest:
    """Return a guest whose disks have what the domain has, where the list names nothing else; ``tree``: with the files of volumes."""
    if tree is None or guest.state == "absent":
        return guest
    _check_volumes(guest, tree)
    there, own = disks_by_path(tree), own_disks(tree)
    disks = [_as_found(guest, disk, there.get(disk.path), own) for disk in guest.disks]
    found = {number for number, disk in enumerate(disks) if disk.path in there and disk.target == target_of(there[disk.path])}
    taken = {disks[number].target for number in found}
    targets = {target_of(disk) for disk in tree.findall("devices/disk")} | {disk.target for disk in (*guest.disks, *disks)}
    for number, disk in enumerate(disks):
        if number not in found and disk.target in taken:
            target = _place(disk, targets)
            targets.add(target)
            disks[number] = replace(disk, target=target)
    return replace(guest, disks=tuple(disks))


def disks_by_path(tree: ET.Element) -> dict[str, ET.Element]:
    """Return a domain's disks and drives on files and devices of the node, by path; of two with one path, the first."""
    found: dict[str, ET.Element] = {}
    for disk in disks_of(tree):
        found.setdefault(path_of(disk), disk)
    return found


def disks_of(tree: ET.Element) -> list[ET.Element]:
    """Return a domain's disks and drives on files and devices of the node."""
    return [disk for disk in tree.findall("devices/disk") if path_of(disk) and target_of(disk)]


def path_of(disk: ET.Element) -> str:
    """Return the path of a disk's file or device, empty for another kind."""
    source = disk.find("source")
    if source is None or disk.get("type", "file") not in ("file", "block"):
        return ""
    return source.get("file") or source.get("dev") or ""


def paths_of(tree: ET.Element) -> list[str]:
    """Return all files and devices of the node that a domain's disks are on, those below overlays too."""
    sources = tree.iterfind("devices/disk//source")
    return [path for source in sources for path in [source.get("file") or source.get("dev")] if path]


def leads_to(element: ET.Element, disk: Disk) -> bool:
    """Whether a disk of a domain's XML is on the file or device of a listed one, once ``with_known_disks`` has seen it."""
    volume = volume_of(element)
    return path_of(element) == disk.path if volume is None else volume == disk.volume


def target_of(disk: ET.Element) -> str:
    """Return the target of a disk (``vda``), its identity in a domain."""
    target = disk.find("target")
    return "" if target is None else target.get("dev", "")


def format_of(disk: ET.Element) -> str:
    """Return the format of a domain's disk; libvirt takes one without for raw."""
    driver = disk.find("driver")
    return "raw" if driver is None else driver.get("type", "raw")


def _check_volumes(guest: Guest, tree: ET.Element) -> None:
    """Refuse a volume whose file is not known, since any listed disk could be it, which would be attached twice."""
    for item in tree.findall("devices/disk[@type='volume']") if guest.disks else ():
        if (volume := volume_of(item)) is None:
            continue  # an empty drive
        pool, name = map(clean, volume)
        raise DomainError(
            f"realtime_guests: {guest.name}: its domain has {clean(target_of(item))} as volume {name} of pool {pool}, of which libvirt does not tell "
            f"the file, so any of disks could be it; see virsh vol-path --pool {pool} {name} (is the pool active? virsh pool-start {pool}), "
            f"or give the disk its file with virsh edit {guest.name}"
        )


def _as_found(guest: Guest, disk: Disk, old: ET.Element | None, own: Mapping[str, ET.Element]) -> Disk:
    if old is None:
        return disk
    if disk.seed:
        there = target_of(old)
        return replace(disk, target=there) if there in own and there.startswith(disk.target[:-1]) else disk
    disk = replace(disk, volume=volume_of(old))
    if not disk.format_given:
        disk = replace(disk, format=format_of(old))
    if not disk.read_only_given and not disk.cdrom:
        disk = replace(disk, read_only=old.find("readonly") is not None)
    target, place = target_of(old), old.find("target")
    bus = disk.bus if place is None else place.get("bus", disk.bus)
    if target in own and disk.bus_given and disk.bus != bus:
        return disk  # it moves
    _check_read_only(guest, disk, old, bus)
    if disk.bus_given and disk.bus != bus:
        raise DomainError(
            f"realtime_guests: {guest.name}: bus {disk.bus} for disk {disk.path}, which its domain has as {clean(target)} on bus {clean(bus)}; "
            f"leave bus out, or move the disk with virsh edit {guest.name}"
        )
    return replace(disk, target=target, bus=bus)


def _check_read_only(guest: Guest, disk: Disk, old: ET.Element, bus: str) -> None:
    """Refuse what QEMU has not: a hard disk on SATA or IDE that is read-only, and a CD-ROM that is not."""
    cdrom, was = old.get("device") == "cdrom", old.find("readonly") is not None
    where = f"realtime_guests: {guest.name}: read_only: {str(disk.read_only).lower()} for disk {disk.path}, which its domain has"
    if disk.read_only and not was and not cdrom and bus in ("sata", "ide"):
        raise DomainError(
            f"{where} on bus {bus}, of which QEMU has no read-only disks; leave read_only out, or move the disk to another bus with virsh edit {guest.name}"
        )
    if cdrom and disk.read_only_given and not disk.read_only:
        raise DomainError(f"{where} as a CD-ROM; leave read_only out, or make it a disk with virsh edit {guest.name}")


def _place(disk: Disk, targets: Collection[str]) -> str:
    """Return a free target for a disk whose own by the list's order one of the domain's disks has."""
    free = [f"{disk.target[:-1]}{letter}" for letter in string.ascii_lowercase if f"{disk.target[:-1]}{letter}" not in targets]
    return free[0] if free else disk.target
