# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the default group of resctrl was before comes back, whatever was asked in between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.dividing import PARTITION, REALTIME, THREE, apply, shown, undo
from unit.resctrls import Bandwidth, Cat, Resctrl, cache_files
from unit.trees import fill


def test_undo_leaves_resctrl_as_it_was(root, mounted):
    mounted.groups[""].lines["L3"][0] = 0x3FF  # somebody's choice
    mounted._show()
    before = shown(mounted)
    apply(root, THREE, cache=True, memory_bandwidth=50)
    assert mounted.groups[""].lines["MB"] == {0: 50}
    undo(root)
    assert shown(mounted) == before
    assert not (root / "var/lib/realtime-kvm").exists()
    assert undo(root).changes == []


def test_without_a_wish_the_former_state_is_back(root, mounted):
    before = shown(mounted)
    apply(root, cache=True)
    apply(root)
    assert shown(mounted) == before


def test_what_is_no_longer_asked_is_restored_and_the_rest_stays(root, mounted):
    apply(root, cache=True, memory_bandwidth=30)
    apply(root, cache=True)
    assert mounted.groups[""].lines == {"L3": {0: 0x700}, "MB": {0: 100}}
    apply(root, memory_bandwidth=30)
    assert mounted.groups[""].lines == {"L3": {0: 0x7FF}, "MB": {0: 30}}
    assert mounted.groups[REALTIME].lines == {"L3": {0: 0x7FF}, "MB": {0: 100}}


@pytest.fixture(name="two")
def _two(root, monkeypatch):
    """Two L3 caches, of CPUs 0 and 1, and 2 and 3; somebody has already cut the portions of the default group."""
    fill(root, cache_files(L3={0: "0,1", 1: "2,3"}))
    kernel = Resctrl(root, monkeypatch, caches={"L3": Cat(domains=(0, 1))}, bandwidth=Bandwidth(domains=(0, 1)))
    kernel.mount()
    kernel.groups[""].lines["L3"] = {0: 0x3FF, 1: 0x1FF}
    kernel._show()
    return kernel


def with_realtime(*cpus):
    sets = {**PARTITION.sets, "realtime": frozenset(cpus), "housekeeping": frozenset(range(4)) - frozenset(cpus)}
    return replace(PARTITION, sets=sets)


@pytest.mark.parametrize("way", [[(1,), (1, 3)], [(1,), (3,)], [(1,), (3,), (1, 3)]])
def test_undo_restores_the_caches_that_only_a_later_run_has_divided(root, two, way):
    before = shown(two)
    for cpus in way:
        apply(root, with_realtime(*cpus), cache=True)
        assert apply(root, with_realtime(*cpus), cache=True).changes == []
    undo(root)
    assert shown(two) == before
    assert not (root / "var/lib/realtime-kvm").exists()


def test_a_cache_that_is_no_longer_divided_is_its_owners_again(root, two):
    apply(root, with_realtime(1), cache=True)
    apply(root, with_realtime(3), cache=True)
    assert two.groups[""].lines["L3"][0] == 0x3FF
    two.groups[""].lines["L3"][0] = 0xFF
    two._show()
    assert apply(root, with_realtime(3), cache=True).changes == []
    undo(root)
    assert two.groups[""].lines["L3"] == {0: 0xFF, 1: 0x1FF}


CHOICES = (
    {"cache": True},
    {"memory_bandwidth": 30},
    {"cache": True, "memory_bandwidth": 50},
    {"cache": {"realtime": "00f", "rest": "600"}},
)


@pytest.mark.parametrize("before", CHOICES)
@pytest.mark.parametrize("after", CHOICES)
@pytest.mark.parametrize("ours", [False, True])
def test_what_was_asked_before_leaves_nothing_behind(root, kernel, before, after, ours):
    if not ours:
        kernel.mount()
    apply(root, **after)
    fresh = shown(kernel)
    undo(root)
    apply(root, **before)
    apply(root, **after)
    assert shown(kernel) == fresh


def test_a_line_that_another_program_chose_after_our_mount_stays(root, kernel):
    kernel.caches["L2"] = Cat(0xFF, domains=(0, 1))
    apply(root, cache=True)
    kernel.foreign("COS1", L3={0: 0x600})
    kernel.groups[""].lines["L2"][1] = 0x0F
    kernel._show()
    undo(root)
    assert kernel.groups[""].lines == {"L3": {0: 0x7FF}, "L2": {0: 0xFF, 1: 0x0F}, "MB": {0: 100}}
