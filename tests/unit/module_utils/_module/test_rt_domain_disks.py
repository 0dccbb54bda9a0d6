# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that are made and grown: predicted, made, refused, and removed only when asked."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.files import temporary_of
from unit.disk_runs import BASE, FOLDER
from unit.guests import OTHER, PLC, gone, node_with_base
from unit.guests import with_disks as guest
from unit.image_tools import GIB, files_in, put, qcow2, size_of
from unit.trees import fill

COPY = {"base": BASE, "size_gib": 20}


@pytest.fixture(name="node")
def _node(tmp_path):
    return node_with_base(tmp_path)


def before_and_after(result):
    return {
        change["resource"]: (change["before"], change["after"]) for change in result["changes"] if change["resource"][0] == "/"
    }


# -- made ------------------------------------------------------------------------------------------


def test_a_copy_is_made_grown_and_attached(node):
    result = node.converge(guest(COPY))
    path = f"{FOLDER}/plc1-vda.qcow2"
    assert before_and_after(result) == {path: (None, f"20 GiB, qcow2, a copy of {BASE}")}
    assert result["changes"][0]["resource"] == path, "before any guest is touched"
    assert (result["disruption"], result["domains"][0]["disks"]) == ("none", {"vda": path})
    full = Path(f"{node.root}{path}")
    assert (size_of(full), full.stat().st_mode & 0o777) == (20 * GIB, 0o600)
    assert full.read_bytes().endswith(b"an operating system")
    assert node.tree().find("devices/disk/source").get("file") == path
    assert [path.name for path in full.parent.iterdir()] == ["plc1-vda.qcow2"]


@pytest.mark.parametrize(
    ("disk", "name", "words", "commands"),
    [
        ({"base": BASE}, "plc1-vda.qcow2", f"4 GiB, qcow2, a copy of {BASE}", ["convert"]),
        ({"base": BASE, "size_gib": 4}, "plc1-vda.qcow2", f"4 GiB, qcow2, a copy of {BASE}", ["convert"]),
        ({"base": BASE, "format": "raw"}, "plc1-vda.raw", f"4 GiB, raw, a copy of {BASE}", ["convert"]),
        ({**COPY, "base_mode": "overlay"}, "plc1-vda.qcow2", f"20 GiB, qcow2, an overlay of {BASE}", ["create"]),
        ({"size_gib": 2, "bus": "scsi"}, "plc1-sda.qcow2", "2 GiB, qcow2, empty", ["create"]),
        ({"size_gib": 2, "path": f"{FOLDER}/data.img"}, "data.img", "2 GiB, raw, empty", ["create"]),
    ],
)
def test_each_kind(node, disk, name, words, commands):
    result = node.converge(guest(disk))
    assert before_and_after(result) == {f"{FOLDER}/{name}": (None, words)}
    assert [command[0] for command in node.tools.ran] == commands


def test_the_image_of_a_pool_lies_in_its_folder(node):
    fill(node.root, {"/fast/": None})
    node.libvirt.pools = {"fast": "/fast"}
    result = node.converge(guest({"size_gib": 1, "pool": "fast"}, {"size_gib": 1, "pool": "fast", "path": "data.raw"}))
    assert result["domains"][0]["disks"] == {"vda": "/fast/plc1-vda.qcow2", "vdb": "/fast/data.raw"}
    assert "libvirt has no storage pool slow" in node.refuse(guest({"size_gib": 1, "pool": "slow"}, name="plc2"))


def test_the_folder_of_images_can_be_another(node):
    fill(node.root, {"/vms/": None})
    node.converge(guest(COPY), image_folder="/vms")
    assert size_of(f"{node.root}/vms/plc1-vda.qcow2") == 20 * GIB
    result = node.run(guest(COPY))
    assert not result["changed"], "it stays where it is"
    for folder in ("vms", "/", "/a/../b", "/a/"):
        assert node.refuse(image_folder=folder).startswith(f"rt_guest_image_folder: '{folder}' must be the absolute path")


def test_an_image_that_is_there_is_not_made_again(node):
    put(node.root, f"{FOLDER}/plc1-vda.qcow2", qcow2(20 * GIB, content=b"precious"))
    result = node.converge(guest(COPY))
    assert before_and_after(result) == {}
    os.unlink(f"{node.root}{BASE}")
    node.converge(guest(COPY, owner="me"))
    assert Path(f"{node.root}{FOLDER}/plc1-vda.qcow2").read_bytes().endswith(b"precious")
    assert node.tools.ran == []


def test_an_image_of_a_defined_guest_that_is_gone_is_not_made_again(node):
    node.run(guest(COPY))
    os.unlink(f"{node.root}{FOLDER}/plc1-vda.qcow2")
    message = node.refuse(guest(COPY))
    assert f"disk {FOLDER}/plc1-vda.qcow2 is gone, but its domain has it; it is not made again" in message


def test_guests_that_are_only_defined_or_stopped_have_their_disks_too(node):
    result = node.converge(guest(COPY, state="stopped"), guest(COPY, name="plc2", state="present"))
    assert len(before_and_after(result)) == 2


# -- grown -----------------------------------------------------------------------------------------


def test_a_running_guests_disk_grows_at_once_and_a_stopped_ones_in_its_file(node):
    node.run(guest(COPY), {**OTHER, "disks": [COPY], "state": "stopped"})
    larger = {**COPY, "size_gib": 30}
    node.tools.ran.clear()
    result = node.converge(guest(larger), {**OTHER, "disks": [larger], "state": "stopped"})
    assert before_and_after(result) == {
        f"{FOLDER}/plc1-vda.qcow2: size": ("20 GiB", "30 GiB"),
        f"{FOLDER}/historian-vda.qcow2: size": ("20 GiB", "30 GiB"),
    }
    assert {change["reason"] for change in result["changes"]} == {"its guest sees it at once", ""}
    assert result["disruption"] == "none"
    assert node.libvirt.calls == [f"grow plc1 vda {30 * GIB}"]
    assert [command[0] for command in node.tools.ran] == ["resize"]
    assert result["restart_required"] == {}


def test_a_disk_that_the_running_guest_has_not_yet_grows_in_its_file(node):
    node.run(guest(COPY))
    put(node.root, f"{FOLDER}/more.qcow2", qcow2(GIB))
    result = node.converge(guest(COPY, {"path": f"{FOLDER}/more.qcow2", "size_gib": 2}))
    assert before_and_after(result) == {f"{FOLDER}/more.qcow2: size": ("1 GiB", "2 GiB")}
    assert size_of(f"{node.root}{FOLDER}/more.qcow2") == 2 * GIB


def test_a_disk_is_never_shrunk(node):
    node.run(guest(COPY))
    message = node.refuse(guest({**COPY, "size_gib": 19}))
    assert message.startswith(
        f"realtime_guests: plc1: disk {FOLDER}/plc1-vda.qcow2 has 20 GiB, more than size_gib 19; a disk is never shrunk"
    )
    assert message.endswith("give size_gib: 20 or more, or leave it out")
    put(node.root, f"{FOLDER}/odd.raw", b"x" * (1 << 20))
    os.truncate(f"{node.root}{FOLDER}/odd.raw", GIB + 512)
    message = node.refuse(guest({"path": f"{FOLDER}/odd.raw", "size_gib": 1}, name="plc2"))
    assert "has 1 GiB (1073742336 bytes), more than size_gib 1" in message
    assert "give size_gib: 2 or more" in message


# -- the list changes ------------------------------------------------------------------------------


def test_a_disk_without_path_keeps_its_image_or_the_run_is_refused(node):
    node.run(guest(COPY))
    other = {"path": f"{FOLDER}/more.qcow2", "size_gib": 1}
    message = node.refuse(guest(other, COPY))
    assert message.startswith(
        f"realtime_guests: plc1: {FOLDER}/plc1-vdb.qcow2 would be a new image, and {FOLDER}/plc1-vda.qcow2, which its domain"
    )
    assert message.endswith(
        f"Give the disk path: {FOLDER}/plc1-vda.qcow2, or path: {FOLDER}/plc1-vdb.qcow2 for a new one in its place"
    )
    assert "would be a new image" in node.refuse(guest({**COPY, "bus": "scsi"}))
    node.converge(guest(other, {**COPY, "path": f"{FOLDER}/plc1-vda.qcow2"}))


def test_what_a_guest_could_write_as_raw_is_not_read_as_qcow2(node):
    node.run({**PLC, "disks": [{"path": "/images/plc2.qcow2", "format": "raw"}]})
    message = node.refuse({**PLC, "disks": [{"path": "/images/plc2.qcow2", "format": "qcow2"}]})
    assert message.startswith(
        "realtime_guests: plc1: its domain has disk /images/plc2.qcow2 as raw, so the guest could write every byte of it"
    )


# -- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disk", "words"),
    [
        (
            {**COPY, "size_gib": 3},
            f"size_gib 3 is less than its base {BASE} has (4 GiB), which would be cut off; give size_gib: 4 or more",
        ),
        ({"base": "/images/none.qcow2"}, "base /images/none.qcow2 is not on this node; put it there first"),
        ({"base": "/nowhere/none.qcow2"}, "base /nowhere/none.qcow2 is not on this node; put it there first"),
        ({"base": "/images"}, "base /images is a folder; only an image file can be a base"),
        (
            {"base": BASE, "base_format": "raw", "path": "/nowhere/a.qcow2"},
            "its folder /nowhere does not exist on this node; make it first",
        ),
        ({"base": "/images/raw.qcow2"}, "base /images/raw.qcow2 is not of format qcow2: qemu-img: Could not open"),
        (
            {"base": "/images/cloud.img"},
            "is taken for raw by its name, but begins like a qcow2 image, as many clouds' .img files do",
        ),
        ({"base": "/images/chained.qcow2"}, f"is itself an overlay of {BASE}; make one image of it first: qemu-img convert"),
        ({"base": "/images/locked.qcow2"}, "is encrypted, and its key is not known here"),
    ],
)
def test_bases_and_folders_that_cannot_be_used(node, disk, words):
    put(node.root, "/images/raw.qcow2", b"raw")
    put(node.root, "/images/cloud.img", qcow2())
    put(node.root, "/images/chained.qcow2", qcow2(backing=BASE))
    put(node.root, "/images/locked.qcow2", qcow2(encrypted=True))
    message = node.refuse(guest(disk))
    assert message.startswith("realtime_guests: plc1: disk /")
    assert words in message


def test_two_guests_of_one_path_are_refused_whatever_the_path(node):
    os.symlink("libvirt", f"{node.root}/var/lib/way")
    one, other = (
        guest({"size_gib": 1, "path": f"{FOLDER}/a.qcow2"}),
        guest({"size_gib": 1, "path": f"{FOLDER}/a.qcow2"}, name="plc2"),
    )
    assert node.refuse(one, other) == f"realtime_guests: plc2 and plc1 write the same disk {FOLDER}/a.qcow2"
    other["disks"] = [{"size_gib": 1, "path": "/var/lib/way/images/a.qcow2"}]
    assert "disk /var/lib/way/images/a.qcow2 is the same file as disk" in node.refuse(one, other)
    node.libvirt.pools = {"p": FOLDER}
    other["disks"] = [{"size_gib": 1, "pool": "p", "path": "a.qcow2"}]
    assert node.refuse(one, other) == f"realtime_guests: plc2 and plc1 write the same disk {FOLDER}/a.qcow2"


@pytest.mark.parametrize("mode", ["overlay", "copy"])
def test_a_base_that_a_guest_writes_is_refused(node, mode):
    node.run({**OTHER, "disks": [{"path": BASE}]})
    disk = {"base": BASE, "base_mode": mode, "path": f"{FOLDER}/x.qcow2"}
    assert f"base {BASE} is a disk of historian, which can write it" in node.refuse(guest(disk))
    node.run({**OTHER, "disks": [{"path": BASE}], "state": "stopped"})
    if mode == "copy":  # nobody writes it just now
        node.converge(guest(disk))
    else:
        assert "which destroys the overlay" in node.refuse(guest(disk))


def test_what_does_not_fit_is_refused_by_file_system_over_all_guests(node, monkeypatch):
    class Full:
        f_frsize, f_flag, f_bavail = 1, 0, 9 << 20

    monkeypatch.setattr(os, "statvfs", lambda _path: Full)
    one, other = guest({"size_gib": 100}), guest({"size_gib": 100}, name="plc2")
    node.converge(one, other)  # 4 MiB at once for each
    put(node.root, BASE, qcow2(4 * GIB, content=bytes(3 << 20)))
    message = node.refuse(one, other, guest({"base": BASE}, name="plc3"), guest({"base": BASE}, name="plc4"))
    assert message == (
        f"realtime_guests: the file system of {FOLDER} has 9 MiB free, and the images to be made take 14 MiB "
        f"({FOLDER}/plc3-vda.qcow2 7 MiB, {FOLDER}/plc4-vda.qcow2 7 MiB); free some, or put them elsewhere (rt_guest_image_folder, pool, path)"
    )
    node.converge(one, other, guest({"base": BASE, "base_mode": "overlay"}, name="plc3"))
    Full.f_flag = os.ST_RDONLY
    assert f"the file system of {FOLDER} is read-only" in node.refuse(guest({"size_gib": 1}, name="plc4"))


def test_without_qemu_img_check_mode_says_what_it_cannot_check_and_a_run_is_refused(node):
    os.unlink(f"{node.root}/usr/bin/qemu-img")
    os.rmdir(f"{node.root}{FOLDER}")
    predicted = node.run(guest(COPY), check=True)
    assert before_and_after(predicted) == {f"{FOLDER}/plc1-vda.qcow2": (None, f"20 GiB, qcow2, a copy of {BASE}")}
    with pytest.raises(HostError, match="/usr/bin/qemu-img is not installed on this node; run the kvm_host role"):
        node.run(guest(COPY))


# -- failed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["convert", "resize"])
def test_a_disk_that_is_full_half_way_leaves_nothing(node, command):
    node.tools.fails = {command: "error while writing at byte 1024: No space left on device"}
    with pytest.raises(
        HostError,
        match=r"plc1-vda.qcow2 cannot be made, and nothing is left of it: qemu-img: error while writing .*No space left",
    ):
        node.run(guest(COPY))
    assert list(Path(f"{node.root}{FOLDER}").iterdir()) == []
    assert node.libvirt.calls == []
    node.tools.fails = {}
    node.converge(guest(COPY))


def test_an_image_that_appears_meanwhile_is_left_alone(node):
    path = Path(f"{node.root}{FOLDER}/plc1-vda.qcow2")
    run = node.tools.__call__

    def meanwhile(command):
        if "convert" in command:
            path.write_bytes(b"theirs")
        return run(command)

    node.tools = meanwhile
    with pytest.raises(HostError, match="has appeared meanwhile; it is left as it is"):
        node.run(guest(COPY))
    assert path.read_bytes() == b"theirs"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_file_system_without_hard_links_will_do(node, monkeypatch):
    def refused(_source, _target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    node.converge(guest(COPY))
    assert [path.name for path in Path(f"{node.root}{FOLDER}").iterdir()] == ["plc1-vda.qcow2"]


# -- removed ---------------------------------------------------------------------------------------


def test_made_images_go_with_their_guest_only_when_asked_and_a_base_never(node):
    overlay = guest({"base": BASE, "base_mode": "overlay"})
    node.run(overlay)
    path = f"{FOLDER}/plc1-vda.qcow2"
    node.converge(gone())
    assert Path(f"{node.root}{path}").exists()
    node.run(overlay)
    left = Path(temporary_of(f"{node.root}{path}"))
    left.write_bytes(b"of a killed run")
    result = node.converge(gone(remove_disks=True))
    assert before_and_after(result) == {path: ("disk image", None)}
    assert Path(f"{node.root}{BASE}").exists()
    assert not left.exists()


def test_a_disk_from_which_a_guest_of_the_list_is_made_is_not_removed(node):
    node.run(guest(COPY, state="stopped"))
    heir = guest({"base": f"{FOLDER}/plc1-vda.qcow2"}, name="plc2")
    assert f"disk {FOLDER}/plc1-vda.qcow2 is not removed, since domain plc2, which is made from it, has it too" in node.refuse(
        gone(remove_disks=True), heir
    )


# -- seeds -----------------------------------------------------------------------------------------


def test_a_seed_is_made_with_the_guests_own_uuid_and_macs_and_attached(node):
    config = {"version": 2, "ethernets": {"lan": {"match": {"network": "control"}, "dhcp4": True}}}
    result = node.converge(guest(COPY, cloud_init={"user_data": {"password": "PLANTED"}, "network_config": config}))
    path = f"{FOLDER}/plc1-seed.iso"
    assert "PLANTED" not in json.dumps(result)
    assert before_and_after(result)[path] == (None, "cloud-init seed")
    assert result["domains"][0]["disks"] == {"vda": f"{FOLDER}/plc1-vda.qcow2", "vdz": path}
    found = files_in(f"{node.root}{path}")
    assert json.loads(found["meta-data"])["instance-id"] == node.tree().findtext("uuid")
    assert result["domains"][0]["macs"]["control"] in found["network-config"]
    drive = node.tree().findall("devices/disk")[-1]
    assert (drive.find("source").get("file"), drive.find("target").get("bus"), drive.find("readonly") is not None) == (
        path,
        "virtio",
        True,
    )


def test_a_seed_that_changes_restarts_no_guest(node):
    node.run(guest(COPY, cloud_init={}))
    result = node.converge(guest(COPY, cloud_init={"meta_data": {"instance-id": "second"}}), restart=True)
    (change,) = result["changes"]
    assert (change["resource"], change["disruption"]) == (f"{FOLDER}/plc1-seed.iso", "none")
    assert change["reason"] == "its guest runs with the former one until its next start"
    assert (node.libvirt.calls, result["restart_required"]) == ([], {})


def test_an_adopted_guest_keeps_its_uuid_in_its_seed(node):
    node.foreign("plc1")
    node.run({"name": "plc1", "memory_mib": 64, "adopt": True, "cloud_init": {}})
    assert json.loads(files_in(f"{node.root}{FOLDER}/plc1-seed.iso")["meta-data"])["instance-id"] == node.tree().findtext("uuid")


def test_a_seed_stays_where_it_is_when_the_folder_changes_or_a_disk_is_added(node):
    node.run(guest(COPY, cloud_init={}))
    fill(node.root, {"/vms/": None})
    assert not node.run(guest(COPY, cloud_init={}), image_folder="/vms")["changed"]
    result = node.run(guest(COPY, {"path": "/images/plc2.qcow2"}, cloud_init={}))
    assert result["domains"][0]["disks"] == {
        "vda": f"{FOLDER}/plc1-vda.qcow2", "vdb": "/images/plc2.qcow2", "vdz": f"{FOLDER}/plc1-seed.iso",
    }  # fmt: skip


def test_windows_gets_its_seed_as_a_cd_rom(node):
    result = node.converge({"name": "plc1", "guest_os": "windows", "memory_mib": 64, "cloud_init": {}})
    assert result["domains"][0]["disks"] == {"sda": f"{FOLDER}/plc1-seed.iso"}
    assert node.tree().find("devices/disk").get("device") == "cdrom"
    node.converge(gone(remove_disks=True))
    assert list(Path(f"{node.root}{FOLDER}").iterdir()) == []
