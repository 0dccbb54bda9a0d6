# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on which other disks lie are given to no guest to write."""

from __future__ import annotations

import pytest
from unit.guests import PLC, Node, gone
from unit.image_tools import GIB, put, qcow2
from unit.trees import fill

FOLDER = "/var/lib/libvirt/images"
BASE = "/images/base.qcow2"


@pytest.fixture(name="node")
def _node(tmp_path):
    node = Node(tmp_path)
    fill(node.root, {f"{FOLDER}/": None})
    put(node.root, BASE, qcow2(4 * GIB, content=b"an operating system"))
    return node


def guest(*disks, name="plc1", **more):
    return {**PLC, "name": name, "disks": list(disks), **more}


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
