# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of many hosts as a few lines."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.refusals import MOST, Refusals


def refusals(*pairs):
    found = Refusals()
    for host, text in pairs:
        found.add(host, text)
    return found


def test_nothing_is_no_line():
    assert not Refusals()
    assert Refusals().lines() == []


def test_hosts_share_a_line():
    found = refusals(("kvm1", "a"), ("kvm1", "a"), ("kvm2", "a"), ("kvm10", "a"))
    assert found
    assert found.lines() == ["kvm1, kvm2, kvm10: a"]
    for number in range(11, 500):
        found.add(f"kvm{number}", "a")
    assert found.lines() == ["kvm1, kvm2, kvm10 and 489 more: a"]


def test_lines_are_in_the_order_of_their_first_hosts():
    assert refusals(("kvm10", "a"), ("kvm2", "b"), ("kvm2", "a2"), ("kvm1", "c")).lines() == [
        "kvm1: c",
        "kvm2: b",
        "kvm2: a2",
        "kvm10: a",
    ]


def test_lines_are_bounded_and_printable():
    found = refusals(*((f"kvm{number}", f"{number}\x1b]0;owned\x07 {'x' * 1000}") for number in range(MOST + 7)))
    lines = found.lines()
    assert len(lines) == MOST + 1
    assert lines[-1] == "... and 7 more"
    assert max(map(len, lines)) == 500
    assert not any("\x1b" in line for line in lines)


def test_long_names_leave_room_for_the_text():
    refusals = Refusals()
    for number in range(5):
        refusals.add(f"h{number}{'x' * 250}", "THE TEXT")
    assert refusals.lines() == [f"h0{'x' * 115}... and 4 more: THE TEXT"]
