# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node itself uses of its disks; _switch/test_guard.py and _guests/test_device_plan.py refuse by it, interfaces too."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices import use
from ansible_collections.realtime.kvm.plugins.module_utils._devices.use import Fault, storage_fault
from unit.functions import DISK, NIC, Functions
from unit.trees import fill, writable


@pytest.fixture(name="tree")
def _tree(tmp_path):
    return Functions(tmp_path)


@pytest.mark.parametrize(
    ("mountinfo", "fault"),
    [
        ("25 1 259:0 / /srv rw shared:1 - xfs /dev/nvme0n1 rw", Fault("nvme0n1", "is mounted at /srv", "unmount it first")),
        ("25 1 0:35 /home /home rw - btrfs /dev/nvme0n1 rw", Fault("nvme0n1", "is mounted at /home", "unmount it first")),
        ("25 1 259:1 / /srv rw - xfs /dev/nvme1n1 rw", None),
        ("25 1 0:5 / /dev rw - devtmpfs udev rw\nbad line\n", None),
    ],
)
def test_mounted(tree, mountinfo, fault):
    tree.disk("nvme0n1")
    fill(tree.root, {"/proc/1/mountinfo": mountinfo})
    assert storage_fault(writable(tree.root), DISK) == fault
    assert storage_fault(writable(tree.root), NIC) is None


def test_a_free_disk_and_a_member_of_an_array(tree):
    tree.disk("nvme0n1")
    assert storage_fault(writable(tree.root), DISK) is None
    fill(tree.root, {f"{tree.folder(DISK)}/nvme/nvme0/nvme0n1/holders/md0/": None})
    assert storage_fault(writable(tree.root), DISK).text == "belongs to md0"


def test_what_only_the_kernel_knows_of_a_disk(tree, monkeypatch):
    """Such as the second device of a file system: nothing in /proc or /sys names it."""
    tree.disk("nvme0n1p1")
    real = os.open

    def refuse(path, flags, *more, **named):
        if str(path).endswith("/dev/nvme0n1p1"):
            raise OSError(errno.EBUSY if flags & os.O_EXCL else errno.ENXIO, "busy")
        return real(path, flags, *more, **named)

    monkeypatch.setattr(use.os, "open", refuse)
    assert storage_fault(writable(tree.root), DISK).text.startswith(
        "is claimed by the kernel, such as for a file system of several"
    )
    monkeypatch.undo()
    fill(tree.root, {"/dev/nvme0n1p1": "x"})
    assert storage_fault(writable(tree.root), DISK) is None
