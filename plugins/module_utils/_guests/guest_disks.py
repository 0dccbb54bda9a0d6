# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's disks, as the inventory lists them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from .guest import BUSES, CACHES, DISCARDS, FORMATS, IO_MODES, Disk, GuestError
from .guest_reader import Reader

_KEYS: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "format": (str,),
    "bus": (str,),
    "read_only": (bool,),
    "cache": (str,),
    "io": (str,),
    "discard": (str,),
}


def read_disks(read: Reader) -> tuple[Disk, ...]:
    """Return a guest's disks in the order of the list, then its seed."""
    disks: list[Disk] = []
    counts: dict[str, int] = {}
    for number, item in enumerate(read.get("disks", [])):
        where = f"{read.where}: disks[{number}]"
        if not isinstance(item, Mapping):
            raise GuestError(f"{where}: {item!r} is not a mapping with a path")
        disks.append(_disk(Reader(item, where, _KEYS), counts, read.where))
    if read.get("seed") is not None:
        disks.append(Disk(read.path("seed"), "raw", "sata", _target("sata", counts, read.where), read_only=True, cdrom=True))
    paths = [disk.path for disk in disks]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        raise GuestError(f"{read.where}: {', '.join(twice)} is attached twice")
    return tuple(disks)


def _disk(disk: Reader, counts: dict[str, int], guest: str) -> Disk:
    path = disk.path("path")
    block = path.startswith("/dev/")
    guessed = "raw" if block or path.endswith((".raw", ".img", ".iso")) else "qcow2"
    image = disk.choice("format", guessed, FORMATS)
    if block and image != "raw":
        raise GuestError(f"{disk.where}: {path} is a block device, so its format is raw, not {image}")
    bus = disk.choice("bus", "virtio", BUSES)
    if bus == "sata" and disk.get("read_only", False):
        raise GuestError(f"{disk.where}: QEMU has no read-only SATA disks; give {path} bus virtio or scsi, or an image to seed")
    cache, mode = disk.optional("cache", CACHES), disk.optional("io", IO_MODES)
    if mode == "native" and cache not in (None, "none", "directsync"):
        raise GuestError(
            f"{disk.where}: io native needs cache none or directsync (QEMU opens the image with O_DIRECT), not {cache}"
        )
    return Disk(
        path,
        image,
        bus,
        _target(bus, counts, guest),
        disk.get("read_only", False),
        cache=cache,
        io=mode,
        discard=disk.optional("discard", DISCARDS),
    )


def _target(bus: str, counts: dict[str, int], where: str) -> str:
    prefix = "vd" if bus == "virtio" else "sd"
    number = counts[prefix] = counts.get(prefix, -1) + 1
    if number > 25:
        raise GuestError(f"{where}: more than 26 disks of one kind")
    return f"{prefix}{chr(ord('a') + number)}"
