# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's disks: what is not named is left to the domain."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_disks import read_disks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_reader import Reader


def disks_of(*items, **more):
    return read_disks(Reader({"disks": list(items), **more}, "x", {"disks": (list,), "seed": (str,)}))


def test_what_is_not_named_stays_open():
    (disk,) = disks_of({"path": "/a"})
    assert (disk.cache, disk.io, disk.discard) == (None, None, None)
    (disk,) = disks_of({"path": "/a", "cache": "directsync", "io": "native", "discard": "ignore"})
    assert (disk.cache, disk.io, disk.discard) == ("directsync", "native", "ignore")


def test_the_seed_is_a_drive_behind_the_disks():
    found = disks_of({"path": "/a"}, {"path": "/b", "bus": "sata"}, seed="/s.iso")
    assert [(disk.target, disk.cdrom, disk.read_only) for disk in found] == [
        ("vda", False, False),
        ("sda", False, False),
        ("sdb", True, True),
    ]
