# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that the domain has is that disk; others make room for it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import DomainError, parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.known_disks import disks_by_path, format_of, with_known_disks
from unit.domains import made

A = "/images/a.img"


def domain(*disks):
    return parse(f"<domain><devices>{''.join(disks)}</devices></domain>")


def disk(path, target, bus="virtio", more="<driver type='qcow2'/>"):
    return f"<disk><source file='{path}'/><target dev='{target}' bus='{bus}'/>{more}</disk>"


def known(tree, *disks, **more):
    guest = parse_guests([{"name": "plc1", "memory_mib": 64, "disks": list(disks), **more}], {})[0]
    return [(item.target, item.bus, item.format, item.read_only) for item in with_known_disks(guest, tree).disks]


def targets_of(disks):
    return [target for target, *_rest in disks]


def test_without_a_domain_the_list_decides():
    assert known(None, {"path": A}) == known(domain(), {"path": A}) == [("vda", "virtio", "raw", False)]
    assert known(domain(disk(A, "sda")), state="absent") == []


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({}, ("sda", "sata", "qcow2", True)),
        ({"format": "raw", "read_only": False}, ("sda", "sata", "raw", False)),
        ({"bus": "sata"}, ("sda", "sata", "qcow2", True)),
    ],
)
def test_what_is_not_named_is_the_domains(more, found):
    tree = domain(disk(A, "sda", "sata", "<driver type='qcow2'/><readonly/>"))
    assert known(tree, {"path": A, **more}) == [found]


def test_another_bus_is_refused():
    with pytest.raises(
        DomainError, match=r"plc1: bus virtio for disk /images/a.img, which its domain has as sda on bus usb; leave bus"
    ):
        known(domain(disk(A, "sda", "usb")), {"path": A, "bus": "virtio"})


def test_an_image_of_ours_keeps_its_place_whatever_the_order_of_the_list():
    tree = made(disks=[{"path": A, "format": "qcow2"}, {"path": "/b.raw"}])
    first, second = ("vda", "virtio", "qcow2", False), ("vdb", "virtio", "raw", False)
    assert known(tree, {"path": "/b.raw"}, {"path": A}) == [second, first]
    assert known(tree, {"path": "/c.raw"}, {"path": A}, {"path": "/b.raw"}) == [("vdd", "virtio", "raw", False), first, second]
    assert known(tree, {"path": "/b.raw"}, {"path": "/c.raw"}) == [second, ("vdc", "virtio", "raw", False)]
    assert known(tree, {"path": "/b.raw", "bus": "scsi"}, {"path": A}) == [("sda", "scsi", "raw", False), first]


@pytest.mark.parametrize("bus", ["sata", "ide"])
def test_what_qemu_has_not_is_refused(bus):
    plain, reads = disk(A, "sda", bus), disk(A, "sda", bus, "<driver type='raw'/><readonly/>")
    with pytest.raises(
        DomainError,
        match=f"plc1: read_only: true for disk {A}, which its domain has on bus {bus}, of which QEMU has no read-only",
    ):
        known(domain(plain), {"path": A, "read_only": True})
    assert known(domain(reads), {"path": A, "read_only": True}) == [("sda", bus, "raw", True)]
    drive = reads.replace("<disk>", "<disk device='cdrom'>")
    with pytest.raises(
        DomainError, match=f"plc1: read_only: false for disk {A}, which its domain has as a CD-ROM; leave read_only out"
    ):
        known(domain(drive), {"path": A, "read_only": False})
    assert (
        known(domain(drive), {"path": A, "read_only": True}) == known(domain(drive), {"path": A}) == [("sda", bus, "raw", True)]
    )


def test_others_make_room():
    tree = domain(disk(A, "vdb"), disk("/c", "vda"))
    assert targets_of(known(tree, {"path": A}, {"path": "/b"})) == ["vdb", "vdc"]
    full = domain(disk(A, "vdb"), *(disk(f"/{letter}", f"vd{letter}") for letter in "acdefghijklmnopqrstuvwxyz"))
    assert targets_of(known(full, {"path": A}, {"path": "/new"})) == ["vdb", "vdb"], "merging refuses it by name"


def test_a_disk_that_made_room_stays_there():
    mark = made(disks=[{"path": "/b"}]).find("metadata")
    tree = domain(disk(A, "vdb"), disk("/b", "vda"))
    tree.insert(0, mark)
    assert targets_of(known(tree, {"path": A}, {"path": "/b"})) == ["vdb", "vda"]


def test_what_is_no_disk_of_a_path_is_left_out():
    tree = domain(
        "<disk/>",
        "<disk><source file='/x'/></disk>",
        "<disk><source name='n'/><target dev='vda'/></disk>",
        disk(A, "vdb"),
        disk(A, "vdc"),
    )
    assert {path: item.find("target").get("dev") for path, item in disks_by_path(tree).items()} == {A: "vdb"}
    assert [format_of(parse(text)) for text in ("<disk/>", "<disk><driver/></disk>", "<disk><driver type='x'/></disk>")] == [
        "raw",
        "raw",
        "x",
    ]
