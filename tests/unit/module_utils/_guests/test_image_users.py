# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that two disks would write, and files on which other disks lie, are given to no guest."""

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests import images
from unit.disk_runs import BASE, FOLDER
from unit.domains import meaning
from unit.guests import gone, node_with_base
from unit.guests import with_disks as guest
from unit.image_tools import GIB, put, qcow2
from unit.trees import fill


@pytest.fixture(name="node")
def _node(tmp_path):
    return node_with_base(tmp_path)


def test_what_lies_behind_the_disk_of_another_guest_is_no_disk_to_write(node):
    """Also where the entry from which the overlay was made has become a path."""
    node.run(guest({"base": BASE, "base_mode": "overlay"}, name="plc2"))
    other = guest({"path": f"{FOLDER}/plc2-vda.qcow2"}, name="plc2")
    message = node.refuse(other, guest({"path": BASE}))
    assert message.startswith(
        f"realtime_guests: plc1: disk {BASE} is behind {FOLDER}/plc2-vda.qcow2, a disk of plc2, which the first write destroys"
    )
    node.converge(other, guest({"path": BASE, "read_only": True}))
    node.converge(gone(name="plc2"), guest({"path": BASE}))


def test_a_snapshot_taken_by_hand_is_not_taken_back(node):
    node.run(guest({"path": BASE}))
    put(node.root, f"{FOLDER}/plc1.snapshot", qcow2(4 * GIB, backing=BASE))
    node.edit(f'file="{BASE}"', f'file="{FOLDER}/plc1.snapshot"')
    message = node.refuse(guest({"path": BASE}))
    assert f"disk {BASE} is behind {FOLDER}/plc1.snapshot, on which its domain runs since a snapshot was taken" in message
    assert f"Give path: {FOLDER}/plc1.snapshot, or merge both first (virsh blockcommit plc1 " in message


@pytest.mark.parametrize("recipe", [{}, {"size_gib": 4}, {"size_gib": 8}, {"base": "/images/none.qcow2"}])
def test_an_image_that_is_made_where_it_is_missing_is_looked_at_like_any_other(node, recipe):
    """Else it would be grown under the overlay on which its guest runs, or the guest put back to it."""
    made = f"{FOLDER}/plc1.qcow2"
    node.run(guest({"size_gib": 4, "path": made}), guest({"path": BASE, "read_only": True}, name="plc2"))
    put(node.root, f"{FOLDER}/snap", qcow2(4 * GIB, backing=made))
    put(node.root, f"{FOLDER}/over", qcow2(4 * GIB, backing=BASE))
    node.edit(f'file="{made}"', f'file="{FOLDER}/snap"')
    for restart in (False, True):
        assert f"disk {made} is behind {FOLDER}/snap, on which its domain runs" in node.refuse(
            guest({"path": made, **recipe}), restart=restart
        )
    node.edit(f'file="{BASE}"', f'file="{FOLDER}/over"', name="plc2")
    assert f"disk {BASE} is behind {FOLDER}/over, a disk of plc2" in node.refuse(guest({"path": BASE, **recipe}))


def test_what_lies_behind_a_disk_of_the_same_list_is_no_disk_to_write(node):
    over = f"{FOLDER}/over.qcow2"
    put(node.root, over, qcow2(4 * GIB, backing=BASE))
    words = f"realtime_guests: plc1: disk {BASE} is behind {over}, a disk of plc2, which the first write destroys"
    one, other = guest({"path": BASE}), guest({"path": over}, name="plc2")
    assert node.refuse(one, other).startswith(words)
    assert node.refuse(other, one).startswith(words)
    both = [{"path": over}, {"path": BASE}]
    assert f"disk {BASE} is behind {over}, another of its disks" in node.refuse(guest(*both))
    assert f"disk {BASE} is behind {over}, another of its disks" in node.refuse(guest(*both[::-1]))
    node.converge(guest({"path": BASE, "read_only": True}), other)


BEHIND = "<backingStore type='file'><format type='raw'/><source file='{}'/><backingStore/></backingStore>"


@pytest.mark.parametrize(
    "inner",
    [
        BEHIND,
        f"<backingStore type='file'><format type='qcow2'/><source file='/images/a'/>{BEHIND}</backingStore>",
        "<mirror type='file' job='copy'><format type='raw'/><source file='{}'/></mirror>",
    ],
)
def test_what_only_the_definition_puts_behind_a_disk_counts(node, inner):
    """libvirt, formatdomain: a chain in the definition takes the place of what the images say."""
    put(node.root, "/images/top.qcow2", qcow2())
    node.foreign(devices=disk("/images/top.qcow2").replace("</disk>", inner.format(BASE) + "</disk>"))
    assert f"plc1: disk {BASE} is behind /images/top.qcow2, a disk of theirs" in node.refuse(guest({"path": BASE}))


# -- two disks on one file -------------------------------------------------------------------------


def disk(path, target="vda", bus="virtio", more=""):
    return (
        f"<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{path}'/>"
        f"<target dev='{target}' bus='{bus}'/>{more}</disk>"
    )


def volume(target="vda", bus="virtio", name="plc1.qcow2", pool="images", more=""):
    return (
        f"<disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='{pool}' volume='{name}'/>"
        f"<target dev='{target}' bus='{bus}'/>{more}</disk>"
    )


PLC1 = "/images/plc1.qcow2"
BOTH = [{"path": BASE}, {"path": PLC1}]


def test_a_disk_that_moves_to_another_guest_waits_until_the_first_lets_go_of_it(node):
    second = guest({"path": PLC1}, name="plc2", networks=[])
    node.run(guest(*BOTH), second | {"disks": [{"path": "/images/plc2.qcow2"}]})
    one, other = guest(BOTH[0]), second | {"disks": [{"path": "/images/plc2.qcow2"}, {"path": PLC1}]}
    words = (
        f"realtime_guests: plc2: disk {PLC1} is the same file as {PLC1}, which plc1 runs with as vdb until it is restarted or off, and two cannot "
        "write one; take it from plc1 in a run of its own first, with rt_guest_restart: true or state: stopped for that guest"
    )
    for state in ("running", "stopped", "present"):
        assert node.refuse(one, {**other, "state": state}) == words
    assert node.refuse(other, one, restart=True) == words, "plc2 would restart before plc1"
    assert node.refuse(one, {**other, "disks": [other["disks"][0], {"path": PLC1, "size_gib": 9}]}, restart=True) == words
    result = node.converge(one, other, restart=True)
    assert [call for call in node.libvirt.calls if "define" not in call] == ["stop plc1", "start plc1", "stop plc2", "start plc2"]
    assert result["restart_required"] == {}


@pytest.mark.parametrize("first", [guest(BOTH[0], state="stopped"), gone()])
def test_a_disk_of_a_guest_that_goes_off_may_move_in_the_same_run(node, first):
    node.run(guest(*BOTH))
    node.converge(first, guest({"path": PLC1}, name="plc2"))


def test_a_disk_that_a_guest_only_reads_from_now_on_is_written_until_its_restart(node):
    node.run(guest({"path": PLC1}))
    read = [guest({"path": PLC1, "read_only": True}, name=name) for name in ("plc1", "plc2")]
    assert "which plc1 runs with as vda until it is restarted or off" in node.refuse(*read)
    node.converge(read[0], restart=True)
    node.converge(*read)


def test_a_file_that_the_owner_has_twice(node):
    """Only where both are marked as shareable, which is the owner's word that the guest agrees with itself."""
    node.foreign(devices=disk(PLC1) + disk(PLC1, "vdb"))
    one = guest({"path": PLC1}, name="theirs", adopt=True, memory_mib=64, vcpus=1, realtime_vcpus="", networks=[])
    assert f"disk {PLC1} is the same file as {PLC1}, which its domain has as vdb too, and" in node.refuse(one)
    shared = "<shareable/>"
    node.foreign(devices=disk(PLC1, more=shared) + disk(PLC1, "vdb", more=shared))
    node.converge(one)


@pytest.mark.parametrize("linked", [True, False])
def test_what_a_guest_could_write_as_raw_is_no_header_by_any_path_and_for_no_guest(node, linked):
    put(node.root, "/images/a.img", qcow2())
    node.run(guest({"path": "/images/a.img", "format": "raw"}))
    path = "/images/b.qcow2" if linked else "/images/a.img"
    if linked:
        (node.root / "images/b.qcow2").symlink_to("a.img")
    wish = {"path": path, "format": "qcow2"}
    words = f"disk {path} would be qcow2, but domain plc1 has the file as raw{', by the path /images/a.img' if linked else ''}, so its guest"
    assert words in node.refuse(gone(), guest(wish, name="plc2"))
    if linked:
        assert words in node.refuse(guest(wish))
        node.converge(guest({**wish, "format": "raw"}))


def test_two_nodes_of_one_block_device_are_one():
    a, b = (os.stat_result((stat.S_IFBLK, inode, 5, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": 2049}) for inode in (7, 8))
    assert images._of(a) == images._of(b) != images._of(os.stat("/"))


DRIVE = "<qemu:arg value='-drive'/><qemu:arg value='file={},if=virtio'/>"
QEMU = f"<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>{DRIVE}</qemu:commandline>"


def test_a_file_in_arguments_of_qemu_counts(node):
    node.foreign(more=QEMU.format(PLC1), running=True)
    assert f"is the same file as {PLC1}, which the running domain theirs has, and" in node.refuse(guest({"path": PLC1}))
    node.converge(guest({"path": PLC1, "read_only": True}))
    node.libvirt.live.clear()
    xml = f"<domain>{QEMU.format(PLC1)}</domain>"
    assert "which its domain has in QEMU's arguments too" in node.refuse(guest({"path": PLC1, "read_only": False}, xml=xml))
    assert "which plc1 has in QEMU's arguments without its disks in the list" in node.refuse(
        guest(xml=xml), guest({"path": PLC1}, name="plc2")
    )


def test_a_file_under_a_loop_device_is_written_by_no_guest(node):
    fill(node.root, {"/sys/block/loop7/loop/backing_file": f"{PLC1}\n"})
    words = f"disk {PLC1} is the file {PLC1} under loop device /dev/loop7, and two cannot write one; end that first (losetup --detach /dev/loop7)"
    assert words in node.refuse(guest({"path": PLC1}))
    node.converge(guest({"path": PLC1, "read_only": True}))


# -- volumes of a pool -----------------------------------------------------------------------------

THEIRS = {"name": "theirs", "memory_mib": 64, "adopt": True}


@pytest.fixture(name="pool")
def _pool(node):
    node.libvirt.pools = {"images": "/images"}
    node.libvirt.volumes = {("images", "plc1.qcow2"): PLC1, ("net", "x"): "rbd/x"}
    return node


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(("target", "bus"), [("vda", "virtio"), ("vdb", "virtio"), ("sda", "sata")])
@pytest.mark.parametrize("listed", [{"path": PLC1}, {"pool": "images", "path": "plc1.qcow2"}])
def test_a_volume_that_the_domain_has_is_that_disk_and_stays_as_it_is(pool, listed, target, bus, running):
    pool.foreign(devices=volume(target, bus), running=running)
    before = meaning(pool.tree("theirs").find("devices"))
    result = pool.converge({**THEIRS, "disks": [listed]})
    assert meaning(pool.tree("theirs").find("devices")) == before
    assert (result["restart_required"], result["domains"][0]["disks"]) == ({}, {target: PLC1})
    pool.converge({**THEIRS, "disks": [{**listed, "cache": "writeback"}]})
    pool.converge(THEIRS)
    (found,) = pool.tree("theirs").findall("devices/disk")
    assert (found.get("type"), at_source(found)) == ("volume", {"pool": "images", "volume": "plc1.qcow2"})


def at_source(disk):
    return disk.find("source").attrib


def test_a_volume_whose_file_is_not_known_is_refused_beside_listed_disks(pool):
    pool.foreign(devices=volume("vdc", name="old", pool="off"))
    message = pool.refuse({**THEIRS, "disks": [{"path": PLC1}]})
    assert message.startswith(
        "realtime_guests: theirs: its domain has vdc as volume old of pool off, of which libvirt does not tell the file"
    )
    assert "virsh pool-start off" in message
    pool.converge(THEIRS)
    pool.foreign(devices=volume("vdc", name="x", pool="net"))
    pool.converge({**THEIRS, "disks": [{"path": PLC1}]})


def test_another_volume_at_the_place_of_a_disk_is_named(pool):
    pool.foreign(devices=volume())
    assert (
        "disk /images/plc2.qcow2 would be vda, but its domain has volume plc1.qcow2 of pool images there, which is not in disks; add that to disks"
    ) in pool.refuse({**THEIRS, "disks": [{"path": "/images/plc2.qcow2"}]})


def test_volumes_of_others_are_files_too(pool):
    pool.foreign(devices=volume(), running=True)
    assert f"is the same file as {PLC1}, which the running domain theirs has" in pool.refuse(guest({"path": PLC1}))
    pool.libvirt.live.clear()
    pool.converge(guest({"path": PLC1}))
    put(pool.root, "/images/over", qcow2(backing=BASE))
    pool.libvirt.volumes["images", "over"] = "/images/over"
    pool.foreign(devices=volume(name="over"))
    assert f"disk {BASE} is behind /images/over, a disk of theirs" in pool.refuse(guest({"path": BASE}))
    pool.foreign(devices=volume())
    assert "plc1.qcow2 is not removed, since domain theirs has it too" in pool.refuse(gone(remove_disks=True))
    assert "base /images/plc1.qcow2 is a disk of" in pool.refuse(
        guest({"base": PLC1, "base_mode": "overlay"}, name="plc3"), gone()
    )
