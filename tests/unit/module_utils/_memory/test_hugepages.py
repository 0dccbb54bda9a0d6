# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Huge pages: added up by node and size, and refused with numbers."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, Placement
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import (
    RESERVE,
    SWITCH,
    HugepageError,
    Need,
    check_free,
    check_reserve,
    check_total,
    plan_pages,
)
from hypothesis import given
from hypothesis import strategies as st


def placed(name, *nodes):
    return Placement(name, nodes, {}, frozenset())


def pages(*args, **options):
    return {key: dict(need.users) for key, need in plan_pages(*args, **options).items()}


PLC = Guest("plc", memory_mib=256, hugepages="2M")
BIG = Guest("big", memory_mib=4096, hugepages="1G")


# -- adding up -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reserve", "left", "total"),
    [({}, {}, 48), ({"2M": 64}, {}, 48), ({"2M": 96}, {}, 48), ({"2M": 128}, {RESERVE: 16}, 64)],
)
def test_instances_of_nova_take_their_pages_from_the_reserve(reserve, left, total):
    """They come and go without a run: as long as they fit into it, the pages stay as planned."""
    instances = [Existing(f"instance-{n}", ours=False, memory_mib=48, hugepages="2M", nodes=(0,), nova=True) for n in (1, 2)]
    needs = plan_pages([], {}, instances, reserve_mib=reserve, nodes=[0])
    assert needs[0, "2M"].users == {"instance-1": 24, "instance-2": 24, **left}
    assert needs[0, "2M"].pages == total
    theirs = Existing("theirs", ours=False, memory_mib=48, hugepages="2M", nodes=(0,))
    assert plan_pages([], {}, [theirs], reserve_mib={"2M": 64}, nodes=[0])[0, "2M"].pages == 24 + 32


def test_everybody_is_counted_on_his_node():
    found = pages(
        [PLC, BIG, Guest("plain", memory_mib=512), Guest("gone", state="absent", memory_mib=512, hugepages="2M")],
        {"plc": placed("plc", 0), "big": placed("big", 1), "plain": placed("plain", 0)},
        [
            Existing("other", ours=False, memory_mib=101, hugepages="2M", nodes=(1,)),
            Existing("ours-not-listed", ours=True, memory_mib=64, hugepages="2M", nodes=(0,)),
            Existing("plc", ours=True, memory_mib=9999, hugepages="2M", nodes=(1,)),
            Existing("gone", ours=True, memory_mib=512, hugepages="2M", nodes=(1,)),
            Existing("small-pages", ours=False, memory_mib=512, nodes=(0,)),
        ],
        switch_mib={0: 129, 1: 0},
        reserve_mib={"2M": 10, "1G": 2048},
        nodes=[0, 1],
    )
    assert found == {
        (0, "2M"): {"plc": 128, "ours-not-listed": 32, SWITCH: 65, RESERVE: 5},
        (0, "1G"): {RESERVE: 2},
        (1, "2M"): {"other": 51, RESERVE: 5},
        (1, "1G"): {"big": 4, RESERVE: 2},
    }


def test_a_spread_guest_takes_whole_pages_of_each_node():
    assert pages([Guest("wide", memory_mib=5120, hugepages="1G")], {"wide": placed("wide", 0, 1)}) == {
        (0, "1G"): {"wide": 3},
        (1, "1G"): {"wide": 2},
    }


def test_the_switch_may_have_large_pages():
    assert pages([], {}, switch_mib={0: 832, 1: 1025}, switch_pages="1G") == {(0, "1G"): {SWITCH: 1}, (1, "1G"): {SWITCH: 2}}


def test_a_domain_without_a_node_counts_with_what_it_holds():
    domains = [
        Existing("runs", ours=False, running=True, memory_mib=256, hugepages="2M"),
        Existing("rests", ours=False, memory_mib=256, hugepages="2M"),
    ]
    held = {"runs": {(0, "2M"): 100, (1, "2M"): 28}}
    assert pages([], {}, domains, held=held) == {(0, "2M"): {"runs": 100}, (1, "2M"): {"runs": 28}}


def test_no_guest_needs_pages():
    assert pages([Guest("plain", memory_mib=512)], {"plain": placed("plain")}, reserve_mib={"2M": 0}, nodes=[0]) == {}


@st.composite
def crowds(draw):
    guests, placements, existing = [], {}, []
    for number in range(draw(st.integers(0, 6))):
        size = draw(st.sampled_from(["2M", "1G", "none"]))
        mib = draw(st.integers(1, 40)) * PAGE_MIB.get(size, 1)
        nodes = tuple(sorted(draw(st.sets(st.integers(0, 3), min_size=1, max_size=3))))
        name = f"g{number}"
        if draw(st.booleans()):
            guests.append(Guest(name, memory_mib=mib, hugepages=size))
            placements[name] = placed(name, *nodes)
        else:
            existing.append(Existing(name, ours=draw(st.booleans()), memory_mib=mib, hugepages=size, nodes=nodes))
    return guests, placements, existing


@given(crowds(), st.dictionaries(st.integers(0, 3), st.integers(0, 2000)), st.sampled_from(sorted(PAGE_MIB)))
def test_no_page_is_lost_or_invented(crowd, switch, size):
    guests, placements, existing = crowd
    needs = plan_pages(guests, placements, existing, switch_mib=switch, switch_pages=size)
    asked = sum(item.memory_mib for item in (*guests, *existing) if item.hugepages != "none")
    rounded = sum(-(-mib // PAGE_MIB[size]) * PAGE_MIB[size] for mib in switch.values())
    assert sum(need.mib for need in needs.values()) == asked + rounded
    assert all(need.pages > 0 and need.users for need in needs.values())
    for guest in guests:  # each on its nodes alone
        assert {node for (node, _size), need in needs.items() if guest.name in need.users} <= set(placements[guest.name].nodes)


# -- the reserve -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reserve", "said"),
    [
        ({"4K": 1}, "'4K' is not a page size; choose one of 2M, 1G"),
        ({"2M": "1024"}, "2M: '1024' is not a number of MiB per NUMA node"),
        ({"2M": -2}, "2M: -2 is not a number"),
        ({"2M": True}, "2M: True is not a number"),
        ({"2M": 3}, "2M: 3 is no multiple of 2 MiB; choose 4"),
        ({"1G": 1500}, "1G: 1500 is no multiple of 1024 MiB; choose 2048"),
    ],
)
def test_a_reserve_that_is_none(reserve, said):
    with pytest.raises(HugepageError, match=f"^kvm_host_hugepages_reserve: {said}"):
        check_reserve(reserve)


# -- fitting ---------------------------------------------------------------------------------------


NEED = Need(0, "2M", {"plc": 128, SWITCH: 64})  # 384 MiB


@pytest.mark.parametrize(("total", "have"), [(896, {}), (896, {(0, "2M"): 192}), (900, {(0, "2M"): 194}), (1920, {(0, "1G"): 1})])
def test_what_fits_is_accepted(total, have):
    check_total([NEED], {0: total}, have, 512)


@pytest.mark.parametrize(
    ("needs", "total", "have", "said"),
    [
        (
            [NEED],
            895,
            {},
            (
                r"^realtime_guests: NUMA node 0 has 895 MiB of memory, of which 512 are left to the operating system; 384 MiB of huge pages are requested "
                r"for \(plc 256, the switch 128\), 383 are available\. Give guests less memory_mib or another numa_node, or the switch less "
                r"\(ovs_dpdk_socket_memory_mib\)$"
            ),
        ),
        ([NEED, Need(0, "1G", {"big": 1})], 1900, {}, r"1408 MiB .* \(plc 256, the switch 128, big 1024\), 1388 are available"),
        ([NEED], 1919, {(0, "1G"): 1}, r"system and 1024 are in huge pages beyond these; 384 .*, 383 are available"),
        ([NEED], 900, {(0, "2M"): 195}, r"system and 6 are in huge pages beyond these; 384 .*, 382 are available"),
        ([NEED], 100, {}, r", 0 are available"),
        (
            [Need(0, "2M", {SWITCH: 64, RESERVE: 64})],
            600,
            {},
            r"available\. Give the switch less \(ovs_dpdk_socket_memory_mib\), or other users less \(kvm_host_hugepages_reserve\)$",
        ),
        (
            [Need(3, "2M", {"plc": 1})],
            4000,
            {},
            r"NUMA node 3 has no memory, but plc would have huge pages there; give these guests another numa_node",
        ),
    ],
)
def test_more_than_a_node_has_is_refused_with_numbers(needs, total, have, said):
    with pytest.raises(HugepageError, match=said):
        check_total(needs, {0: total}, have, 512)


def test_pages_at_run_time_need_free_memory():
    check_free(NEED, 192, 0)
    check_free(NEED, 200, 0)
    check_free(NEED, 100, 184 + 128)
    with pytest.raises(
        HugepageError,
        match=r"^realtime_guests: NUMA node 0 has 100 huge pages of 2M and needs 192 \(plc 128, the switch 64\): 184 MiB more, but only 183 MiB are free "
        r"for that now\. Stop what uses the memory, or reboot the node, and run this again; or give guests less memory_mib$",
    ):
        check_free(NEED, 100, 183 + 128)
