# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cells of guests: which host nodes give their memory, and how much each gives."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cells import Cell, follow, memory_by_node

#: Two cells of two vCPUs; the first has nodes of its own.
CELLS = {0: Cell(frozenset({0, 1}), 512, (0,)), 1: Cell(frozenset({2, 3}), 512)}


@pytest.mark.parametrize(
    ("nodes", "homes", "found"),
    [
        ((1,), dict.fromkeys(range(4), 1), (1,)),
        ((0,), dict.fromkeys(range(4), 1), (0,)),  # a spread guest, where its CPUs have no memory
        ((0, 1), {0: 1, 1: 1, 2: 0, 3: 0}, (1,)),  # a spread guest: each cell beside its vCPUs
        ((0, 1), {0: 1, 1: 0, 2: 0, 3: 0}, (0, 1)),
        ((0, 1), {0: 2, 1: 2, 2: 0, 3: 1}, (0, 1)),  # node 2 has no memory
        ((1,), {}, (1,)),  # its vCPUs float
        ((), {}, ()),  # the kernel chooses
    ],
)
def test_a_cell_with_nodes_of_its_own_follows_its_vcpus(nodes, homes, found):
    cells = follow(CELLS, nodes, homes)
    assert (cells[0].nodes, cells[1].nodes) == (found, ())
    assert [(cell.vcpus, cell.memory_mib) for cell in cells.values()] == [(cell.vcpus, 512) for cell in CELLS.values()]


@pytest.mark.parametrize(
    ("nodes", "cells", "memory", "page", "parts"),
    [
        ((), {}, 1024, 1, {}),
        ((1,), CELLS, 1024, 1, {1: 512, 0: 512}),
        ((0, 1), CELLS, 1024, 2, {0: 768, 1: 256}),
        ((), CELLS, 1024, 1, {0: 512}),  # where the other cell's memory is, is not known
        ((0,), {0: Cell(frozenset({0}), 1024, (1,))}, 1024, 1, {0: 0, 1: 1024}),
        ((0,), {0: Cell(frozenset({0}), 2048, (1,))}, 1024, 1, {0: 0, 1: 2048}),  # cells that do not add up are refused elsewhere
        ((0,), {0: Cell(frozenset({0}), 3072, (0, 1))}, 3072, 1024, {0: 2048, 1: 1024}),
    ],
)
def test_each_cell_and_the_rest_are_dealt_in_whole_pages(nodes, cells, memory, page, parts):
    assert memory_by_node(nodes, cells, memory, page) == parts
