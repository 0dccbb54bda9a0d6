# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real-time guest goes to the NUMA node of its devices."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.near import with_near
from unit.functions import DISK, NIC, Functions
from unit.trees import writable

GUEST = {"name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1"}
VF = {"physical_function": "ens1f0"}


@pytest.fixture(name="near")
def _near(tmp_path):
    tree = Functions(tmp_path)
    (tree.root / tree.folder(DISK).lstrip("/") / "numa_node").write_text("1\n")
    tree.add("0000:03:00.0", "x", node="-1")

    def near(*devices, **more):
        guests = parse_guests([{**GUEST, "devices": list(devices), **more}], {}, site="s", priority_limit=1)
        return with_near(writable(tmp_path), guests)[0]

    return near


@pytest.mark.parametrize(
    ("devices", "more", "node", "label"),
    [
        ([DISK], {}, 1, DISK),
        ([VF], {}, 0, "a VF of ens1f0"),
        ([{"physical_function": NIC}], {}, 0, f"a VF of {NIC}"),
        ([DISK], {"numa_node": 1}, 1, ""),
        (["0000:03:00.0"], {}, None, ""),  # the firmware reports none
        (["0000:09:00.0"], {}, None, ""),  # refused elsewhere
        ([DISK], {"numa": "spread"}, None, ""),
        ([DISK], {"realtime_vcpus": ""}, None, ""),
        ([], {}, None, ""),
    ],
)
def test_its_node(near, devices, more, node, label):
    found = near(*devices, **more)
    assert (found.numa_node, found.near) == (node, label)


def test_refusals(near):
    with pytest.raises(GuestError, match=f"its device {DISK} is on NUMA node 1, not on numa_node 0; give it numa_node 1 or none"):
        near(DISK, numa_node=0)
    with pytest.raises(
        GuestError, match=rf"its devices are on several NUMA nodes \({DISK} on node 1, a VF of ens1f0 on node 0\)"
    ):
        near(DISK, VF)
