# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots are found by room and memory."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.slots import Slots


def filled():
    slots = Slots()
    for host, node, size, memory in ((0, 0, 4, 100), (1, 0, 4, 50), (2, 0, 8, 10), (3, 0, 8, 500)):
        slots.set(host, node, size, memory)
    return slots


def flat(buckets):
    return [[slot[1] for slot in bucket] for bucket in buckets]


def test_the_tightest_come_first():
    assert flat(filled().tightest(3, 50)) == [[1, 0], [3]]
    assert flat(filled().tightest(5, 0)) == [[2, 3]]
    assert flat(filled().tightest(9, 0)) == []


def test_the_widest_come_first():
    assert flat(filled().widest(3, 50)) == [[3], [0, 1]]


def test_a_slot_moves_with_its_room():
    slots = filled()
    slots.set(1, 0, 2, 40)
    slots.set(2, 0, 2, 10)
    slots.set(3, 0, 2, 500)
    slots.set(3, 0, 2, 500)
    assert flat(slots.tightest(0, 0)) == [[2, 1, 3], [0]]
