# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a guest's images lie, once pools and its domain are known. Pure.

A disk without a path keeps the one that its domain has: its image is neither moved nor made again because a folder or the order of
the list has changed.
"""

from __future__ import annotations

import posixpath
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from .domain_xml import our_devices
from .guest import Disk, Guest, GuestError
from .guest_disks import check_shared_disks


def with_paths(guests: Sequence[Guest], trees: Mapping[str, ET.Element], pool_folder: Callable[[Guest, str], str]) -> list[Guest]:
    """Return the guests with the whole path of each disk; ``pool_folder`` returns that of a guest's pool, or refuses."""
    found = [_with_paths(guest, own_disks(trees.get(guest.name)), pool_folder) for guest in guests]
    check_shared_disks(found)
    return found


def _with_paths(guest: Guest, own: Mapping[str, ET.Element], pool_folder: Callable[[Guest, str], str]) -> Guest:
    if guest.state == "absent":
        return guest
    folders = {disk.pool: pool_folder(guest, disk.pool) for disk in guest.disks if disk.pool}
    named = {posixpath.join(folders.get(disk.pool, ""), disk.path) for disk in guest.disks if disk.path_given}
    disks = tuple(_with_path(disk, own.get(disk.target), folders.get(disk.pool, ""), named) for disk in guest.disks)
    paths = [disk.path for disk in disks]
    for path in paths:
        if paths.count(path) > 1:
            raise GuestError(f"realtime_guests: {guest.name}: {path} is attached twice; give each of its disks a path")
    return replace(guest, disks=disks)


def _with_path(disk: Disk, own: ET.Element | None, folder: str, named: Collection[str]) -> Disk:
    path = posixpath.join(folder, disk.path) if folder else disk.path
    there = file_of(own) if own is not None and (own.get("device", "disk") == "cdrom") == disk.cdrom else ""
    if disk.seed and posixpath.basename(there) != posixpath.basename(path):
        there = ""  # a seed that was there, not made
    if (
        not disk.path_given
        and there.startswith("/")
        and there not in named
        and (not folder or posixpath.dirname(there) == folder)
    ):
        path = there
    return replace(disk, path=path, pool="")


def own_disks(tree: ET.Element | None) -> dict[str, ET.Element]:
    """Return the disks and drives that this collection gave a domain, by target."""
    if tree is None:
        return {}
    ours = {name for kind, name in our_devices(tree) if kind == "disk"}
    found = {}
    for disk in tree.findall("devices/disk"):
        target = disk.find("target")
        name = "" if target is None else target.get("dev", "")
        if name in ours:
            found[name] = disk
    return found


def file_of(disk: ET.Element) -> str:
    """Return the path of the file of a disk, empty for one of another kind."""
    source = disk.find("source")
    return "" if source is None or disk.get("type") != "file" else source.get("file", "")


def check_kept(guest: Guest, disk: Disk, tree: ET.Element | None) -> None:
    """Refuse a new image in place of one that the domain has and the list no longer names: the guest would begin without its data."""
    lost = [] if disk.path_given or disk.seed else _dropped(guest, tree)
    if lost:
        raise GuestError(
            f"realtime_guests: {guest.name}: {disk.path} would be a new image, and {', '.join(lost)}, which its domain has, would go; "
            "an image is neither moved nor renamed, and a disk without path is known by its place in the list. "
            f"Give the disk path: {lost[0]}, or path: {disk.path} for a new one in its place"
        )


def check_places(guest: Guest, tree: ET.Element | None) -> None:
    """Refuse to drop a disk while one without a path stays: which of them the list no longer means is not said, and the wrong one would be grown."""
    there = {file_of(item) for item in own_disks(tree).values()}
    by_place = [disk.path for disk in guest.disks if not disk.path_given and not disk.seed and disk.path in there]
    lost = _dropped(guest, tree) if by_place else []
    if lost:
        raise GuestError(
            f"realtime_guests: {guest.name}: its domain has {', '.join([*by_place, *lost])}, and disks names fewer; a disk without path is known by its "
            f"place in the list, so it is not sure that {', '.join(lost)} is meant to go. Give each disk that stays its path, such as path: {by_place[0]}"
        )


def _dropped(guest: Guest, tree: ET.Element | None) -> list[str]:
    """Return the images that this collection gave a guest to write and that its disks no longer name."""
    listed = {item.path for item in guest.disks}
    return sorted(
        path
        for item in own_disks(tree).values()
        if item.get("device", "disk") == "disk" and item.find("readonly") is None
        for path in [file_of(item)]
        if path and path not in listed
    )
