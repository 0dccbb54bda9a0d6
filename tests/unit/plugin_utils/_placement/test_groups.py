# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rules between guests allow."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.groups import Groups
from unit.placing import apart, host, together

HOSTS = [host("a", domains={"rack": "r1"}), host("b", domains={"rack": "r1"}), host("c", domains={"rack": "r2"}), host("d")]


def test_guests_are_kept_apart_by_host_and_by_rack():
    groups = Groups([apart("x", "y"), apart("x", "y", "z", by="rack", most=2, name="racks")], HOSTS)
    assert groups.bound("x")
    assert not groups.bound("q")
    groups.enter("x", "a")
    assert not groups.allows("y", "a")
    assert groups.allows("y", "b")
    groups.enter("y", "b")
    assert [rule.name for rule in groups.breaks("z", "a")] == ["racks"]
    assert not groups.allows("z", "d"), "d has no rack"
    groups.leave("y", "b")
    assert groups.allows("z", "b")
    assert groups.members(1) == {"r1": 1}


def test_guests_are_kept_together():
    groups = Groups([together("x", "y")], HOSTS)
    assert groups.allows("y", "c")
    groups.enter("x", "a")
    assert groups.allows("y", "a")
    assert not groups.allows("y", "b")


def test_a_wish_forbids_nothing_and_counts():
    groups = Groups([apart("x", "y", required=False)], HOSTS)
    groups.enter("x", "a")
    assert groups.allows("y", "a")
    assert (groups.penalty("y", "a"), groups.penalty("y", "b")) == (1, 0)
