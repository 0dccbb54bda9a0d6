# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks: rows of bits, divided in proportion and beside the portions that devices fill."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import Room, bits, divide, halves, is_row, longest_row


@pytest.mark.parametrize(
    ("mask", "row", "longest"), [(0, False, 0), (1, True, 1), (0xF0, True, 0xF0), (0b101, False, 1), (0b1101110, False, 0b1110)]
)
def test_rows(mask, row, longest):
    assert (is_row(mask), longest_row(mask)) == (row, longest)


@pytest.mark.parametrize(
    ("room", "weights", "rest", "masks", "left"),
    [
        (Room(0x7FF, 0x600, 1), {"a": 3}, 1, {"a": 0xFF}, 0x700),
        (Room(0x7FF, 0x600, 1), {"a": 15}, 1, {"a": 0x1FF}, 0x600),  # the rest keeps what devices fill
        (Room(0x7FF, 0x003, 1), {"a": 3}, 1, {"a": 0x7F8}, 0x007),  # devices at the low end
        (Room(0x7FF, 0x020, 1), {"a": 8, "b": 2}, 1, {"a": 0x007, "b": 0x018}, 0x7E0),  # in the middle: the larger side
        (Room(0x7FF, 0x7FF, 1), {"a": 1}, 1, {"a": 0x01F}, 0x7E0),  # everywhere: no side is free
        (Room(0xFFFFF, 0xC0000, 2), {"a": 1, "b": 1}, 14, {"a": 0x3, "b": 0xC}, 0xFFFF0),  # Haswell: two bits at least
        (Room(0xFF0, 0, 1), {"a": 4}, 4, {"a": 0x0F0}, 0xF00),  # another group has the low end
        (Room(0xFF, 0, 1), {"a": 2, "b": 2}, 0, {"a": 0x0F, "b": 0xF0}, 0),  # nothing else has CPUs there
        (Room(0x7, 0, 1), {"a": 6, "b": 1}, 1, {"a": 0x1, "b": 0x2}, 0x4),
    ],
)
def test_shares(room, weights, rest, masks, left):
    assert divide(room, weights, rest) == (masks, left)


@pytest.mark.parametrize(
    ("room", "weights", "rest"),
    [(Room(0x3, 0, 1), {"a": 1, "b": 1}, 1), (Room(0x7, 0, 2), {"a": 1}, 1), (Room(0, 0, 1), {"a": 1}, 1)],
)
def test_a_cache_with_too_few_portions(room, weights, rest):
    assert divide(room, weights, rest) is None


def test_any_division_is_valid():
    """Rows, disjoint, all of the cache, none below the least, devices' portions with the rest wherever there is room."""
    for count, least, cpus, rest, shared in itertools.product(
        (4, 11, 16, 20), (1, 2), ((1, 1), (7, 1), (1, 30)), (1, 2, 40), (0, 3, 2)
    ):
        full = (1 << count) - 1
        hardware = {0: 0, 3: 3 << count - 2, 2: 3}[shared]
        found = divide(Room(full, hardware, least), {"a": cpus[0], "b": cpus[1]}, rest)
        if found is None:
            assert count < 3 * least
            continue
        masks = [*found[0].values(), found[1]]
        assert all(is_row(mask) and bits(mask) >= least for mask in masks)
        assert sum(masks) == full == masks[0] | masks[1] | masks[2]
        if count > 4:
            assert not hardware & ~found[1]


@pytest.mark.parametrize(
    ("mask", "least", "code", "data"),
    [(0xFF, 1, 0x0F, 0xF0), (0x7, 1, 0x1, 0x6), (0x1, 1, 0x1, 0x1), (0x7, 2, 0x7, 0x7), (0b101, 1, 0b101, 0b101)],
)
def test_code_and_data(mask, least, code, data):
    assert halves(mask, least) == (code, data)
