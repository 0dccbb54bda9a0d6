# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said before a batch of nodes."""

from __future__ import annotations

import pytest
from ansible.utils.helpers import pct_to_int
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.progress import batch_sizes, progress_lines

NODES = [f"kvm{number}" for number in range(1, 202)]


@pytest.mark.parametrize(
    ("serial", "total", "sizes"),
    [
        (["1", "25%"], 8, [1, 2, 2, 2, 1]),
        (["1", "25%"], 201, [1, 50, 50, 50, 50]),
        (["1", "25%"], 3, [1, 1, 1]),
        (["100%"], 7, [7]),
        (["2", "3"], 4, [2, 2]),
        (["33%"], 10, [3, 3, 3, 1]),
        (["1"], 0, []),
        (["500%"], 3, [3]),
    ],
)
def test_batches_are_those_of_ansible(serial, total, sizes):
    assert batch_sizes(serial, total) == sizes


def test_shares_are_rounded_as_ansible_rounds_them():
    """50 nodes in batches of 58% are 28 and 22 to Ansible, and not 29 and 21."""
    for total in range(1, 301):
        for percent in range(1, 101):
            text = f"{percent}%"
            assert batch_sizes([text], total)[0] == min(pct_to_int(text, total), total), (text, total)


@pytest.mark.parametrize("text", ["0", "0%", "-1", "x", "%"])
def test_no_batch_is_empty(text):
    with pytest.raises(ValueError, match=r"neither a number|invalid literal"):
        batch_sizes([text], 3)


def test_the_first_batch_says_what_is_not_begun():
    assert progress_lines(NODES[:3], ["kvm1"], ["1", "25%"], 5, 0) == [
        "== Batch 1 of 3, 1 node: kvm1 ==",
        "not begun, and as they were: kvm2, kvm3; they stay so unless this batch ends well",
    ]


@pytest.mark.parametrize(
    ("batch", "forks", "elapsed", "said"),
    [
        (NODES[1:51], 50, 600, "done: 1 of 201 nodes in 10 minutes; about 40 minutes left"),
        (NODES[1:51], 10, 600, "done: 1 of 201 nodes in 10 minutes; about 200 minutes left"),
        (NODES[51:101], 50, 1201, "done: 51 of 201 nodes in 21 minutes; about 31 minutes left"),
        (NODES[151:], 50, 30, "done: 151 of 201 nodes in 1 minute; about 1 minute left"),
    ],
)
def test_minutes_are_those_of_rounds(batch, forks, elapsed, said):
    assert progress_lines(NODES, batch, ["1", "25%"], forks, elapsed)[1] == said


def test_the_last_batch_leaves_none_and_a_lost_node_of_a_batch_is_no_start_of_another():
    lines = progress_lines(NODES[:4], ["kvm4"], ["2"], 5, 60)
    assert lines == ["== Batch 2 of 2, 1 node: kvm4 ==", "done: 2 of 4 nodes in 1 minute; about 1 minute left"]


def test_names_are_text():
    assert "\x1b" not in "".join(progress_lines(["a\x1b[1m", "b"], ["a\x1b[1m"], ["1"], 5, 0))
