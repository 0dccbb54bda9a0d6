# SPDX-License-Identifier: GPL-3.0-or-later
"""No guest gets an image to write on which another disk lies as an overlay: the first write would destroy that disk. Edge, read-only."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from .._cpus.errors import HostError
from .._host.host import Host
from .guest import GuestError
from .images import Identity, disk_files, identity_of
from .libvirt import Domain
from .plan import GuestPlan


def check_backing(host: Host, plans: Sequence[GuestPlan], domains: Mapping[str, Domain]) -> None:
    """Refuse a disk that is the backing file of a domain's disk, such as an image whose guest got a snapshot by hand since.

    QEMU's documentation of qcow2 (docs/interop/qcow2.rst): an overlay holds only what differs from its backing file, which must not change.
    """
    behind = {
        identity: (name, path)
        for name, domain in domains.items()
        for tree in [domain.tree, *([domain.live_tree()] if domain.running else [])]
        for identity, path in _behind(host, tree)
    }
    for plan in plans if behind else ():
        for disk in plan.guest.disks:
            if disk.read_only or disk.cdrom or disk.recipe or disk.seed:
                continue
            identity = identity_of(host, disk.path)
            name, path = behind.get(identity, ("", "")) if identity else ("", "")
            if not name:
                continue
            where = f"realtime_guests: {plan.guest.name}: disk {disk.path}"
            if name == plan.guest.name:
                raise GuestError(
                    f"{where} is behind {path}, on which its domain runs since a snapshot was taken; without it, what was written since is lost. "
                    f"Give path: {path}, or merge both first (virsh blockcommit {name} TARGET --active --pivot)"
                )
            raise GuestError(
                f"{where} is behind {path}, a disk of {name}, which the first write destroys; give the guest an image of its own, or make that one "
                "independent first (qemu-img convert)"
            )


def _behind(host: Host, tree: ET.Element) -> Iterator[tuple[Identity, str]]:
    """Yield the backing files of a domain's disks, each with the file of the disk itself."""
    for disk in tree.findall("devices/disk"):
        with suppress(HostError):  # a volume of a pool, whose file is not known
            files = list(disk_files(host, disk))
            yield from ((identity, files[0][1]) for identity, _path in files[1:])
