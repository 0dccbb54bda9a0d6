# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's disks, as the inventory lists them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from .guest import (
    BASE_MODES,
    BUSES,
    CACHES,
    DISCARDS,
    FORMATS,
    IMAGE_FOLDER,
    IO_MODES,
    MAX_DISK_GIB,
    Disk,
    Guest,
    GuestError,
    Recipe,
)
from .guest_reader import Reader

_KEYS: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "pool": (str,),
    "format": (str,),
    "base": (str,),
    "base_mode": (str,),
    "base_format": (str,),
    "size_gib": (int,),
    "bus": (str,),
    "read_only": (bool,),
    "cache": (str,),
    "io": (str,),
    "discard": (str,),
}

#: Of the letters of disks.
_LAST = 25


def read_disks(read: Reader, name: str = "", folder: str = IMAGE_FOLDER) -> tuple[Disk, ...]:
    """Return a guest's disks in the order of the list, then its seed; images without a path lie in ``folder``."""
    disks: list[Disk] = []
    counts: dict[str, int] = {}
    for number, item in enumerate(read.get("disks", [])):
        where = f"{read.where}: disks[{number}]"
        if not isinstance(item, Mapping):
            raise GuestError(f"{where}: {item!r} is not a mapping with a path")
        disk = Reader(item, where, _KEYS)
        bus = disk.choice("bus", "virtio", BUSES)
        disks.append(_disk(disk, name, folder, bus, _target(bus, counts, read.where)))
    if read.has("seed") and read.has("cloud_init"):
        raise GuestError(
            f"{read.where}: seed is an image that is there, cloud_init has one made; give the one or the other, since a guest reads one"
        )
    if read.has("seed"):
        disks.append(Disk(read.path("seed"), "raw", "sata", _target("sata", counts, read.where), read_only=True, cdrom=True))
    if read.has("cloud_init"):
        disks.append(_seed(read, posixpath.join(folder, seed_name(name)), counts))
    paths = [disk.path for disk in disks]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise GuestError(f"{read.where}: {', '.join(twice)} is attached twice")
    return tuple(disks)


def _seed(read: Reader, path: str, counts: dict[str, int]) -> Disk:
    """Return the drive of a made seed.

    A virtio disk, since the kernel of Debian 12's cloud images has no driver for SATA (config-6.1.0-*-cloud-amd64: CONFIG_SATA_AHCI is not set), and a system
    looks for new media in a CD-ROM again and again. Windows has no driver for virtio unless it was given one. The last letter, so that no other disk moves it.
    """
    if read.get("guest_os") == "windows":
        target = _target("sata", counts, read.where)
        return Disk(path, "raw", "sata", target, read_only=True, cdrom=True, path_given=False, seed=True)
    if counts.get("vd", 0) >= _LAST:
        raise GuestError(f"{read.where}: the seed of cloud_init is disk vdz, so at most {_LAST} others may be on the bus virtio")
    # small, and never written: the page cache does no harm, and no file system refuses it
    return Disk(path, "raw", "virtio", "vdz", read_only=True, cache="writeback", path_given=False, seed=True)


def seed_name(guest: str) -> str:
    """Return the name of the image with what a guest's first boot is told."""
    return f"{guest}-seed.iso"


def check_shared_disks(guests: Sequence[Guest]) -> None:
    """Refuse one disk that two guests have and one writes, and a guest that writes the base of another's overlay."""
    users: dict[tuple[str, str], tuple[str, bool]] = {}
    present = [(guest.name, disk) for guest in guests if guest.state != "absent" for disk in guest.disks]
    for name, disk in present:
        other, read_only = users.setdefault((disk.pool, disk.path), (name, disk.read_only))
        if other != name and not (read_only and disk.read_only):
            raise GuestError(f"realtime_guests: {name} and {other} write the same disk {disk.path}")
    for name, disk in present:
        base = disk.recipe.base if disk.recipe and disk.recipe.overlay else ""
        writer, read_only = users.get(("", base), ("", True))
        if not read_only:
            raise GuestError(
                f"realtime_guests: {name}: its disk {disk.path} is an overlay of {base}, which {writer} writes, and that destroys the overlay; "
                "give base_mode: copy, or an image that no guest writes"
            )


def _disk(disk: Reader, name: str, folder: str, bus: str, target: str) -> Disk:
    recipe = _recipe(disk)
    path, image = _place(disk, f"{name}-{target}", folder, made=recipe is not None)
    block = path.startswith("/dev/")
    if block and image != "raw":
        raise GuestError(f"{disk.where}: {path} is a block device, so its format is raw, not {image}")
    if bus == "sata" and disk.get("read_only", False):
        raise GuestError(f"{disk.where}: QEMU has no read-only SATA disks; give {path} bus virtio or scsi, or an image to seed")
    if recipe is not None:
        _check_recipe(disk, recipe, path, image)
    cache, mode = disk.optional("cache", CACHES), disk.optional("io", IO_MODES)
    if mode == "native" and cache not in (None, "none", "directsync"):
        raise GuestError(
            f"{disk.where}: io native needs cache none or directsync (QEMU opens the image with O_DIRECT), not {cache}"
        )
    return Disk(
        path,
        image,
        bus,
        target,
        disk.get("read_only", False),
        cache=cache,
        io=mode,
        discard=disk.optional("discard", DISCARDS),
        pool=disk.text("pool"),
        path_given=disk.has("path"),
        recipe=recipe,
        format_given=disk.has("format"),
        bus_given=disk.has("bus"),
        read_only_given=disk.has("read_only"),
    )


def _place(disk: Reader, stem: str, folder: str, *, made: bool) -> tuple[str, str]:
    """Return path and format; in a pool, the path is a name in its folder."""
    pool = disk.text("pool")
    if disk.has("pool") and not pool:
        raise GuestError(f"{disk.where}: pool is empty; give the name of a storage pool of libvirt, or leave it out")
    if not disk.has("path"):
        if not made:
            raise GuestError(f"{disk.where}: path is missing; give it, or base or size_gib for an image that is made")
        image = disk.choice("format", "qcow2", FORMATS)
        return f"{'' if pool else folder + '/'}{stem}.{image}", image
    path = disk.text("path") if pool else disk.path("path")
    if pool and ("/" in path or path in ("", ".", "..")):
        raise GuestError(
            f"{disk.where}: path {path!r} beside pool {pool} must be the name of a file in the pool's folder; leave out the folder, or the pool"
        )
    return path, disk.choice("format", _guessed(path), FORMATS)


def _guessed(path: str) -> str:
    return "raw" if path.startswith("/dev/") or path.endswith((".raw", ".img", ".iso")) else "qcow2"


def _recipe(disk: Reader) -> Recipe | None:
    if not disk.has("base"):
        stray = [key for key in ("base_mode", "base_format") if disk.has(key)]
        if stray:
            raise GuestError(f"{disk.where}: {', '.join(stray)} without base; name the image that the disk is made from")
    size = disk.number("size_gib", 1, 1, MAX_DISK_GIB) if disk.has("size_gib") else None
    if not disk.has("base"):
        return Recipe(size_gib=size) if size is not None else None
    base = disk.path("base")
    if base.startswith("/dev/"):
        raise GuestError(
            f"{disk.where}: base {base} is a device; only an image file can be a base (qemu-img convert makes one of it)"
        )
    overlay = disk.choice("base_mode", BASE_MODES[0], BASE_MODES) == "overlay"
    return Recipe(base, overlay, disk.choice("base_format", _guessed(base), FORMATS), disk.has("base_format"), size)


def _check_recipe(disk: Reader, recipe: Recipe, path: str, image: str) -> None:
    if path.startswith("/dev/"):
        raise GuestError(
            f"{disk.where}: {path} is a block device, which this collection neither makes nor fills; leave out base and size_gib, "
            "or give the path of a file"
        )
    if disk.get("read_only", False):
        raise GuestError(
            f"{disk.where}: read_only beside base or size_gib: a disk that is made is for its guest to write; "
            "for one to read, give the image itself as path"
        )
    if recipe.base == path:
        raise GuestError(f"{disk.where}: base and path are the same file {path}; an image cannot be made from itself")
    if recipe.overlay and image != "qcow2":
        raise GuestError(f"{disk.where}: an overlay is a qcow2 image, not {image}; give format: qcow2, or base_mode: copy")


def _target(bus: str, counts: dict[str, int], where: str) -> str:
    prefix = "vd" if bus == "virtio" else "sd"
    number = counts[prefix] = counts.get(prefix, -1) + 1
    if number > _LAST:
        raise GuestError(f"{where}: more than 26 disks of one kind")
    return f"{prefix}{chr(ord('a') + number)}"
