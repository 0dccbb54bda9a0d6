# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes by disruption, and those that differ only CPU by CPU."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.changes import families, worst_first, worst_of


def change(resource, disruption="none", before="a", after="b"):
    return {"resource": resource, "before": before, "after": after, "disruption": disruption, "reason": ""}


def test_the_worst_class_counts():
    assert worst_of([]) == "none"
    assert worst_of(["stall", "reboot", "guest"]) == "reboot"
    assert worst_of(["reboot", "unknown"]) == "unknown"


def test_changes_come_worst_first_and_equals_keep_their_order():
    changes = [change("a"), change("b", "reboot"), change("c", "stall"), change("d", "reboot"), change("e")]
    assert [item["resource"] for item in worst_first(changes)] == ["b", "d", "c", "a", "e"]


def test_changes_that_differ_in_the_numbers_of_their_resource_alone_are_one():
    many = [change(f"/sys/cpu{cpu}/x", before="0") for cpu in range(2, 8)]
    odd = [change("/sys/cpu9/x", before="1"), change("/sys/cpu1/y1"), change("/sys/cpu2/y1")]
    found = [(item["resource"], times) for item, times in families([*many, *odd])]
    assert found == [("/sys/cpu*/x", 6), ("/sys/cpu9/x", 1), ("/sys/cpu*/y1", 2)]
