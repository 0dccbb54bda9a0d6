# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that others are made from: whether they can be trusted, and that nobody writes them. Edge, read-only."""

from __future__ import annotations

import stat
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from .._cpus.errors import HostError
from .._host.host import Host
from .folders import owner_name, owners, resolve_guarded
from .guest import Guest, GuestError, Recipe
from .images import Identity, begins_like_qcow, disk_files, identity_of
from .libvirt import Domain
from .qemu_img import ImageError, QemuImg


@dataclass(frozen=True)
class Base:
    """A base that was looked at."""

    path: str  # of the file itself
    size: int = 0  # bytes that a guest sees; 0: not known yet
    bytes: int = 0  # that a copy takes


class Bases:
    """Looks at each base once."""

    def __init__(self, host: Host, tool: QemuImg, domains: Mapping[str, Domain], guests: Sequence[Guest]) -> None:
        self._host = host
        self._tool = tool
        self._domains = domains
        self._guests = guests
        self._known: dict[tuple[str, str], Base] = {}
        self._writers: dict[bool, dict[Identity, str]] = {}

    def look(self, where: str, recipe: Recipe) -> Base:
        """Return a disk's base, or refuse it; ``where`` begins the message."""
        key = (recipe.base, recipe.base_format)
        if key not in self._known:
            self._known[key] = self._look(f"{where}: base {recipe.base}", recipe)
        return self._known[key]

    def _look(self, where: str, recipe: Recipe) -> Base:
        try:
            path, info = resolve_guarded(self._host, recipe.base, f"{where} is not taken")
        except FileNotFoundError:
            raise GuestError(
                f"{where} is not on this node; put it there first (owner root, in a folder that only root can write)"
            ) from None
        if not stat.S_ISREG(info.st_mode):
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "no regular file"
            raise GuestError(f"{where} is {kind}; only an image file can be a base")
        if info.st_uid not in owners() or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            who = f"{owner_name(info.st_uid)}, its owner," if info.st_uid not in owners() else "others than its owner"
            raise GuestError(
                f"{where} is not taken, since {who} can write it, while guests are made from it or run on it; chown root, chmod go-w"
            )
        if not self._tool.installed:
            return Base(path, 0, info.st_blocks * 512)
        if not recipe.base_format_given and recipe.base_format == "raw" and begins_like_qcow(self._host, path):
            raise GuestError(
                f"{where} is taken for raw by its name, but begins like a qcow2 image, as many clouds' .img files do; give base_format: qcow2 "
                "(or raw, if it is raw)"
            )
        return self._read(where, path, recipe.base_format)

    def _read(self, where: str, path: str, image: str) -> Base:
        try:
            found = self._tool.info(path, image)
            if found.backing or found.data_file:
                what = f"an overlay of {found.backing}" if found.backing else f"the header of {found.data_file}"
                raise GuestError(f"{where} is itself {what}; make one image of it first: qemu-img convert -O qcow2 {path} NEW")
            if found.encrypted:
                raise GuestError(f"{where} is encrypted, and its key is not known here; give an image that is not")
            return Base(path, found.size, self._tool.copy_bytes(path, image))
        except ImageError as error:
            raise GuestError(f"{where} is not of format {image}: {error}; give its base_format") from None

    # -- who writes a base -------------------------------------------------------------------------

    def check_writers(self, guest: str, recipe: Recipe) -> None:
        """Refuse a base that a guest writes: an overlay would be destroyed at any time, and a copy be torn while it runs."""
        identity = identity_of(self._host, recipe.base) if recipe.base else None
        writer = self._writing(running=not recipe.overlay).get(identity) if identity else None
        if writer is None:
            return
        harm = "which destroys the overlay" if recipe.overlay else "so a copy would hold half of what it is writing"
        remedy = "" if recipe.overlay else ", or shut it down meanwhile"
        raise GuestError(
            f"realtime_guests: {guest}: base {recipe.base} is a disk of {writer}, which can write it, {harm}; give an image that no guest writes{remedy}"
        )

    def _writing(self, *, running: bool) -> dict[Identity, str]:
        if running not in self._writers:
            found = {} if running else {identity: guest.name for guest in self._guests for identity in self._listed(guest)}
            for name, domain in self._domains.items():
                trees = [domain.live_on_files()] if domain.running else []
                for identity in self._written([*trees, *([] if running else [domain.on_files()])]):
                    found.setdefault(identity, name)
            self._writers[running] = found
        return self._writers[running]

    def _listed(self, guest: Guest) -> Iterator[Identity]:
        for disk in guest.disks:
            identity = None if disk.read_only else identity_of(self._host, disk.path)
            if identity:
                yield identity

    def _written(self, trees: Iterable[ET.Element]) -> Iterator[Identity]:
        for tree in trees:
            for disk in tree.findall("devices/disk"):
                if disk.get("device", "disk") != "disk" or disk.find("readonly") is not None:
                    continue
                with suppress(HostError):  # a volume of a pool, whose file is not known
                    first = next(disk_files(self._host, disk), None)  # the file itself, without those behind it
                    if first:
                        yield first[0]
