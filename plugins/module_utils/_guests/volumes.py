# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that a domain has as volumes of a storage pool of libvirt, as the files or devices that they are. Pure."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Callable

#: The pool's name and the volume's.
Volume = tuple[str, str]


def volume_of(disk: ET.Element) -> Volume | None:
    """Return the volume that a domain's disk is on, also where ``on_files`` has put its file there; None for another kind."""
    source = disk.find("source")
    pool, name = ("", "") if source is None else (source.get("pool", ""), source.get("volume", ""))
    return (pool, name) if pool and name else None


def on_files(tree: ET.Element, find: Callable[[Volume], str]) -> ET.Element:
    """Return a domain with each volume as what it is, to see who uses which file; itself where it has none.

    ``find`` returns a volume's path. A path that does not begin with ``/`` belongs to a pool on the network, not to this node. If libvirt
    does not tell the path, ``find`` returns an empty text, and the disk stays a volume.
    """
    if tree.find("devices/disk[@type='volume']") is None and tree.find("devices/disk//*[@type='volume']") is None:
        return tree
    shown = copy.deepcopy(tree)
    for disk in shown.findall("devices/disk"):
        for item in disk.iter():  # those behind it and beside it too
            volume = volume_of(item) if item.get("type") == "volume" else None
            if volume is not None:
                _put(item, find(volume))
    return shown


def _put(item: ET.Element, path: str) -> None:
    source = item.find("source")
    if not path or source is None:
        return
    item.set("type", "block" if path.startswith("/dev/") else "file" if path.startswith("/") else "network")
    if path.startswith("/"):
        source.set("dev" if path.startswith("/dev/") else "file", path)
