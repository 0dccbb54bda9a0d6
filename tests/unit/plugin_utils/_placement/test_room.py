# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is free on a host: counted as the node's planner would, and asked of it where it cannot be counted."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, PinningError, place
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import HugepageError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement import room as room_module
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.room import Room, arrange, check_pages
from unit.placing import host, wish


def room(*arguments, gone=frozenset(), **more):
    return Room(host("h", *arguments, **more), 0, 4, gone)


def test_an_empty_host_has_its_realtime_cores_and_memory_by_node():
    found = room(2, 5, memory=4096)
    assert (found.cores, found.memory, found.slack) == ({0: 4, 1: 4}, {0: 4096, 1: 4096}, 8192)


def test_domains_that_nobody_lists_keep_their_cores_and_memory():
    foreign = Existing("x", False, True, {0: frozenset({1})}, memory_mib=1024, nodes=(0,))
    loose = Existing("y", False, False, memory_mib=512, vcpu_count=3)
    found = room(1, 5, memory=4096, existing=(foreign, loose))
    assert (found.cores, found.memory, found.slack, found.floating) == ({0: 3}, {0: 3072}, 2560, 1)


def test_a_domain_that_leaves_frees_what_it_has():
    leaving = Existing("x", True, True, {0: frozenset({1})}, memory_mib=1024, nodes=(0,))
    assert room(1, 5, memory=4096, existing=(leaving,), gone=frozenset({"x"})).cores == {0: 4}


@pytest.mark.parametrize(
    ("asked", "node", "fits"),
    [
        (wish("g", 4), 0, True),
        (wish("g", 5), 0, False),
        (wish("g", 2, 4098), 0, False),
        (wish("g", 2), 7, False),
        (wish("g", 2, siblings="idle"), None, False),
        (wish("g", 8, numa="spread"), None, True),
        (wish("g", 9, numa="spread"), None, False),
        (wish("g", 8, 1024, realtime=False), None, True),
        (wish("g", 9, 1024, realtime=False), None, False),
        (wish("g", 1, 8194, realtime=False), None, False),
        (wish("g", 1, 4098, realtime=False, hugepages="2M"), None, False),
        (wish("g", 1, 4096, realtime=False, hugepages="2M"), None, True),
        (wish("g", 1, 4098, realtime=False, numa_node=0), None, False),
        (wish("g", 1, 4096, realtime=False, numa_node=0), None, True),
        (wish("g", 1, 512, realtime=False, numa_node=5), None, False),
    ],
)
def test_what_fits(asked, node, fits):
    found = room(2, 5, memory=4096)
    assert found.add(asked, node) is fits
    assert ("g" in found.seats) is fits


def test_guests_on_two_threads_fill_whole_cores():
    found = room(1, 5, 2)
    assert found.add(wish("g", 3), 0)
    assert found.cores == {0: 1}
    assert not found.add(wish("h", 2), 0)


def test_a_spread_guest_is_placed_by_the_planner_and_counted_by_its_answer():
    found = room(2, 5, memory=4096)
    assert found.add(wish("g", 6, 2048, numa="spread"), None)
    assert sum(found.cores.values()) == 2
    assert found.memory == {0: 3072, 1: 3072}
    assert not found.add(wish("h", 2, 3500, numa="spread"), None) or found.slack >= 0
    assert found.remove("g")


def test_what_was_saved_comes_back():
    found = room(2, 5, memory=4096)
    found.add(wish("g", 2), 0)
    before = found.saved()
    found.add(wish("h", 2), 0)
    found.remove("g")
    found.restore(before)
    assert (list(found.seats), found.cores) == (["g"], {0: 2, 1: 4})


def test_a_closed_room_takes_nothing():
    found = room(1, 5)
    found.close("its planner refuses it")
    assert not found.add(wish("g", 2), 0)
    assert found.host.refusal == "its planner refuses it"


def test_pages_beyond_what_the_node_has_are_refused_as_kvm_host_does():
    small = host("h", 1, 5, memory=4096, total_mib={0: 2048})
    found = Room(small, 0, 4)
    large = wish("g", 2, 2048)
    assert not found.add(large, 0)
    with pytest.raises(HugepageError, match="are requested for"):
        check_pages(small, [(large, 0)], arrange(small, [(large, 0)]))
    check_pages(host("h", 1, 5), [(large, 0)], arrange(small, [(large, 0)]))  # what the machine does not show is no limit


@pytest.mark.parametrize("number", range(60))
def test_pages_are_counted_as_the_node_s_planner_of_memory_does(number):
    seed = random.Random(number)
    there = tuple(
        Existing(
            f"d{index}", True, True, memory_mib=1024, hugepages=seed.choice(("2M", "1G", "none")), nodes=(seed.randint(0, 1),)
        )
        for index in range(seed.randint(0, 2))
    )
    pages = {(node, size): seed.choice((0, 0, 1, 4)) * (1 if size == "1G" else 512) for node in (0, 1) for size in ("2M", "1G")}
    more = {"reserve_mib": {"1G": seed.choice((0, 1024))}, "switch_mib": {0: seed.choice((0, 1024))}}
    one = host("h", 2, 9, total_mib=dict.fromkeys((0, 1), seed.choice((4096, 6144, 8192))), existing=there, pages=pages, **more)
    found = Room(one, 0, 4)
    for index in range(10):
        realtime, node = seed.random() < 0.8, seed.randint(0, 1)
        kind = {"numa": seed.choice(("strict", "strict", "spread"))} if realtime else {"numa_node": seed.choice((node, None))}
        mine = wish(f"g{index}", 2, 1024 * seed.randint(1, 2), realtime=realtime, hugepages=seed.choice(("2M", "1G")), **kind)
        asked = [*found.wishes.values(), (mine, node if mine.strict else None)]
        try:
            check_pages(one, asked, arrange(one, asked))
            fits = True
        except (HugepageError, PinningError):
            fits = False
        before = found.saved()
        assert found.add(*asked[-1]) == fits
        if fits and seed.random() < 0.3:
            found.remove(mine.name)
            assert {key: mib for key, mib in found.pages.need.items() if mib} == {
                key: mib for key, mib in before.pages.items() if mib
            }


def test_a_node_s_planner_is_not_asked_the_same_again(monkeypatch):
    asked = []
    monkeypatch.setattr(room_module, "place", lambda *given, **more: asked.append(1) or place(*given, **more))
    found = room(2, 5)
    assert found.add(wish("kept", 2, numa="spread"), None)
    mine, large = wish("g", 2, numa="spread"), wish("large", 7, numa="spread")
    for _again in range(3):
        assert found.add(mine, None)
        assert not found.add(replace(large), None)
        assert found.remove("g")
    assert len(asked) == 2
