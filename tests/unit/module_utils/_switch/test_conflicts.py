# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of the switch, by name; ports described."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._switch.conflicts import check_devices, describe_port
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import SwitchError
from unit.switches import SWITCH, Rows, compare, settled


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            Rows().bridge("br-control", datapath=""),
            r"^realtime_networks: control: bridge br-control exists with the kernel's datapath \(datapath_type system\)",
        ),
        (Rows().bridge("x").port("x", "br-control"), "port br-control of bridge x already exists"),
        (
            Rows().bridge("x").port("x", "plc1.control"),
            "^realtime_guests: plc1: port plc1.control exists on bridge x and is not this collection's",
        ),
        (
            Rows().bridge("x").port("x", "vhu1", options={"vhost-server-path": "/run/realtime-kvm/vhost/plc1.control"}),
            "interface vhu1, which is not this collection's, has vhost-server-path /run/realtime-kvm/vhost/plc1.control already",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(rows, said):
    with pytest.raises(SwitchError, match=said):
        compare(rows)


def test_a_bridge_of_the_kernel_is_named():
    with pytest.raises(
        SwitchError,
        match=r"an interface br-control of the kernel already exists, so no userspace bridge .* or give the network realtime: false",
    ):
        compare(Rows(), kernel_names=["lo", "br-control"])
    compare(settled(), kernel_names=["lo", "br-control"])  # its own


def test_a_described_port_leaves_out_what_it_has_not():
    assert not re.search("tag|None", describe_port(replace(SWITCH.ports["plc1.control"], tag=None)))


def test_one_device_by_two_names_is_refused():
    check_devices({"control": "0000:41:00.0", "field": "0000:41:00.1"})
    with pytest.raises(
        SwitchError, match=r"^realtime_networks: control and field name the same device, 0000:41:00\.0; give each its own"
    ):
        check_devices({"control": "0000:41:00.0", "field": "0000:41:00.0"})
