# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bases: trusted, whole, looked at once, and written by nobody."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests import bases as _bases
from ansible_collections.realtime.kvm.plugins.module_utils._guests.bases import Base, Bases
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError, Recipe
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.qemu_img import ImageInfo, QemuImg
from unit.image_tools import GIB, TOOLS, ImageTools, put, qcow2
from unit.libvirts import FakeDomain
from unit.trees import fill, writable

BASE = "/images/base.qcow2"
QCOW = Recipe(BASE, base_format="qcow2")
OVERLAY = Recipe(BASE, overlay=True, base_format="qcow2")


@pytest.fixture(name="host")
def _host(tmp_path):
    put(tmp_path, BASE, qcow2(4 * GIB, content=b"data"))
    return writable(fill(tmp_path, TOOLS))


def bases(host, domains=None, guests=()):
    return Bases(host, QemuImg(host, ImageTools(host.root)), domains or {}, guests)


def refusal(host, recipe):
    with pytest.raises(GuestError) as error:
        bases(host).look("x", recipe)
    return str(error.value)


def test_size_and_bytes(host):
    assert bases(host).look("x", QCOW) == Base(BASE, 4 * GIB, 4)


def test_a_link_of_roots_is_followed_so_that_an_overlay_keeps_its_file(host):
    os.symlink("base.qcow2", host.path("/images/latest.qcow2"))
    assert bases(host).look("x", Recipe("/images/latest.qcow2", base_format="qcow2")).path == BASE


def test_each_is_looked_at_once(host):
    looked = []

    class Tool(QemuImg):
        def info(self, path, image):
            looked.append((path, image))
            return ImageInfo(GIB)

        def copy_bytes(self, path, image):
            return 1

    found = Bases(host, Tool(host, None), {}, [])
    for recipe in (QCOW, OVERLAY, QCOW, Recipe(BASE, base_format="raw", base_format_given=True)):
        found.look("x", recipe)
    assert looked == [(BASE, "qcow2"), (BASE, "raw")]


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_one_that_others_can_write_is_refused(host, mode):
    os.chmod(host.path(BASE), mode)
    assert "is not taken, since others than its owner can write it" in refusal(host, QCOW)


def test_one_of_another_user_is_refused(host, monkeypatch):
    monkeypatch.setattr(_bases, "owners", lambda: {12345})
    assert "is not taken, since root, its owner, can write it" in refusal(host, QCOW).replace(
        _bases.owner_name(os.geteuid()), "root"
    )


def test_a_header_in_another_file_is_no_whole_image(host, monkeypatch):
    monkeypatch.setattr(QemuImg, "info", lambda *_given: ImageInfo(GIB, data_file="/images/data"))
    assert "is itself the header of /images/data; make one image of it first" in refusal(host, QCOW)


def test_raw_that_is_given_is_not_doubted(host):
    assert "begins like a qcow2 image" in refusal(host, Recipe(BASE, base_format="raw"))
    assert bases(host).look("x", Recipe(BASE, base_format="raw", base_format_given=True)).size < GIB


def test_without_the_tool_size_is_not_known(host):
    os.unlink(host.path("/usr/bin/qemu-img"))
    found = bases(host).look("x", QCOW)
    assert (found.size, found.bytes > 0) == (0, True)


# -- writers ---------------------------------------------------------------------------------------


def domain(path, *, running=False, more="", kind="disk", live=None):
    text = f"<domain><name>w</name><devices><disk type='file' device='{kind}'><source file='{path}'/>{more}</disk></devices></domain>"
    return {"w": FakeDomain(text if live is None else live, "w", parse(text), running=running, autostart=False)}


def test_a_writer_of_any_kind_destroys_an_overlay_and_one_that_runs_tears_a_copy(host):
    os.link(host.path(BASE), host.path("/images/alias.qcow2"))
    for path in (BASE, "/images/alias.qcow2"):
        with pytest.raises(
            GuestError, match=rf"^realtime_guests: a: base {BASE} is a disk of w, which can write it, which destroys the overlay"
        ):
            bases(host, domain(path)).check_writers("a", OVERLAY)
        bases(host, domain(path)).check_writers("a", QCOW)
        with pytest.raises(GuestError, match=r"so a copy would hold half of what it is writing; .*, or shut it down meanwhile"):
            bases(host, domain(path, running=True)).check_writers("a", QCOW)


def test_one_that_only_the_running_guest_has_counts(host):
    there = domain("/other", running=True, live=domain(BASE)["w"].handle)
    for recipe in (QCOW, OVERLAY):
        with pytest.raises(GuestError, match="is a disk of w"):
            bases(host, there).check_writers("a", recipe)


@pytest.mark.parametrize("there", [{"more": "<readonly/>"}, {"kind": "cdrom"}])
def test_readers_do_no_harm(host, there):
    bases(host, domain(BASE, running=True, **there)).check_writers("a", OVERLAY)


def test_volumes_are_not_known_and_no_base_has_no_writer(host):
    volume = domain(BASE)
    volume["w"].tree.find("devices/disk").set("type", "volume")
    bases(host, volume).check_writers("a", OVERLAY)
    bases(host, domain(BASE)).check_writers("a", Recipe(size_gib=1))
    bases(host, domain(BASE)).check_writers("a", Recipe("/none", overlay=True))


def test_guests_of_the_list_count_by_file(host):
    os.link(host.path(BASE), host.path("/images/alias.qcow2"))
    (writer,) = parse_guests([{"name": "w", "memory_mib": 64, "disks": [{"path": "/images/alias.qcow2"}, {"path": "/none"}]}], {})
    with pytest.raises(GuestError, match="is a disk of w"):
        bases(host, guests=[writer]).check_writers("a", OVERLAY)
    bases(host, guests=[writer]).check_writers("a", QCOW)
