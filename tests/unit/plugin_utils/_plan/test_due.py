# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles run only for layers with work, and for those that another layer's change leaves work to."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.due import due_layers, has_work, later_layers

LAYERS = ("partition", "power", "interrupts", "host", "switch", "kernel", "guests", "packages")
CHANGE = {"changes": [{"resource": "x"}]}
KERNEL = {"release": "6.1", "matches": True}


def results(**changed):
    return {layer: changed.get(layer, {}) for layer in LAYERS}


@pytest.mark.parametrize(
    ("layer", "due"),
    [
        ("partition", {*LAYERS}),
        ("power", {"power"}),
        ("interrupts", {"interrupts"}),
        ("host", {"host", "switch", "kernel", "guests", "packages"}),
        ("switch", {"switch", "guests", "packages"}),
        ("kernel", {"kernel", "packages"}),
        ("guests", {"guests"}),
        ("packages", {"packages"}),
    ],
)
def test_a_change_is_work_for_its_layer_and_for_those_that_it_may_leave_work_to(layer, due):
    assert set(due_layers(results(**{layer: CHANGE}), ())) == due


def test_nova_follows_the_agent_that_sets_the_address_of_the_database():
    assert due_layers({"nova": {}, "neutron": CHANGE}, ()) == ["nova", "neutron"]
    assert due_layers({"nova": CHANGE, "neutron": {}}, ()) == ["nova"]


def test_a_node_as_planned_has_no_work_and_the_order_is_that_of_the_results():
    assert due_layers(results(), ()) == []
    assert due_layers(results(guests=CHANGE, power=CHANGE), ()) == ["power", "guests"]


def test_packages_that_are_missing_are_work_for_the_roles_that_install_some():
    assert due_layers(results(), [{"name": "x"}]) == ["host", "switch", "kernel", "guests", "packages"]


def test_what_other_changes_decide_is_said_and_no_plan_claims_that_nothing_changes():
    assert later_layers(results(), ()) == []
    assert later_layers(results(guests=CHANGE), ()) == []
    assert later_layers(results(partition=CHANGE, host=CHANGE), ()) == [
        "power",
        "interrupts",
        "switch",
        "kernel",
        "guests",
        "packages",
    ]
    left_out = results(partition=CHANGE, guests={"skipped": True}, packages={"skipped": True}, switch={"failed": True})
    assert later_layers(left_out, ()) == ["power", "interrupts", "host", "kernel"]
    assert later_layers(results(), [{"name": "x"}]) == ["guests", "packages"]


@pytest.mark.parametrize(
    ("layer", "result", "work"),
    [
        ("host", {"installed": False}, True),
        ("switch", {"installed": False, "ports": []}, False),
        ("switch", {"installed": False, "ports": [{}]}, True),
        ("kernel", {"stopped_guests": ["plc1"]}, True),
        ("kernel", {"reboot_required": True, "running": KERNEL, "following": KERNEL}, True),
        ("kernel", {"reboot_required": False, "installed": True, "changes": []}, False),
    ],
)
def test_work_is_more_than_changes(layer, result, work):
    assert has_work(layer, result) is work
