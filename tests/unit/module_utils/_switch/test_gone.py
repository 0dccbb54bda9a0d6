# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of guests that are gone leave the switch in one transaction; the plan is that of the ovs_dpdk module."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._switch.gone import ports_of_gone
from unit.ovsdb import NIC, PLC, SWITCH, compare, settled_switch


@pytest.mark.parametrize("connected", [False, True])
def test_the_removal_is_that_of_the_switch_s_own_module(connected):
    ovsdb = settled_switch()
    ovsdb.row("Interface", PLC.name)["status"] = {"status": "connected"} if connected else {}
    changes, operations = ports_of_gone(ovsdb.database(), {"plc1", "plc2"})
    (expected,) = compare(
        ovsdb, SWITCH.__class__(SWITCH.settings, SWITCH.bridges, {NIC.name: NIC}, {}), listed=("plc1",)
    ).differences
    assert [(change.resource, change.before, change.after, change.disruption, change.reason) for change in changes] == [
        (expected.resource, expected.before, expected.after, expected.disruption, expected.reason)
    ]
    assert changes[0].disruption == ("guest" if connected else "stall")
    ovsdb.run(operations)
    assert list(ovsdb.contents()["br-control"]["ports"]) == ["br-control", NIC.name]
    assert ports_of_gone(ovsdb.database(), {"plc1"}) == ([], [])


def test_without_such_a_guest_nothing_goes():
    assert ports_of_gone(settled_switch().database(), {"plc9", ""}) == ([], [])
