# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks with a recipe: what is meant, and every wish that has no meaning."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError, Recipe
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests

BASE = "/images/base.qcow2"


def guests(*lists, image_folder="/vms"):
    items = [{"name": f"plc{number}", "memory_mib": 64, "disks": disks} for number, disks in enumerate(lists, 1)]
    return parse_guests(items, {}, image_folder=image_folder)


def one(**disk):
    return guests([disk])[0].disks[0]


@pytest.mark.parametrize(
    ("disk", "path", "image", "recipe"),
    [
        ({"size_gib": 5}, "/vms/plc1-vda.qcow2", "qcow2", Recipe(size_gib=5)),
        ({"size_gib": 5, "format": "raw", "bus": "sata"}, "/vms/plc1-sda.raw", "raw", Recipe(size_gib=5)),
        ({"size_gib": 5, "path": "/a.img"}, "/a.img", "raw", Recipe(size_gib=5)),
        ({"base": BASE}, "/vms/plc1-vda.qcow2", "qcow2", Recipe(BASE, base_format="qcow2")),
        ({"base": "/b.img", "base_mode": "copy"}, "/vms/plc1-vda.qcow2", "qcow2", Recipe("/b.img", base_format="raw")),
        (
            {"base": "/b.img", "base_format": "qcow2", "base_mode": "overlay", "size_gib": 7},
            "/vms/plc1-vda.qcow2", "qcow2", Recipe("/b.img", True, "qcow2", True, 7),
        ),
        ({"base": BASE, "pool": "fast"}, "plc1-vda.qcow2", "qcow2", Recipe(BASE, base_format="qcow2")),
        ({"path": "a.raw", "pool": "fast"}, "a.raw", "raw", None),
        ({"path": "/a"}, "/a", "qcow2", None),
    ],
)  # fmt: skip
def test_where_and_how_it_is_made(disk, path, image, recipe):
    found = one(**disk)
    assert (found.path, found.format, found.recipe, found.path_given) == (path, image, recipe, "path" in disk)


def test_each_disk_has_its_own_name():
    (guest,) = guests([{"size_gib": 1}, {"size_gib": 1, "bus": "scsi"}, {"size_gib": 1}])
    assert [disk.path for disk in guest.disks] == ["/vms/plc1-vda.qcow2", "/vms/plc1-sda.qcow2", "/vms/plc1-vdb.qcow2"]


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        ({}, "path is missing; give it, or base or size_gib for an image that is made"),
        ({"pool": "fast"}, "path is missing"),
        ({"pool": "", "size_gib": 1}, "pool is empty; give the name of a storage pool"),
        ({"pool": "fast", "path": "/a.raw"}, "path '/a.raw' beside pool fast must be the name of a file in the pool's folder"),
        ({"pool": "fast", "path": ".."}, "path '..' beside pool fast must be the name of a file"),
        ({"base_mode": "overlay", "path": "/a"}, "base_mode without base; name the image that the disk is made from"),
        ({"base_format": "raw", "base_mode": "copy", "path": "/a"}, "base_mode, base_format without base"),
        ({"base": "images/b.qcow2"}, "base 'images/b.qcow2' must be the absolute path"),
        ({"base": "/dev/vg/b"}, "base /dev/vg/b is a device; only an image file can be a base"),
        ({"base": BASE, "base_mode": "move"}, "base_mode 'move' is not one of copy, overlay"),
        ({"base": BASE, "base_format": "vmdk"}, "base_format 'vmdk' is not one of qcow2, raw"),
        ({"base": BASE, "path": BASE}, "base and path are the same file"),
        ({"base": BASE, "base_mode": "overlay", "format": "raw"}, "an overlay is a qcow2 image, not raw; give format: qcow2"),
        ({"base": BASE, "base_mode": "overlay", "path": "/a.img"}, "an overlay is a qcow2 image, not raw; give format: qcow2"),
        ({"base": BASE, "path": "/dev/vg/a"}, "/dev/vg/a is a block device, which this collection neither makes nor fills"),
        ({"size_gib": 1, "path": "/dev/vg/a"}, "/dev/vg/a is a block device"),
        ({"size_gib": 0}, "size_gib 0 is not in 1-65536"),
        ({"size_gib": 65537}, "size_gib 65537 is not in 1-65536"),
        ({"size_gib": "20"}, "size_gib '20' must be of type int"),
        ({"size_gib": 1, "read_only": True}, "read_only beside base or size_gib"),
    ],
)
def test_wishes_without_meaning(disk, words):
    with pytest.raises(GuestError) as error:
        one(**disk)
    assert str(error.value).startswith("realtime_guests: plc1: disks[0]: ")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"size_gib": 1, "path": "/a"}, {"size_gib": 1, "path": "/a"}, "plc2 and plc1 write the same disk /a"),
        (
            {"size_gib": 1, "pool": "p", "path": "a"},
            {"size_gib": 1, "pool": "p", "path": "a"},
            "plc2 and plc1 write the same disk a",
        ),
        (
            {"path": BASE},
            {"base": BASE, "base_mode": "overlay"},
            f"plc2: its disk /vms/plc2-vda.qcow2 is an overlay of {BASE}, which plc1 writes",
        ),
        (
            {"base": BASE, "base_mode": "overlay"},
            {"path": BASE},
            f"plc1: its disk /vms/plc1-vda.qcow2 is an overlay of {BASE}, which plc2 writes",
        ),
    ],
)
def test_two_guests_of_one_image(first, second, words):
    with pytest.raises(GuestError) as error:
        guests([first], [second])
    assert words in str(error.value)


def test_what_guests_may_share():
    guests(
        [{"base": BASE, "base_mode": "overlay"}], [{"base": BASE, "base_mode": "overlay"}], [{"path": BASE, "read_only": True}]
    )
    guests([{"base": BASE}], [{"path": BASE}])
    guests([{"size_gib": 1, "pool": "p", "path": "a"}], [{"size_gib": 1, "pool": "q", "path": "a"}])
