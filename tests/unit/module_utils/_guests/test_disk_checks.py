# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are not there, that QEMU could not open, or would read as another format."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests import disk_checks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.disk_checks import check_disks, takes_direct_io
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.libvirt import Domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.plan import GuestPlan
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.image_tools import qcow2
from unit.trees import fill, writable


def plans(*disks, domain=None, **more):
    guests = parse_guests([{"name": "plc1", "memory_mib": 64, "disks": list(disks), **more}], {})
    known = None if domain is None else Domain(None, "plc1", parse(domain), running=False, autostart=False)
    return [GuestPlan(guest, None, known, None, []) for guest in guests]


def had(image, path="/images/a.qcow2"):
    driver = f"<driver type='{image}'/>" if image else "<driver/>"
    return f"<domain><devices><disk type='file'>{driver}<source file='{path}'/><target dev='vda'/></disk></devices></domain>"


@pytest.fixture(name="host")
def _host(tmp_path):
    return writable(fill(tmp_path, {"/images/a.qcow2": qcow2(), "/images/folder/": None, "/dev/vg/lv": ""}))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "/images/none.qcow2",
            r"is not on this node \(No such file or directory\); put the image there first, or have it made: give base",
        ),
        ("/none/a.qcow2", r"is not on this node \(No such file or directory\)"),
        ("/images/folder", "is no regular file"),
        ("/dev/vg/lv", "is no block device"),
    ],
)
def test_disks_are_files_or_block_devices_as_they_are_named(host, path, words):
    check_disks(host, plans({"path": "/images/a.qcow2"}))
    with pytest.raises(GuestError, match=rf"^realtime_guests: plc1: disk {path} {words}"):
        check_disks(host, plans({"path": path}))


def test_a_seed_is_there_or_made(host):
    with pytest.raises(GuestError, match=r"^realtime_guests: plc1: disk /seed.iso is not on this node"):
        check_disks(host, plans(seed="/seed.iso"))
    check_disks(host, plans({"size_gib": 1}, {"base": "/x"}, cloud_init={}))


# -- formats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["raw", ""])
def test_what_a_guest_could_write_as_raw_is_no_qcow2(host, before):
    with pytest.raises(
        GuestError,
        match=r"^realtime_guests: plc1: its domain has disk /images/a.qcow2 as raw, so the guest could write every byte",
    ):
        check_disks(host, plans({"path": "/images/a.qcow2"}, domain=had(before)))


@pytest.mark.parametrize(
    ("disk", "domain"),
    [
        ({"format": "raw"}, had("raw")),
        ({"format": "raw"}, had("qcow2", "/images/other.qcow2")),
        ({}, had("qcow2")),
        ({}, had("raw", "/images/other.raw").replace("vda", "vdb")),
        (
            {},
            "<domain><devices><disk type='block'><driver type='raw'/><source dev='/dev/x'/><target dev='vdb'/></disk></devices></domain>",
        ),
        ({}, "<domain><devices><disk/></devices></domain>"),
    ],
)
def test_other_formats_are_no_danger(host, disk, domain):
    check_disks(host, plans({"path": "/images/a.qcow2", **disk}, domain=domain))


@pytest.mark.parametrize(
    ("disk", "domain", "words"),
    [
        ({"format": "raw"}, had("qcow2"), "format raw for disk /images/a.qcow2, which its domain has as qcow2"),
        ({"format": "qcow2"}, had("vmdk"), "format qcow2 for disk /images/a.qcow2, which its domain has as vmdk"),
        ({"format": "raw"}, had("qcow2").replace("vda", "sda"), "which its domain has as qcow2"),
    ],
)
def test_the_format_of_an_image_that_the_domain_has_is_never_another(host, disk, domain, words):
    with pytest.raises(GuestError) as error:
        check_disks(host, plans({"path": "/images/a.qcow2", **disk}, domain=domain))
    assert words in str(error.value)
    assert "the guest would not find its data there. Leave format out" in str(error.value)


@pytest.mark.parametrize("more", [{}, {"size_gib": 8}])
def test_a_qcow2_image_is_not_taken_for_raw_by_its_name(tmp_path, more):
    host = writable(fill(tmp_path, {"/images/a.img": qcow2(), "/images/b.img": "QFI"}))
    with pytest.raises(GuestError) as error:
        check_disks(host, plans({"path": "/images/a.img", **more}))
    assert str(error.value) == (
        "realtime_guests: plc1: disk /images/a.img is taken for raw by its name, but begins like a qcow2 image, as many clouds' .img files do; "
        "give format: qcow2 (or raw, if it is raw)"
    )
    for image in ("qcow2", "raw"):
        check_disks(host, plans({"path": "/images/a.img", "format": image, **more}))
    check_disks(host, plans({"path": "/images/b.img"}))
    check_disks(host, plans({"path": "/images/a.img"}, domain=had("raw", "/images/a.img")))
    check_disks(host, plans(seed="/images/a.img"))


@pytest.mark.parametrize(
    ("path", "given", "words"),
    [
        (
            "/images/b.vmdk",
            {},
            "is taken for qcow2 by its name, but does not begin like a qcow2 image; give format: raw if it is raw, or make",
        ),
        ("/images/zeros.qcow2", {}, "is taken for qcow2 by its name, but does not begin"),
        ("/images/zeros.img", {"format": "qcow2"}, "is qcow2, but does not begin like a qcow2 image"),
    ],
)
def test_what_is_no_qcow2_image_is_not_taken_for_one(tmp_path, path, given, words):
    host = writable(
        fill(tmp_path, {"/images/b.vmdk": "KDMV", "/images/zeros.qcow2": "\0" * 512, "/images/zeros.img": "\0" * 512})
    )
    with pytest.raises(GuestError) as error:
        check_disks(host, plans({"path": path, **given}))
    assert f"realtime_guests: plc1: disk {path} {words}" in str(error.value)
    check_disks(host, plans({"path": path, **given}, domain=had("qcow2", path)))
    check_disks(host, plans({"path": path, "format": "raw"}))


def test_an_image_that_is_renamed_stays_raw(host):
    words = r"disk /images/a.qcow2 would be qcow2 in place of /images/a.img, which its domain has as raw and which is gone. If it is that one, renamed"
    with pytest.raises(GuestError, match=words):
        check_disks(host, plans({"path": "/images/a.qcow2"}, domain=had("raw", "/images/a.img")))
    check_disks(host, plans({"path": "/images/a.qcow2", "format": "raw"}, domain=had("raw", "/images/a.img")))
    check_disks(host, plans({"path": "/images/a.qcow2"}, domain=had("qcow2", "/images/a.img")))


def test_an_image_in_place_of_another_that_stays_is_told(tmp_path):
    host = writable(fill(tmp_path, {"/images/a.qcow2": qcow2(), "/images/b.qcow2": qcow2()}))
    check_disks(host, plans({"path": "/images/a.qcow2"}, domain=had("qcow2", "/images/gone.qcow2")))
    check_disks(host, plans({"path": "/images/a.qcow2"}, domain=had("qcow2", "/images/a.qcow2")))
    assert host.notes == []
    check_disks(host, plans({"path": "/images/a.qcow2"}, domain=had("qcow2", "/images/b.qcow2")))
    (note,) = host.notes
    assert note.startswith(
        "plc1: disk vda changes from /images/b.qcow2 to /images/a.qcow2, and what the guest wrote to /images/b.qcow2 stays there"
    )
    assert note.endswith("to keep that disk, give path: /images/b.qcow2")


# -- O_DIRECT --------------------------------------------------------------------------------------


def test_a_cache_that_the_file_system_does_not_take_is_refused(host, monkeypatch):
    monkeypatch.setattr(disk_checks, "takes_direct_io", lambda _host, path: path.startswith("/direct"))
    disk = {"path": "/images/a.qcow2"}
    for given, words in (
        ({}, "would have cache none, as every new disk unless it is given, with which QEMU opens it with O_DIRECT"),
        ({"cache": "none"}, "would have cache none, with which QEMU"),
        ({"cache": "directsync"}, "would have cache directsync, with which QEMU"),
    ):
        with pytest.raises(GuestError) as error:
            check_disks(host, plans({**disk, **given}))
        assert str(error.value).startswith("realtime_guests: plc1: disk /images/a.qcow2 would have cache")
        assert words in str(error.value)
        assert "give it cache: writeback, or put the image on another file system" in str(error.value)
    for made in ({"size_gib": 1}, {"base": "/b"}):
        with pytest.raises(GuestError, match="would have cache none"):
            check_disks(host, plans(made))
    check_disks(host, plans({**disk, "cache": "writeback"}, {"size_gib": 1, "path": "/direct/x"}, cloud_init={}))
    check_disks(host, plans(disk, domain=had("qcow2")))
    with pytest.raises(GuestError, match="would have cache none"):
        check_disks(host, plans({**disk, "cache": "none"}, domain=had("qcow2")))


def test_a_captured_machine_says_nothing_of_its_file_systems(tmp_path):
    assert takes_direct_io(Host(str(tmp_path), captured=True), "/images/a") is None


def test_the_kernel_is_asked(tmp_path, monkeypatch):
    host = writable(fill(tmp_path, {"/images/a": ""}))
    before = sorted(tmp_path.rglob("*"))
    assert takes_direct_io(host, "/images/a") in (True, False)
    assert takes_direct_io(host, "/images/new") in (True, False, None)
    assert takes_direct_io(host, "/none/new") is None
    assert takes_direct_io(writable("/"), "/proc/version") is False
    assert sorted(tmp_path.rglob("*")) == before

    real = os.open
    for number, found in ((errno.EINVAL, False), (errno.EOPNOTSUPP, None), (errno.EACCES, None)):

        def refused(path, flags, *rest, number=number, **more):
            if flags & os.O_DIRECT:
                raise OSError(number, "no")
            return real(path, flags, *rest, **more)

        monkeypatch.setattr(os, "open", refused)
        assert takes_direct_io(host, "/images/a") is found
