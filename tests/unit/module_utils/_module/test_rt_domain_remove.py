# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that are removed: their disks only when asked for, and everything at once."""

from __future__ import annotations

from unit.guests import OTHER, PLC, gone, resources


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


def test_a_disk_that_a_guest_of_the_list_is_to_get_is_not_removed(node):
    node.run({**PLC, "state": "present"})
    heir = {**PLC, "name": "plc2"}
    assert "disk /images/plc1.qcow2 is not removed, since domain plc2 has it too" in node.refuse(gone(remove_disks=True), heir)
    node.converge(gone(), heir)


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
