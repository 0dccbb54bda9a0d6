# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest as the inventory describes it: what follows from its keys."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Attachment, Disk, Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network


def test_a_guest_shares_its_memory_with_the_switch_alone():
    ordinary, fast = (Network(name, name, realtime=name == "fast") for name in ("office", "fast"))
    assert not Guest("a", networks=(Attachment(ordinary, "52:54:00:00:00:01", 1),)).shared_memory
    assert Guest("a", networks=(Attachment(fast, "52:54:00:00:00:01", 1),)).shared_memory


def test_a_guest_is_real_time_with_one_real_time_vcpu():
    assert not Guest("a").realtime
    assert Guest("a", realtime_vcpus=frozenset({0})).realtime


def test_devices_are_below_dev():
    assert Disk("/dev/vg/a", "raw", "virtio", "vda").block
    assert not Disk("/devices/a", "raw", "virtio", "vda").block
