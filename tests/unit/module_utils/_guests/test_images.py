# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images by identity: other paths, links, backing files, owners, and a file that is swapped between two looks."""

from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import images as _images
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.images import (
    backing_files,
    identify,
    loop_files,
    remove_image,
    used_files,
)
from unit.trees import fill, writable

IMAGE = "/images/plc1.qcow2"


def qcow2(backing="", data_file="", version=3):
    """The header of an image (QEMU, docs/interop/qcow2.rst)."""
    extensions = b""
    if data_file:
        text = data_file.encode()
        extensions = struct.pack(">II", 0x44415441, len(text)) + text.ljust((len(text) + 7) // 8 * 8, b"\0")
    extensions += struct.pack(">II", 0, 0)
    offset = 104 + len(extensions)
    head = b"QFI\xfb" + struct.pack(">IQI", version, offset if backing else 0, len(backing))
    return head.ljust(100, b"\0") + struct.pack(">I", 104) + extensions + backing.encode()


@pytest.fixture(name="host")
def _host(tmp_path):
    return writable(fill(tmp_path / "node", {IMAGE: qcow2(), "/other/base.qcow2": qcow2()}))


def paths(found):
    return [path for _identity, path in found]


# -- the file itself -------------------------------------------------------------------------------


def test_it_is_the_same_file_by_any_path(host):
    os.link(host.path(IMAGE), host.path("/other/alias.qcow2"))
    assert identify(host, IMAGE, "plc1") == identify(host, "//other/./alias.qcow2", "plc1")
    assert identify(host, IMAGE, "plc1") != identify(host, "/other/base.qcow2", "plc1")


@pytest.mark.parametrize("path", ["/images/none", "/none/none", f"{IMAGE}/x", "/"])
def test_what_is_not_there_is_none(host, path):
    assert identify(host, path, "plc1") is None


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_only_a_regular_file_is_removed(host, kind):
    path = host.path("/images/x")
    {"link": lambda: os.symlink("plc1.qcow2", path), "folder": lambda: os.mkdir(path), "pipe": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(GuestError, match=r"^realtime_guests: plc1: disk /images/x is not removed, since it is no regular file"):
        identify(host, "/images/x", "plc1")


def test_a_link_of_root_is_followed(host):
    os.symlink("/images", host.path("/other/way"))
    os.symlink("way", host.path("/other/further"))
    assert identify(host, "/other/further/plc1.qcow2", "plc1") == identify(host, IMAGE, "plc1")


def test_a_link_that_another_user_can_change_is_not_followed(host):
    os.mkdir(host.path("/home"))
    os.symlink("/images", host.path("/home/way"))
    os.chmod(host.path("/home"), 0o777)
    with pytest.raises(GuestError, match="since way on the way to it is a link that not only root can change"):
        identify(host, "/home/way/plc1.qcow2", "plc1")
    os.chmod(host.path("/home"), 0o1777)
    assert identify(host, "/home/way/plc1.qcow2", "plc1")
    os.symlink("round", host.path("/images/round"))
    with pytest.raises(GuestError, match="round on the way"):
        identify(host, "/images/round/x", "plc1")


def test_a_file_of_another_user_is_refused(host, monkeypatch):
    monkeypatch.setattr(_images, "owners", lambda: {12345})
    with pytest.raises(GuestError, match=r"since it belongs to .*, neither to root nor to QEMU"):
        identify(host, IMAGE, "plc1")


def test_the_file_that_was_looked_at_is_removed(host):
    remove_image(host, IMAGE, "plc1", identify(host, IMAGE, "plc1"))
    assert not host.exists(IMAGE)
    remove_image(host, IMAGE, "plc1", (0, 0))


def test_a_folder_that_is_swapped_for_a_link_saves_the_other_file(host):
    identity = identify(host, IMAGE, "plc1")
    fill(host.root, {"/elsewhere/plc1.qcow2": "precious"})
    os.rename(host.path("/images"), host.path("/moved"))
    os.symlink("elsewhere", host.path("/images"))
    with pytest.raises(HostError, match="another file has taken its place"):
        remove_image(host, IMAGE, "plc1", identity)
    assert host.exists("/elsewhere/plc1.qcow2")


# -- its users -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "/images/plc1.qcow2",
        "../images/plc1.qcow2",
        "file:../images/plc1.qcow2",
        "file:///images/plc1.qcow2",
        'json:{"driver": "qcow2", "file": {"driver": "file", "filename": "/images/plc1.qcow2"}}',
        'json:{"file.filename": "/images/plc1.qcow2"}',
        'json:{"children": [{"filename": "../images/plc1.qcow2"}]}',
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_way_to_name_a_backing_file(host, name, version):
    fill(host.root, {"/other/top.qcow2": qcow2(name, version=version)})
    found = list(backing_files(host, "/other/top.qcow2"))
    assert [identity for identity, _path in found] == [identify(host, "/other/top.qcow2", "x"), identify(host, IMAGE, "x")]


def test_a_chain_is_followed_to_its_end_and_a_circle_once(host):
    fill(host.root, {"/a": qcow2("/b"), "/b": qcow2("c"), "/c": qcow2("/a", data_file="/d"), "/d": "raw"})
    assert sorted(paths(backing_files(host, "/a"))) == ["/a", "/b", "/c", "/d"]


def test_a_relative_name_also_counts_from_where_a_link_leads(host):
    fill(host.root, {"/deep/top.qcow2": qcow2("base.raw"), "/deep/base.raw": "x"})
    os.symlink("../deep/top.qcow2", host.path("/other/top.qcow2"))
    assert "/deep/base.raw" in paths(backing_files(host, "/other/top.qcow2"))


@pytest.mark.parametrize("name", ["nbd://x/images/plc1.qcow2", "rbd:pool/image", 'json:{"driver": "nbd", "host": "x"}'])
def test_files_on_other_machines_do_not_count(host, name):
    fill(host.root, {"/other/top.qcow2": qcow2(name)})
    assert paths(backing_files(host, "/other/top.qcow2")) == ["/other/top.qcow2"]


@pytest.mark.parametrize(
    "content",
    [
        b"QED\0".ljust(100),
        b"KDMV".ljust(100),
        b"# Disk DescriptorFile".ljust(100),
        b"QFI\xfb" + struct.pack(">IQI", 2, 1 << 40, 10).ljust(100, b"\0"),
        b"QFI\xfb" + struct.pack(">IQI", 2, 72, 4).ljust(68, b"\0") + b"\xff\xff\xff\xff",
        qcow2("json:{"),
        qcow2("json:" + "[" * 60000),
    ],
    ids=["qed", "vmdk", "vmdk text", "far away", "no text", "cut", "deep"],
)
def test_a_backing_file_that_is_not_known_is_an_error(host, content):
    fill(host.root, {"/other/top": content})
    with pytest.raises(HostError, match="/other/top"):
        list(backing_files(host, "/other/top"))


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_files_and_block_devices_are_opened_for_a_backing_file(host, kind):
    path = host.path("/other/top")
    os.mkfifo(path) if kind == "pipe" else os.symlink("/dev/zero", path)
    with pytest.raises(HostError, match=r"^/other/top is neither a regular file nor a block device, so its backing file is not"):
        list(backing_files(host, "/other/top"))


DISK = "<disk type='{}' device='disk'><driver type='{}'/>{}</disk>"


def domain(*devices, more=""):
    return parse(f"<domain>{more}<devices>{''.join(devices)}</devices></domain>")


def test_all_files_that_a_domain_names_count(host):
    fill(host.root, {"/other/top": qcow2("/other/base.qcow2"), "/vars": "x", "/mirror": "x"})
    disk = DISK.format("file", "qcow2", "<source file='/other/top'/><mirror type='file'><source file='/mirror'/></mirror>")
    found = used_files(host, domain(disk, more="<os><nvram template='/none'> /vars </nvram></os>"))
    assert sorted(set(paths(found))) == ["/mirror", "/other/base.qcow2", "/other/top", "/vars"]


@pytest.mark.parametrize("driver", ["raw", "luks"])
def test_a_raw_image_has_no_backing_file_whatever_its_guest_has_written(host, driver):
    fill(host.root, {"/raw": qcow2("/other/base.qcow2")})
    assert set(paths(used_files(host, domain(DISK.format("file", driver, "<source file='/raw'/>"))))) == {"/raw"}


def test_a_volume_is_not_known(host):
    with pytest.raises(HostError, match="which file the volume pool/plc1 is"):
        list(used_files(host, domain(DISK.format("volume", "qcow2", "<source pool='pool' volume='plc1'/>"))))


def test_an_empty_drive_and_a_network_disk_have_none(host):
    disks = [DISK.format("file", "raw", ""), DISK.format("network", "raw", "<source protocol='rbd' name='pool/x'/>")]
    assert list(used_files(host, domain(*disks))) == []


# -- its users by a text ---------------------------------------------------------------------------


def commandline(*arguments):
    arguments = "".join(f"<qemu:arg value='{argument}'/>" for argument in arguments)
    return parse(
        f"<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>x</name>"
        f"<qemu:commandline>{arguments}</qemu:commandline></domain>"
    )


@pytest.mark.parametrize(
    "argument",
    [
        "if=none,format=raw,file=/images/plc1.qcow2,readonly=on",
        "file=/other/../images/plc1.qcow2",
        "file=/other/link",
        "file=images/plc1.qcow2,if=none",
        "if=none,file=./images/plc1.qcow2",
        '{"driver":"file","filename":"/images/plc1.qcow2"}',
        '{"driver":"file","filename":"\\/images\\u002fplc1.qcow2"}',
        'file=json:{"driver":"file",,"filename":"/images/plc1.qcow2"}',
        "loader,file=/images/plc1.qcow2",
        "file:/images/plc1.qcow2",
        "file=file:///images/plc1.qcow2",
        "-hdb=/images/plc1.qcow2",
        "file=/other/top.qcow2",
        "file=blkdebug:/none:/images/plc1.qcow2",
    ],
)
def test_an_image_on_qemus_command_line_is_in_use(host, argument):
    os.symlink("../images/plc1.qcow2", host.path("/other/link"))
    fill(host.root, {"/other/top.qcow2": qcow2("/images/plc1.qcow2")})
    wanted = identify(host, IMAGE, "plc1")
    assert wanted in [found for found, _path in used_files(host, commandline("-drive", argument))]


def test_names_with_qemus_commas_and_blanks_are_found(host):
    fill(host.root, {"/images/a, b=c.qcow2": ""})
    wanted = identify(host, "/images/a, b=c.qcow2", "plc1")
    assert wanted in [found for found, _path in used_files(host, commandline("file=/images/a,, b=c.qcow2,if=none"))]


def test_an_image_in_other_texts_is_in_use_and_one_of_a_longer_name_is_not(host):
    fill(host.root, {"/images/plc1.qcow2.old": ""})
    wanted = identify(host, IMAGE, "plc1")
    for text, used in [
        ("mirrors /images/plc1.qcow2.", True),
        ("/images/plc1.qcow2.old", False),
        ("x=/images/plc1.qcow2.old", False),
    ]:
        tree = parse(f"<domain><name>x</name><metadata><a xmlns='urn:x'><b/>{text}</a></metadata></domain>")
        assert (wanted in [found for found, _path in used_files(host, tree)]) is used, text


def test_arguments_from_a_file_and_a_definition_without_end_are_not_known(host, monkeypatch):
    with pytest.raises(HostError, match=r"^which files -readconfig names for x on QEMU's command line is not known here$"):
        list(used_files(host, commandline("-readconfig", "/etc/qemu.cfg")))
    monkeypatch.setattr(_images, "_LOOKS", 50)
    with pytest.raises(HostError, match=r"^the definition of x may name more than 50 paths$"):
        list(used_files(host, commandline("/,/./" * 20)))


def test_devices_folders_and_long_names_on_the_command_line_are_no_images(host):
    os.mkfifo(host.path("/other/pipe"))
    long = "/" + "x" * 300
    assert {
        path for _found, path in used_files(host, commandline("chardev=/other/pipe", "path=/other,x", f"file={long},a=/no"))
    } == {
        *("/other/pipe", "/other"),
    }


def test_the_file_under_every_loop_device_is_in_use(host):
    fill(
        host.root,
        {f"/sys/block/{loop}/loop/backing_file": f"{path}\n" for loop, path in [("loop7", IMAGE), ("loop8", "/gone (deleted)")]},
    )
    assert list(loop_files(host)) == [(identify(host, IMAGE, "x"), IMAGE, "/dev/loop7")]
