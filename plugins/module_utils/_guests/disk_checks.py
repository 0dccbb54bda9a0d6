# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of guests' disks before anything is changed. Edge, read-only."""

from __future__ import annotations

import errno
import os
import stat
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from .._host.host import Host
from .disk_paths import file_of
from .guest import Disk, Guest, GuestError
from .plan import GuestPlan

#: The values of ``cache`` with which QEMU opens an image past the page cache (QEMU, qemu-options.hx, "cache.direct").
DIRECT = ("none", "directsync")


def check_disks(host: Host, plans: Sequence[GuestPlan]) -> None:
    """Refuse disks that are not there and not made, and those that QEMU could not open or would read as another format."""
    for plan in plans:
        for disk in plan.guest.disks:
            if disk.recipe is None and not disk.seed:
                _check_there(host, plan.guest, disk)
            old = _disk_of(plan, disk)
            _check_format(plan.guest, disk, old)
            _check_direct(host, plan.guest, disk, old)


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


def _check_format(guest: Guest, disk: Disk, old: ET.Element | None) -> None:
    """Refuse to read as qcow2 what a guest could write as raw: with a header of its own making it would read files of the host."""
    driver = old.find("driver") if old is not None else None
    if driver is None or old is None or file_of(old) != disk.path or disk.format != "qcow2":
        return
    if driver.get("type", "raw") == "raw":
        raise GuestError(
            f"realtime_guests: {guest.name}: its domain has disk {disk.path} as raw, so the guest could write every byte of it, and format: qcow2 "
            "would trust these as a header that may name any file of this node; give format: raw. Where it has never run with it, set the type "
            f"once with virsh edit {guest.name}"
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
