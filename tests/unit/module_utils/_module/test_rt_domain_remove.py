# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that are removed: their disks only when asked for, and everything at once."""

from __future__ import annotations

import os
import struct

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.backup import BACKUPS, SAVED
from unit.guests import OTHER, PLC, gone, resources
from unit.image_tools import qcow2
from unit.trees import fill


def test_disks_go_only_when_asked(node):
    disks = [{"path": "/images/plc1.qcow2"}, {"path": "/images/plc2.qcow2", "read_only": True}]
    node.run({**PLC, "disks": disks, "seed": "/images/plc3.qcow2"})
    result = node.converge(gone(remove_disks=True))
    assert resources(result) == ["domain plc1: state", "/images/plc1.qcow2", "domain plc1"]
    assert sorted(path.name for path in (node.root / "images").iterdir()) == ["historian.qcow2", "plc2.qcow2", "plc3.qcow2"]


def test_a_foreign_disk_stays(node):
    node.run({**PLC, "state": "present"})
    disk = "<disk type='file' device='disk'><source file='/images/plc2.qcow2'/><target dev='vdq' bus='virtio'/></disk>"
    node.edit("</devices>", f"{disk}</devices>")
    node.converge(gone(remove_disks=True))
    assert (node.root / "images/plc2.qcow2").exists()
    assert not (node.root / "images/plc1.qcow2").exists()


def test_a_disk_that_another_domain_has_is_not_removed(node):
    node.run({**PLC, "state": "present"})
    node.foreign(
        devices="<disk type='file' device='disk'><source file='/images/plc1.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    )
    assert node.refuse(gone(remove_disks=True)) == (
        "realtime_guests: plc1: disk /images/plc1.qcow2 is not removed, since domain theirs has it too"
    )


DISK = "<disk type='file' device='disk'><driver type='{}'/><source file='{}'/><target dev='vda' bus='virtio'/></disk>"


def overlay(backing):
    return b"QFI\xfb" + struct.pack(">IQI", 2, 100, len(backing)).ljust(96, b"\0") + backing.encode()


@pytest.mark.parametrize("how", ["path", "hard link", "overlay", "running", "stays"])
def test_a_disk_that_is_in_use_in_another_way_is_not_removed(node, how):
    node.run(PLC)
    other, said = "/images/plc2.qcow2", "domain theirs has it too"
    if how == "path":
        os.symlink("images", f"{node.root}/way")
        node.foreign(devices=DISK.format("qcow2", "/way/plc1.qcow2"))
    elif how == "hard link":
        os.unlink(f"{node.root}{other}")
        os.link(f"{node.root}/images/plc1.qcow2", f"{node.root}{other}")
        node.foreign(devices=DISK.format("raw", other))
    elif how == "overlay":
        fill(node.root, {other: overlay("plc1.qcow2")})
        node.foreign(devices=DISK.format("qcow2", other))
    elif how == "running":  # a snapshot has been taken since it was defined
        node.foreign(devices=DISK.format("qcow2", "/images/plc1.qcow2"), running=True)
        node.edit("/images/plc1.qcow2", other, "theirs")
    else:
        fill(node.root, {other: overlay("plc1.qcow2")})
        disk = DISK.format("qcow2", other).replace("vda", "vdq")
        node.edit("</devices>", f"{disk}</devices>")
        said = f"disk {other} of the same guest, which stays, has it too"
    message = node.refuse(gone(remove_disks=True))
    assert message.startswith("realtime_guests: plc1: disk /images/plc1.qcow2 is not removed, since ")
    assert said in message


def test_a_disk_on_qemus_command_line_of_another_domain_or_under_a_loop_device_is_not_removed(node):
    node.run({**PLC, "state": "present"})
    argument = "<qemu:arg value='if=none,file=/images/plc1.qcow2,readonly=on'/>"
    qemu = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
    node.foreign(more=f"<qemu:commandline {qemu}>{argument}</qemu:commandline>")
    said = "realtime_guests: plc1: disk /images/plc1.qcow2 is not removed, since "
    assert node.refuse(gone(remove_disks=True)) == f"{said}domain theirs has it too"
    node.foreign()
    fill(node.root, {"/sys/block/loop7/loop/backing_file": "/images/plc1.qcow2\n"})
    assert node.refuse(gone(remove_disks=True)) == f"{said}loop device /dev/loop7 (losetup --detach ends that) has it too"
    assert (node.root / "images/plc1.qcow2").exists()


def test_in_doubt_no_disk_is_removed(node):
    node.run(PLC)
    node.foreign(devices="<disk type='volume' device='disk'><source pool='p' volume='v'/><target dev='vda'/></disk>")
    assert node.refuse(gone(remove_disks=True)) == (
        "realtime_guests: plc1: its disks are not removed, since their users are not known: "
        "which file the volume p/v is, is not known here"
    )
    node.converge(gone())


@pytest.mark.parametrize("everything", [False, True])
def test_a_backup_stays_and_saved_state_unless_disks_go(node, everything):
    node.run(PLC)
    definition = node.tree().findtext("uuid")
    fill(node.root, {f"{SAVED}/plc1.save": "state"})
    node.converge(gone(remove_disks=everything))
    assert definition in (node.root / BACKUPS[1:] / "plc1.xml").read_text()
    assert (node.root / BACKUPS[1:] / "plc1.save").exists() is not everything
    assert node.libvirt.calls[-1] == ("remove plc1 and its state" if everything else "remove plc1")


def test_a_disk_that_a_guest_of_the_list_is_to_get_is_not_removed(node):
    node.run({**PLC, "state": "present"})
    heir = {**PLC, "name": "plc2"}
    assert "disk /images/plc1.qcow2 is not removed, since domain plc2 has it too" in node.refuse(gone(remove_disks=True), heir)
    node.converge(gone(), heir)


def test_guests_that_are_down_when_another_does_not_end_are_named(node):
    node.run(PLC, OTHER)
    node.libvirt.deaf = {"plc1"}
    with pytest.raises(HostError, match=r"^plc1: still running .*\. historian ended as requested and stay off$"):
        node.run(state="absent", stop_running=True)
    assert set(node.libvirt.definitions) == {"historian", "plc1"}


def test_everything_is_taken_back_but_disks_and_what_others_made(node):
    node.run(PLC, OTHER)
    node.foreign(running=True)
    message = node.refuse(state="absent")
    assert message.startswith(
        "guests historian, plc1 are running, so their definitions are kept and nothing is undone; shut them down"
    )
    result = node.converge(state="absent", stop_running=True)
    assert node.libvirt.calls == ["stop historian", "stop plc1", "remove historian", "remove plc1"]
    assert result["disruption"] == "guest"
    assert list(node.libvirt.definitions) == ["theirs"]
    assert len(list((node.root / "images").iterdir())) == 4


def test_a_seed_that_was_made_goes_with_the_disks_and_one_that_was_there_stays(node):
    folder = "/var/lib/libvirt/images"
    fill(node.root, {f"{folder}/": None})
    node.run({**PLC, "cloud_init": {}})
    node.converge(gone())
    assert (node.root / folder[1:] / "plc1-seed.iso").exists()
    node.run({**PLC, "cloud_init": {}})
    result = node.converge(gone(remove_disks=True))
    assert f"{folder}/plc1-seed.iso" in resources(result)
    assert list((node.root / folder[1:]).iterdir()) == []
    fill(node.root, {f"{folder}/plc1-seed.iso": "theirs", "/images/plc1.qcow2": qcow2()})
    node.run({**PLC, "seed": f"{folder}/plc1-seed.iso"})
    node.converge(gone(remove_disks=True))
    assert (node.root / folder[1:] / "plc1-seed.iso").exists()
