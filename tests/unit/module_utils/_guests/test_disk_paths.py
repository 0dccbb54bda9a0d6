# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where images lie once pools and domains are known, and images that would be left behind."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.disk_paths import (
    check_kept,
    check_places,
    file_of,
    own_disks,
    with_paths,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import NAMESPACE, parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests

MADE = {"size_gib": 1}


def tree(*disks, ours=True):
    """A domain with disks: target and path, and ``cdrom`` for a drive."""
    marks = "".join(f"<rt:device kind='disk' id='{target}'/>" for target, *_rest in disks) if ours else ""
    shown = "".join(
        f"<disk type='file' device='{kind[0] if kind else 'disk'}'><source file='{path}'/><target dev='{target}'/></disk>"
        for target, path, *kind in disks
    )
    return parse(
        f"<domain xmlns:rt='{NAMESPACE}'><metadata><rt:guest>{marks}</rt:guest></metadata><devices>{shown}<disk type='block'/></devices></domain>"
    )


def paths(*disks, domain=None, **more):
    guest = parse_guests([{"name": "a", "memory_mib": 64, "disks": list(disks), **more}], {}, image_folder="/vms")[0]
    (found,) = with_paths([guest], {"a": domain} if domain is not None else {}, lambda _guest, pool: f"/pools/{pool}")
    return [disk.path for disk in found.disks]


def test_pools_are_resolved():
    assert paths({**MADE, "pool": "p"}, {"path": "b.raw", "pool": "q"}) == ["/pools/p/a-vda.qcow2", "/pools/q/b.raw"]


def test_a_disk_without_path_keeps_that_of_its_domain():
    there = tree(("vda", "/old/a-vda.qcow2"), ("vdz", "/old/a-seed.iso"))
    assert paths(MADE, domain=there, cloud_init={}) == ["/old/a-vda.qcow2", "/old/a-seed.iso"]
    assert paths({**MADE, "path": "/new"}, domain=there) == ["/new"]
    assert paths(MADE, domain=tree(("vda", "/old/a-vda.qcow2"), ours=False)) == ["/vms/a-vda.qcow2"]
    assert paths(MADE, domain=tree(("vdb", "/old/a-vdb.qcow2"))) == ["/vms/a-vda.qcow2"]
    assert paths(MADE, domain=tree(("vda", "nonsense"))) == ["/vms/a-vda.qcow2"]


def test_a_seed_that_was_there_is_not_written_over():
    assert paths(domain=tree(("vdz", "/theirs/seed.iso")), cloud_init={}) == ["/vms/a-seed.iso"]
    there = tree(("sda", "/theirs/seed.iso", "cdrom"))
    assert paths(domain=there, cloud_init={}, guest_os="windows") == ["/vms/a-seed.iso"]
    there = tree(("sda", "/old/a-seed.iso", "cdrom"))
    assert paths(domain=there, cloud_init={}, guest_os="windows") == ["/old/a-seed.iso"]
    assert paths({**MADE, "bus": "sata"}, domain=tree(("sda", "/theirs/a-sda.qcow2", "cdrom"))) == ["/vms/a-sda.qcow2"]


def test_a_pool_that_is_named_is_where_the_disk_is_to_lie():
    assert paths({**MADE, "pool": "p"}, domain=tree(("vda", "/pools/p/mine.qcow2"))) == ["/pools/p/mine.qcow2"]
    assert paths({**MADE, "pool": "p"}, domain=tree(("vda", "/vms/a-vda.qcow2"))) == ["/pools/p/a-vda.qcow2"]


def test_two_disks_that_come_to_one_path_are_refused():
    with pytest.raises(GuestError, match=r"^realtime_guests: a: /vms/a-vda\.qcow2 is attached twice"):
        paths(MADE, {"path": "/vms/a-vda.qcow2"})
    with pytest.raises(GuestError, match="twice"):
        paths({**MADE, "pool": "p", "path": "x"}, {"path": "/pools/p/x"})


def test_an_image_that_another_entry_names_is_not_that_of_the_one_in_its_place():
    assert paths(MADE, {"path": "/b"}, domain=tree(("vda", "/b"))) == ["/vms/a-vda.qcow2", "/b"]
    assert paths({**MADE, "pool": "p"}, {"path": "x", "pool": "p"}, domain=tree(("vda", "/pools/p/x"))) == [
        "/pools/p/a-vda.qcow2",
        "/pools/p/x",
    ]


def kept(*disks, domain, number=0):
    guest = parse_guests([{"name": "a", "memory_mib": 64, "disks": list(disks)}], {}, image_folder="/vms")[0]
    check_kept(guest, guest.disks[number], domain)


def test_an_image_that_would_be_left_behind_for_a_new_one_is_named():
    there = tree(("vda", "/vms/a-vda.qcow2"), ("vdb", "/vms/b.qcow2"))
    with pytest.raises(GuestError) as error:
        kept({"path": "/new"}, MADE, domain=there, number=1)
    assert str(error.value) == (
        "realtime_guests: a: /vms/a-vdb.qcow2 would be a new image, and /vms/a-vda.qcow2, /vms/b.qcow2, which its domain has, would go; an image is "
        "neither moved nor renamed, and a disk without path is known by its place in the list. "
        "Give the disk path: /vms/a-vda.qcow2, or path: /vms/a-vdb.qcow2 for a new one in its place"
    )
    kept({"path": "/vms/a-vda.qcow2"}, {"path": "/vms/b.qcow2"}, MADE, domain=there, number=2)
    kept({"path": "/new", **MADE}, domain=there)
    kept(MADE, domain=None)
    kept(MADE, domain=tree(("vda", "/theirs"), ours=False))
    kept(MADE, domain=tree(("sda", "/vms/seed.iso", "cdrom")))
    read_only = tree(("vdz", "/vms/a-seed.iso"))
    read_only.find("devices/disk").append(parse("<readonly/>"))
    kept(MADE, domain=read_only)


def test_files_of_disks():
    found = own_disks(tree(("vda", "/x")))
    assert {target: file_of(disk) for target, disk in found.items()} == {"vda": "/x"}
    assert own_disks(None) == {}
    assert file_of(parse("<disk type='block'><source dev='/dev/x' file='/x'/></disk>")) == ""
    assert file_of(parse("<disk type='file'/>")) == ""


def placed(*disks, domain):
    guest = parse_guests([{"name": "a", "memory_mib": 64, "disks": list(disks)}], {}, image_folder="/vms")[0]
    check_places(with_paths([guest], {"a": domain}, None)[0], domain)


def test_beside_a_disk_without_path_none_is_dropped_by_its_place():
    there = tree(("vda", "/vms/a-vda.qcow2"), ("vdb", "/vms/a-vdb.qcow2"))
    with pytest.raises(GuestError) as error:
        placed(MADE, domain=there)
    assert str(error.value) == (
        "realtime_guests: a: its domain has /vms/a-vda.qcow2, /vms/a-vdb.qcow2, and disks names fewer; a disk without path is known by its place in the "
        "list, so it is not sure that /vms/a-vdb.qcow2 is meant to go. Give each disk that stays its path, such as path: /vms/a-vda.qcow2"
    )
    with pytest.raises(GuestError, match="it is not sure that /vms/b is meant to go"):
        placed(MADE, domain=tree(("vda", "/vms/a.qcow2"), ("vdb", "/vms/b")))
    placed(MADE, MADE, domain=there)
    placed({**MADE, "path": "/vms/a-vdb.qcow2"}, domain=there)
    placed({"path": "/other"}, domain=there)
    placed(domain=there)
    placed(MADE, domain=tree(("vda", "/vms/a-vda.qcow2")))
