# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in the order in which people read them."""

from __future__ import annotations

import random

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few, natural


@pytest.mark.parametrize(
    "names",
    [
        ["h1", "h2", "h10"],
        ["kvm2.site-1", "kvm2.site-10", "kvm10.site-1"],
        ["10.0.0.2", "10.0.0.10"],
        ["", "a", "a01", "a1", "A2", "b"],
        ["n", "n1", "n1a", "n1b", "n2"],
        ["10", "a", "a1", "a1b", "a2"],
        ["n", "n1", "n1.example", "n1.example2", "n02"],
        ["", "0"],
        ["x1\u00b2", "x2"],
    ],
)
def test_numbers_count_by_their_value(names):
    shuffled = random.Random(1).sample(names, len(names))
    assert sorted(shuffled, key=natural) == names


def test_any_text_has_a_place():
    odd = ["9" * 5000, "\u0662", "²", "\x00", "ß1", "1" * 18, "1" * 19]
    backwards = odd[::-1]
    assert sorted(backwards, key=natural) == sorted(odd, key=natural)


@pytest.mark.parametrize(
    ("names", "room", "most", "said"),
    [
        ([], 9, 9, ""),
        (["a"], 9, 9, "a"),
        (["h1", "h2", "h3"], 10, 9, "h1, h2, h3"),
        (["h1", "h2", "h3"], 9, 9, "h1, h2 and 1 more"),
        (["h1", "h2", "h3"], 9, 1, "h1 and 2 more"),
        (["a" * 20, "b"], 9, 9, "aaaaaa... and 1 more"),
        (["a\nb"], 9, 9, "a\\nb"),
    ],
)
def test_a_few_names_and_a_count(names, room, most, said):
    assert few(names, room, most) == said
