# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of guests' disks before anything is changed. Edge, read-only."""

from __future__ import annotations

import errno
import os
import stat
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from .._host.host import Host
from .disk_paths import check_places
from .guest import Disk, Guest, GuestError
from .hiding import clean
from .images import begins_like_qcow
from .known_disks import disks_by_path, disks_of, format_of, path_of, target_of
from .plan import GuestPlan

#: The values of ``cache`` with which QEMU opens an image past the page cache (QEMU, qemu-options.hx, "cache.direct").
DIRECT = ("none", "directsync")


def check_disks(host: Host, plans: Sequence[GuestPlan]) -> None:
    """Refuse disks that are not there and not made, and those that QEMU could not open or would read as another format."""
    for plan in plans:
        check_places(plan.guest, plan.domain.on_files() if plan.domain else None)
        for disk in plan.guest.disks:
            if disk.recipe is None and not disk.seed:
                _check_there(host, plan.guest, disk)
            known = disks_by_path(plan.domain.on_files()).get(disk.path) if plan.domain else None
            if known is None and disk.recipe is None and disk.format == "qcow2":
                _check_renamed(host, plan, disk)
            if known is not None:
                _check_format(plan.guest, disk, format_of(known))
            elif not disk.seed and not disk.cdrom and host.exists(disk.path):
                _check_content(host, plan.guest, disk)
            _check_direct(host, plan.guest, disk, _disk_of(plan, disk))
            _note_swapped(host, plan, disk)


def _check_there(host: Host, guest: Guest, disk: Disk) -> None:
    where = f"realtime_guests: {guest.name}: disk {disk.path}"
    try:
        mode = os.stat(host.path(disk.path)).st_mode
    except OSError as error:
        raise GuestError(
            f"{where} is not on this node ({error.strerror}); put the image there first, "
            "or have it made: give base, an image to make it from, or size_gib for an empty one"
        ) from None
    if not (stat.S_ISBLK(mode) if disk.block else stat.S_ISREG(mode)):
        raise GuestError(f"{where} is no {'block device' if disk.block else 'regular file'}")


def _disk_of(plan: GuestPlan, disk: Disk) -> ET.Element | None:
    """Return the disk that the guest's domain has at a target."""
    tree = plan.domain.tree if plan.domain else None
    for item in tree.findall("devices/disk") if tree is not None else ():
        target = item.find("target")
        if target is not None and target.get("dev") == disk.target:
            return item
    return None


def _check_format(guest: Guest, disk: Disk, has: str) -> None:
    """Refuse another format for an image that the domain has: the guest would find other bytes, or forge a header that names files of the host."""
    if disk.format == has:
        return
    if disk.format == "qcow2" and has == "raw":
        raise GuestError(
            f"realtime_guests: {guest.name}: its domain has disk {disk.path} as raw, so the guest could write every byte of it, and format: qcow2 "
            "would trust these as a header that may name any file of this node; give format: raw. Where it has never run with it, set the type "
            f"once with virsh edit {guest.name}"
        )
    raise GuestError(
        f"realtime_guests: {guest.name}: format {disk.format} for disk {disk.path}, which its domain has as {clean(has)}: the guest would not find "
        f"its data there. Leave format out; qemu-img convert makes an image of another format, for which a disk is then listed"
    )


def _file_at(plan: GuestPlan, disk: Disk) -> ET.Element | None:
    """Return the disk on a file or device that the guest's domain has at a disk's target."""
    there = disks_of(plan.domain.on_files()) if plan.domain else []
    return next((item for item in there if target_of(item) == disk.target), None)


def _note_swapped(host: Host, plan: GuestPlan, disk: Disk) -> None:
    """Say that a guest gets another image in place of the one that it has, which somebody may have put there since (virsh blockcopy)."""
    old = _file_at(plan, disk)
    if old is None or disk.cdrom or disk.seed or path_of(old) in {item.path for item in plan.guest.disks}:
        return
    was = clean(path_of(old))
    if host.exists(path_of(old)):
        host.notes.append(
            f"{plan.guest.name}: disk {disk.target} changes from {was} to {disk.path}, and what the guest wrote to {was} stays there; to keep that disk, "
            f"give path: {was}"
        )


def _check_renamed(host: Host, plan: GuestPlan, disk: Disk) -> None:
    """Refuse a qcow2 image at the place of a raw one whose file is gone: it may be that one, renamed, with a header that the guest wrote."""
    old = _file_at(plan, disk)
    if old is None or format_of(old) != "raw" or old.find("readonly") is not None or host.exists(path_of(old)):
        return
    was = clean(path_of(old))
    raise GuestError(
        f"realtime_guests: {plan.guest.name}: disk {disk.path} would be qcow2 in place of {was}, which its domain has as raw and which is gone. If it is "
        f"that one, renamed, the guest could write its header: give format: raw. If it was converted from it, keep {was} until this run is done"
    )


def _check_content(host: Host, guest: Guest, disk: Disk) -> None:
    """Refuse an image that no domain of the guest has yet and that is not of its format; raw is not doubted where it is given."""
    if disk.format == "qcow2" and disk.recipe is None and not begins_like_qcow(host, disk.path):
        raise GuestError(
            f"realtime_guests: {guest.name}: disk {disk.path} is {'qcow2' if disk.format_given else 'taken for qcow2 by its name'}, "
            "but does not begin like a qcow2 image; give format: raw if it is raw, or make a qcow2 image of it: qemu-img convert -O qcow2 OLD NEW"
        )
    if disk.format == "raw" and not disk.format_given and begins_like_qcow(host, disk.path):
        remedy = "format: raw, if it is raw" if disk.block else "format: qcow2 (or raw, if it is raw)"
        raise GuestError(
            f"realtime_guests: {guest.name}: disk {disk.path} is taken for raw by its name, but begins like a qcow2 image, as many clouds' .img "
            f"files do; give {remedy}"
        )


def _check_direct(host: Host, guest: Guest, disk: Disk, old: ET.Element | None) -> None:
    cache = disk.cache or ("none" if old is None and not disk.cdrom else None)
    if cache not in DIRECT or disk.block or takes_direct_io(host, disk.path) is not False:
        return
    raise GuestError(
        f"realtime_guests: {guest.name}: disk {disk.path} would have cache {cache}{'' if disk.cache else ', as every new disk unless it is given'}, "
        "with which QEMU opens it with O_DIRECT, and its file system refuses that (tmpfs, or one in user space); give it cache: writeback, or put "
        "the image on another file system"
    )


def takes_direct_io(host: Host, path: str) -> bool | None:
    """Return whether the file system of a file that is there, or that can be made, takes O_DIRECT; None where that is not known."""
    if host.captured:
        return None
    full, direct = host.path(path), os.O_DIRECT | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(full, os.O_RDONLY | direct)
    except FileNotFoundError:
        try:  # without a name, so it vanishes when it is closed; whether a folder takes O_DIRECT says nothing about files
            handle = os.open(os.path.dirname(full), os.O_TMPFILE | os.O_RDWR | direct, 0o600)
        except OSError as error:
            return False if error.errno == errno.EINVAL else None
    except OSError as error:
        return False if error.errno == errno.EINVAL else None
    os.close(handle)
    return True
