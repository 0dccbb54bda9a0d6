# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of IOMMU groups: who uses them, and bridges."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._devices.functions import Function
from ansible_collections.realtime.kvm.plugins.module_utils._devices.group import bridges, described, in_use


@pytest.mark.parametrize(
    ("driver", "kind", "used"),
    [
        ("igb", "0x020000", True), ("", "0x020000", False), ("pci-stub", "0x020000", False), ("vfio-pci", "0x020000", False),
        ("mlx5_vfio_pci", "0x020000", False), ("pcieport", "0x060400", False), ("snd_hda_intel", "0x040300", True),
    ],
)  # fmt: skip
def test_members_in_use(driver, kind, used):
    member = Function("0000:41:00.1", kind, driver)
    assert bool(in_use([member], ["0000:41:00.0"])) is used
    assert in_use([member], [member.address]) == []


def test_bridges_that_are_no_root_ports():
    port, bridge = Function("0000:00:1c.0", "0x060400", "pcieport", root_port=True), Function("0000:02:00.0", "0x060400")
    assert bridges([port, bridge, Function("0000:03:00.0", "0x020000")]) == [bridge]


def test_words():
    assert described(Function("0000:41:00.0", "0x020000", "igb", interfaces=("ens1", "ens2"))) == "0000:41:00.0 (ens1 ens2 igb)"
    assert described(Function("0000:02:00.0", "0x060400")) == "0000:02:00.0 (bridge)"
    assert described(Function("0000:02:00.0")) == "0000:02:00.0 (no driver)"
