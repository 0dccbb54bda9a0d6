# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cores per NUMA node: a number for every node, or numbers by node, as YAML, JSON and people write them."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.counts import check_counts, on_node, parse_counts
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError

HOUSEKEEPING = "cpu_partition_housekeeping_cores_per_node"


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (2, 2),
        ("2", 2),
        (" 2 ", 2),
        (0, 0),
        ({0: 2, 1: 1}, {0: 2, 1: 1}),
        (json.loads(json.dumps({0: 2, 1: 1})), {0: 2, 1: 1}),
        ({"0": "2"}, {0: 2}),
    ],
)
def test_numbers_are_read_as_they_are_written(value, counts):
    assert parse_counts(HOUSEKEEPING, value) == counts


NEITHER = "is neither a number of cores nor a number by NUMA node, such as {0: 2, 1: 1}"
REFUSED = [
    (True, f"True {NEITHER}"),
    (None, f"None {NEITHER}"),
    (1.5, f"1.5 {NEITHER}"),
    ("two", f"'two' {NEITHER}"),
    ("", f"'' {NEITHER}"),
    ("\u0662", f"'\u0662' {NEITHER}"),
    ("1_0", f"'1_0' {NEITHER}"),
    ("9" * 5000, NEITHER),
    ([2, 1], f"[2, 1] {NEITHER}"),
    (-1, "-1 is negative; give a number of cores from 0 on"),
    ({}, "the mapping is empty; name NUMA nodes ({0: 2, 1: 1}), or give one number for all"),
    ({"node0": 1}, "'node0' is not a NUMA node; name nodes by number, such as {0: 2, 1: 1}"),
    ({-1: 1}, "-1 is not a NUMA node"),
    ({True: 1}, "True is not a NUMA node"),
    ({0: 1, "0": 2}, "NUMA node 0 is named twice"),
    ({0: "x\x1b[2J"}, r"NUMA node 0: 'x\x1b[2J' is not a number of cores"),
    ({0: None}, "NUMA node 0: None is not a number of cores"),
    ({0: {1: 1}}, "NUMA node 0: {1: 1} is not a number of cores"),
    ({1: -2}, "NUMA node 1: -2 is negative"),
]


@pytest.mark.parametrize(("value", "words"), REFUSED, ids=[repr(value)[:20] for value, _words in REFUSED])
def test_everything_else_is_refused_with_the_variable_and_what_would_work(value, words):
    with pytest.raises(PartitionError) as error:
        parse_counts(HOUSEKEEPING, value)
    assert str(error.value).startswith(f"{HOUSEKEEPING}: ")
    assert words in str(error.value)
    assert str(error.value).isprintable()


def test_a_node_that_is_not_named_gives_the_least():
    assert [on_node({0: 2}, node, 1) for node in (0, 1)] == [2, 1]
    assert [on_node(3, node, 1) for node in (0, 1)] == [3, 3]


@pytest.mark.parametrize(
    ("counts", "least", "words"),
    [
        (0, 1, f"{HOUSEKEEPING}: at least 1 is needed; interrupts, emulator threads"),
        ({0: 0}, 1, f"{HOUSEKEEPING}: NUMA node 0: at least 1 is needed"),
        ({7: 1}, 1, f"{HOUSEKEEPING}: there is no NUMA node 7 with CPUs on this machine; its nodes are 0-1"),
        ({0: 1, 1: 1}, 0, f"{HOUSEKEEPING}: NUMA node 1 has CPUs and no memory"),
        (-1, 0, f"{HOUSEKEEPING}: -1 is not a number of cores; use 0 for no cores"),
    ],
)
def test_counts_that_the_machine_cannot_have_are_refused(counts, least, words):
    with pytest.raises(PartitionError) as error:
        check_counts(HOUSEKEEPING, counts, least, [0, 1], [1])
    assert str(error.value).startswith(words)


def test_no_cores_of_a_node_without_memory_are_none():
    check_counts(HOUSEKEEPING, {0: 2, 1: 0}, 0, [0, 1], [1])
