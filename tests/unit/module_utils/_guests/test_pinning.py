# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CPU serves which vCPU: examples that a person can follow, and what is said when it does not fit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cells import Cell
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, PinningError, Placement, place
from property.machines import regular

NETWORKS = parse_networks([{"name": "control"}, {"name": "steer"}, {"name": "office", "realtime": False, "bridge": "br0"}])


class Node:
    """A partitioned machine, and what it has been asked for so far."""

    def __init__(self, intent=None, **shape):
        self.topology = build_topology(regular(**shape).files())
        self.partition = plan_partition(self.topology, intent or Intent(smt="together"))

    def place(self, *items, existing=(), **more):
        guests = parse_guests(
            [{"memory_mib": 256, "siblings": "any", **item} for item in items], NETWORKS, site="n", priority_limit=1
        )
        return place(self.partition, self.topology, guests, existing, **more)

    def texts(self, *items, **more):
        return {name: text(placement) for name, placement in self.place(*items, **more).items()}

    def refusal(self, *items, **more):
        with pytest.raises(PinningError) as error:
            self.place(*items, **more)
        return str(error.value)


def text(placement):
    """vCPU pins in their order, then the emulator's CPUs and the nodes of the memory."""
    pins = (
        ",".join(format_cpulist(cpus) for _vcpu, cpus in sorted(placement.vcpus.items()))
        or f"~{format_cpulist(placement.floating)}"
    )
    return f"{pins} e{format_cpulist(placement.emulator)} n{format_cpulist(placement.nodes)}"


def rt(name, vcpus=2, **more):
    return {"name": name, "vcpus": vcpus, "realtime_vcpus": f"1-{vcpus - 1}", **more}


def domain(name, *pins, **more):
    """A domain as libvirt has it, its vCPUs pinned to lists of CPUs."""
    vcpus = {vcpu: parse_cpulist(cpus) for vcpu, cpus in enumerate(pins)}
    return Existing(name, **{"ours": True, "vcpus": vcpus, **more})


#: 2 nodes of 4 cores of 2 threads: housekeeping 0,8 and 4,12; realtime 1-3,9-11 on node 0 and 5-7,13-15 on node 1.
SERVER = Node(nodes=2, cores=4, threads=2)
#: The lab: 1 node of 6 cores of 1 thread; housekeeping 0, dataplane 1, realtime 2-5.
LAB = Node(Intent(smt="together", dataplane_cores_per_node=1), nodes=1, cores=6, threads=1)


def behind_two_caches(node):
    """The node with an L3 cache for each half of its cores, as many AMD processors have."""
    half = len(node.topology.cpus) // 2
    cpus = {number: replace(cpu, l3=0 if number < half else half) for number, cpu in node.topology.cpus.items()}
    node.topology = replace(node.topology, cpus=cpus)
    node.partition = plan_partition(node.topology, Intent(smt="together"))
    return node


@pytest.mark.parametrize(
    ("guests", "pins"),
    [
        ([rt("a", 3)], "1,2,3 e0 n0"),  # the cache with less room, where it fits
        ([rt("a", 4)], "4,5,6,7 e0 n0"),  # three are free behind the first
        ([rt("b", 2), rt("a", 2)], "4,5 e0 n0"),
        ([rt("b", 1 + 1), rt("c", 3), rt("a", 2)], "3,7 e0 n0"),  # one is left behind each
    ],
)
def test_a_guest_stays_behind_one_cache_where_that_has_room(guests, pins):
    node = behind_two_caches(Node(nodes=1, cores=8, threads=1))
    assert node.texts(*guests)["a"] == pins


def test_a_guest_that_grows_stays_behind_its_cache():
    node = behind_two_caches(Node(nodes=1, cores=8, threads=1))
    assert node.texts(rt("a", 3), existing=[domain("a", "5", "6", emulator=frozenset({0}))])["a"] == "5,6,4 e0 n0"


# -- where guests go -------------------------------------------------------------------------------


def test_a_guest_takes_whole_cores_of_one_node():
    assert SERVER.texts(rt("a", 3)) == {"a": "1,9,2 e0,8 n0"}


def test_the_fullest_node_that_has_room_is_filled_up_first():
    assert SERVER.texts(rt("a", 2), rt("b", 4), rt("c", 6)) == {
        "a": "1,9 e0,8 n0",
        "b": "2,10,3,11 e0,8 n0",
        "c": "5,13,6,14,7,15 e4,12 n1",
    }


def test_an_odd_thread_stays_empty_rather_than_shared():
    assert SERVER.texts(rt("a", 3), rt("b", 3)) == {"a": "1,9,2 e0,8 n0", "b": "5,13,6 e4,12 n1"}


def test_without_threads_every_cpu_counts():
    assert LAB.texts(rt("a"), rt("b")) == {"a": "2,3 e0 n0", "b": "4,5 e0 n0"}


def test_cores_are_taken_by_the_thread_that_is_realtime():
    node = Node(Intent(cpus={"realtime": "3,10"}, smt="single"), nodes=2, cores=4, threads=2)
    assert node.texts(rt("a")) == {"a": "3,10 e0-1,8-9 n0"}


def test_a_placement_names_its_guest():
    assert [placed.guest for placed in SERVER.place(rt("a"), {"name": "b"}).values()] == ["a", "b"]


def test_a_node_may_be_asked_for():
    assert SERVER.texts(rt("a", numa_node=1)) == {"a": "5,13 e4,12 n1"}


def test_a_spread_guest_takes_what_there_is():
    assert SERVER.texts(rt("a", 8, numa="spread")) == {"a": "1,9,2,10,3,11,5,13 e0,4,8,12 n0-1"}


def test_a_spread_guest_stays_where_it_is_and_then_goes_where_most_is_free():
    assert SERVER.place(rt("a", 12, numa="spread")), "to the last CPU"
    other = domain("other", "2", "10")
    assert SERVER.texts(rt("a", 6, numa="spread"), existing=[other]) == {"a": "5,13,6,14,7,15 e4,12 n1"}
    there = [domain("a", "1", "9"), other]
    assert SERVER.texts(rt("a", 5, numa="spread"), existing=there) == {"a": "1,9,3,11,5 e0,4,8,12 n0-1"}


def test_an_emulator_of_its_own_sits_beside_the_vcpus():
    assert SERVER.texts(rt("a", 3, emulator="own")) == {"a": "1,9,2 e10 n0"}
    assert LAB.texts(rt("a", 2, emulator="own")) == {"a": "2,3 e4 n0"}


def test_where_only_one_node_has_dataplane_cpus_guests_of_the_switch_prefer_it():
    node = Node(Intent(smt="together", cpus={"dataplane": "5,13"}), nodes=2, cores=4, threads=2)
    on_switch = {"networks": [{"network": "control"}]}
    assert node.texts(rt("a", **on_switch), rt("b")) == {"a": "6,14 e4,12 n1", "b": "7,15 e4,12 n1"}
    assert node.texts(rt("a", 6, **on_switch)) == {"a": "1,9,2,10,3,11 e0,8 n0"}, "farther is better than not at all"


def test_the_node_of_the_switch_is_preferred_to_the_one_that_would_be_fuller():
    node = Node(Intent(smt="together", cpus={"dataplane": "5,13", "shared": "1-2,9-10"}), nodes=2, cores=4, threads=2)
    assert node.texts(rt("b")) == {"b": "3,11 e0,8 n0"}
    assert node.texts(rt("a", networks=[{"network": "control"}])) == {"a": "6,14 e4,12 n1"}


def test_memory_is_counted_to_the_last_mib():
    floating = {"name": "a", "numa_node": 0, "memory_mib": 1000}
    assert SERVER.texts(floating, memory_mib={0: 1000, 1: 0})["a"].endswith("n0")
    assert "1001 MiB of memory on NUMA node 0, where 1000 MiB are free" in SERVER.refusal(
        {**floating, "memory_mib": 1001}, memory_mib={0: 1000, 1: 5000}
    )
    there = domain("b", "1", "9", memory_mib=800, nodes=(0,))
    assert SERVER.texts(rt("b", memory_mib=1000), existing=[there], memory_mib={0: 1000, 1: 5000})["b"].endswith("n0")
    SERVER.refusal(rt("b", memory_mib=1002), existing=[there], memory_mib={0: 1001, 1: 5000})


def test_a_guest_of_the_switch_stays_near_it_though_another_node_is_fuller():
    # node 0 has one realtime core, node 1 two and the dataplane
    node = Node(Intent(smt="together", cpus={"dataplane": "5,13", "shared": "2-3,10-11"}), nodes=2, cores=4, threads=2)
    assert node.texts(rt("a", networks=[{"network": "control"}])) == {"a": "6,14 e4,12 n1"}
    assert node.texts(rt("a", networks=[{"network": "office"}])) == {"a": "1,9 e0,8 n0"}


def test_other_guests_float_on_shared_cpus_or_else_on_housekeeping():
    assert SERVER.texts({"name": "a", "vcpus": 2}) == {"a": "~0,4,8,12 e0,4,8,12 n"}
    node = Node(Intent(smt="together", shared_cores_per_node=1), nodes=2, cores=4, threads=2)
    assert node.texts({"name": "a"}, {"name": "b", "numa_node": 1}) == {"a": "~1,5,9,13 e0,4,8,12 n", "b": "~5,13 e4,12 n1"}
    message = node.refusal({"name": "a", "numa_node": 7})
    assert message == "realtime_guests: a: numa_node 7 has no shared CPUs for its vCPUs (shared: 1,5,9,13)"


def test_huge_pages_of_a_floating_guest_come_from_one_node():
    memory = {0: 1000, 1: 2000}
    a, b = ({"name": name, "hugepages": "2M", "memory_mib": 900} for name in "ab")
    assert SERVER.texts(a, b, memory_mib=memory) == {"a": "~0,4,8,12 e4,12 n1", "b": "~0,4,8,12 e4,12 n1"}
    there = Existing("a", ours=True, floating=frozenset({0, 8}), memory_mib=900, nodes=(0,))
    assert SERVER.texts(a, memory_mib=memory, existing=[there])["a"].endswith("n0"), "where they are already"


def test_huge_pages_where_the_memory_of_nodes_is_not_known():
    item = {"name": "a", "hugepages": "2M"}
    assert SERVER.texts(item) == {"a": "~0,4,8,12 e0,8 n0"}
    assert "on NUMA node 1, where 1 MiB are free for it" in SERVER.refusal(item, memory_mib={1: 1})


def test_memory_decides_between_nodes():
    assert SERVER.texts(rt("a", memory_mib=512), memory_mib={0: 511, 1: 512}) == {"a": "5,13 e4,12 n1"}


def test_a_node_without_memory_of_its_own_gets_no_guest():
    assert SERVER.texts(rt("a"), memory_mib={1: 512}) == {"a": "5,13 e4,12 n1"}


def test_memory_that_another_guest_has_already_is_not_promised_again():
    """Though the new guest stands first in the list."""
    there = domain("b", "1", "9", memory_mib=900, nodes=(0,))
    new, old = rt("a", memory_mib=200), rt("b", memory_mib=900)
    assert SERVER.texts(new, old, existing=[there], memory_mib={0: 1000, 1: 1000})["a"].endswith("n1")


@pytest.mark.parametrize(
    ("nodes", "memory", "page", "parts"),
    [
        ((), 100, 1, {}),
        ((1,), 100, 1, {1: 100}),
        ((0, 1), 100, 1, {0: 50, 1: 50}),
        ((0, 1), 258, 2, {0: 130, 1: 128}),
        ((0, 1), 3072, 1024, {0: 2048, 1: 1024}),
        ((0, 1, 3), 1024, 1024, {0: 1024, 1: 0, 3: 0}),
    ],
)
def test_memory_is_dealt_in_whole_pages(nodes, memory, page, parts):
    assert Placement("a", nodes, {}, frozenset()).memory_by_node(memory, page) == parts


def test_memory_of_unknown_pages_is_dealt_in_mib():
    assert Placement("a", (0, 1), {}, frozenset()).memory_by_node(102) == {0: 51, 1: 51}


def test_cells_with_nodes_of_their_own_follow_the_guest():
    """An adopted guest of two cells, the second bound to node 0; its memory counts where it goes."""
    cells = {0: Cell(frozenset({0, 1}), 512), 1: Cell(frozenset({2, 3}), 512, (0,))}
    there = domain("a", "5", "13", "6", "14", memory_mib=1024, nodes=(0,), cells=cells)
    placed = SERVER.place(rt("a", 4, memory_mib=1024), existing=[there], memory_mib={0: 0, 1: 1024})["a"]
    assert (placed.nodes, placed.cells[1].nodes, placed.memory_by_node(1024)) == ((1,), (1,), {1: 1024})


def test_each_cell_of_a_spread_guest_stays_beside_its_vcpus():
    cells = {0: Cell(frozenset({0}), 768, (1,)), 1: Cell(frozenset({1, 2}), 256, (1,))}
    there = domain("a", "1", "5", "13", memory_mib=1024, nodes=(0, 1), cells=cells)
    placed = SERVER.place(rt("a", 3, memory_mib=1024, numa="spread"), existing=[there])["a"]
    assert [cell.nodes for cell in placed.cells.values()] == [(0,), (1,)]
    assert placed.memory_by_node(1024) == {0: 768, 1: 256}


# -- what stays ------------------------------------------------------------------------------------


def test_adding_and_removing_moves_no_other():
    there = [domain("a", "1", "9", nodes=(0,)), domain("b", "2", "10", nodes=(0,))]
    assert SERVER.texts(rt("new"), rt("b"), rt("a"), existing=there) == {
        "new": "3,11 e0,8 n0",
        "b": "2,10 e0,8 n0",
        "a": "1,9 e0,8 n0",
    }
    assert SERVER.texts(rt("b"), existing=there) == {"b": "2,10 e0,8 n0"}
    gone = {"name": "a", "state": "absent"}
    assert SERVER.texts(rt("new"), gone, rt("b"), existing=there) == {"new": "1,9 e0,8 n0", "b": "2,10 e0,8 n0"}


def test_one_that_is_no_longer_listed_keeps_its_cpus():
    assert SERVER.texts(rt("new"), existing=[domain("a", "1", "9")]) == {"new": "2,10 e0,8 n0"}


def test_more_vcpus_come_beside_the_old_ones():
    there = [domain("a", "2", "10", "3"), domain("b", "1", "9")]
    assert SERVER.texts(rt("a", 4), rt("b"), existing=there) == {"a": "2,10,3,11 e0,8 n0", "b": "1,9 e0,8 n0"}
    assert SERVER.texts(rt("a", 2), rt("b"), existing=there) == {"a": "2,10 e0,8 n0", "b": "1,9 e0,8 n0"}
    halves = [domain("a", "1", "2")]  # a thread is spare on each of its cores
    assert SERVER.texts(rt("a", 4), existing=halves) == {"a": "1,2,9,10 e0,8 n0"}
    assert SERVER.texts(rt("a", 4, numa="spread"), existing=halves) == {"a": "1,2,9,10 e0,8 n0"}


@pytest.mark.parametrize(
    ("pins", "after"),
    [
        (("1", "9", "2"), "1,9,2"),
        (("1", "9", ""), "1,9,2"),  # removed
        (("1", "9", "2,10"), "1,9,2"),  # two CPUs
        (("1", "9", "8"), "1,9,2"),  # housekeeping
        (("1", "9", "9"), "1,9,2"),  # another vCPU's: the first stays
        (("1", "9", "13"), "1,9,2"),  # the other NUMA node: the most stay
        (("3", "11", "2"), "3,11,2"),
        (("3", "11", ""), "3,11,1"),
        (("", "", ""), "1,9,2"),
    ],
)
def test_a_hand_edit_is_repaired_and_what_is_right_stays(pins, after):
    assert SERVER.texts(rt("a", 3), existing=[domain("a", *pins, nodes=(0,))])["a"] == f"{after} e0,8 n0"


def test_an_emulator_of_its_own_stays():
    there = [domain("a", "1", "9", "2", emulator=frozenset({11}))]
    assert SERVER.texts(rt("a", 3, emulator="own"), existing=there) == {"a": "1,9,2 e11 n0"}


def test_a_spread_guest_stays_on_its_nodes():
    assert SERVER.texts(rt("a", numa="spread"), existing=[domain("a", "1", "5")]) == {"a": "1,5 e0,4,8,12 n0-1"}


def test_between_two_halves_the_memory_decides():
    for node, after in ((0, "1,9 e0,8 n0"), (1, "13,5 e4,12 n1")):
        pins = ("1", "5") if node == 0 else ("13", "1")
        assert SERVER.texts(rt("a"), existing=[domain("a", *pins, nodes=(node,))])["a"] == after


def test_a_node_that_is_asked_for_moves_the_guest():
    assert SERVER.texts(rt("a", numa_node=1), existing=[domain("a", "1", "9", nodes=(0,))]) == {"a": "5,13 e4,12 n1"}


def test_a_stopped_stranger_keeps_its_cpus():
    stranger = domain("other", "1,9", ours=False)
    assert SERVER.texts(rt("a"), existing=[stranger]) == {"a": "2,10 e0,8 n0"}


def test_half_a_core_of_a_stranger_is_not_used():
    assert SERVER.texts(rt("a", 4), existing=[domain("other", "10", ours=False, running=True)]) == {"a": "1,9,3,11 e0,8 n0"}


@pytest.mark.parametrize("what", ["vcpus", "floating", "emulator", "io_threads"])
def test_every_thread_of_a_stranger_counts(what):
    cpus = parse_cpulist("1,2,9,10")
    stranger = Existing("other", ours=False, running=True, **{what: {0: cpus} if what == "vcpus" else cpus})
    assert SERVER.texts(rt("a"), existing=[stranger]) == {"a": "3,11 e0,8 n0"}


# -- what does not fit -----------------------------------------------------------------------------


def test_a_guest_too_many_is_told_what_is_free_and_who_has_the_rest():
    there = [domain("a", "1", "9", "2"), domain("other", "5,13", ours=False), domain("old", "6", "14")]
    assert SERVER.refusal(rt("a", 3), rt("b", 4), existing=there, memory_mib={0: 1000, 1: 2000}) == (
        "realtime_guests: b asks for 4 realtime CPUs (2 whole cores of 2 threads: guests share no core) and 256 MiB of memory on one NUMA node; "
        "node 0: 2 of 6 free (3,11, 744 MiB of memory); a has 1-2,9"
        " | node 1: 2 of 6 free (7,15, 2000 MiB of memory); old has 6,14, other has 5,13"
        "; numa: spread lets it use several nodes"
    )


def test_one_thread_a_core_needs_no_words_about_cores():
    assert LAB.refusal(rt("a"), rt("b", 3)) == (
        "realtime_guests: b asks for 3 realtime CPUs on one NUMA node; node 0: 2 of 4 free (4-5); a has 2-3"
    )


def test_nodes_are_described_one_by_one():
    node = Node(Intent(smt="together", cpus={"realtime": "5,13"}), nodes=2, cores=4, threads=2)
    assert node.refusal(rt("a", 4)).endswith("; node 1: 2 of 2 free (5,13)")
    assert SERVER.refusal(rt("a", 6), rt("b", 8, numa="spread"), memory_mib={1: 512}).endswith(
        "; node 0: 6 of 6 free (1-3,9-11, no memory) | node 1: 0 of 6 free (none, 256 MiB of memory); a has 5-7,13-15"
    )


def test_a_guest_that_cannot_grow():
    there = [domain("a", "1", "9"), domain("b", "2", "10"), domain("c", "3", "11")]
    message = SERVER.refusal(rt("a", 3), rt("b"), rt("c"), existing=there)
    assert message.startswith(
        "realtime_guests: a asks for 1 realtime CPU (1 whole core of 2 threads: guests share no core) more on NUMA node 0, where it is; "
    )


def test_too_little_memory():
    message = SERVER.refusal(rt("a", memory_mib=2048), memory_mib={0: 1000, 1: 2000})
    assert "a asks for 2 realtime CPUs" in message
    assert (
        "and 2048 MiB of memory on one NUMA node with enough memory; node 0: 6 of 6 free (1-3,9-11, 1000 MiB of memory)"
        in message
    )


@pytest.mark.parametrize(
    "item",
    [
        rt("a", 8, numa="spread", memory_mib=2100),
        {"name": "a", "hugepages": "2M", "memory_mib": 1002},
        {"name": "a", "numa_node": 1, "memory_mib": 1002},
    ],
    ids=["spread", "floating in huge pages", "floating on a node"],
)
def test_too_little_memory_of_other_kinds(item):
    message = SERVER.refusal(item, memory_mib={0: 1000, 1: 1000})
    assert re.match(
        r"realtime_guests: a asks for 10\d\d MiB of memory on NUMA node [01], where 1000 MiB are free for it; give", message
    ), message


@pytest.mark.parametrize(
    ("item", "enough", "step"),
    [
        (rt("a", 8, numa="spread"), 2000, 2),
        (rt("a", numa_node=1), 1000, 2),
        ({"name": "a", "hugepages": "2M"}, 1000, 2),
        ({"name": "a", "numa_node": 1}, 1000, 1),
    ],
    ids=["spread", "pinned", "floating in huge pages", "floating on a node"],
)
def test_memory_is_given_to_the_last_mib_and_not_beyond(item, enough, step):
    memory = {0: 1000, 1: 1000}
    assert SERVER.place({**item, "memory_mib": enough}, memory_mib=memory)
    assert "realtime_guests: a asks for " in SERVER.refusal({**item, "memory_mib": enough + step}, memory_mib=memory)


@pytest.mark.parametrize(("pages", "parts"), [("2M", {0: 130, 1: 128}), ("none", {0: 129, 1: 129})])
def test_memory_of_a_spread_guest_is_counted_in_its_pages(pages, parts):
    item = rt("a", 8, numa="spread", hugepages=pages, memory_mib=258)
    assert SERVER.place(item, memory_mib=parts)
    assert SERVER.refusal(item, memory_mib={**parts, 1: parts[1] - 1})


def test_memory_of_a_guest_that_goes_is_free():
    there = domain("a", "1", "9", memory_mib=900, nodes=(0,))
    gone = {"name": "a", "state": "absent"}
    assert SERVER.texts(rt("b", memory_mib=900), gone, existing=[there], memory_mib={0: 1000, 1: 0}) == {"b": "1,9 e0,8 n0"}


def test_memory_of_a_node_that_has_none():
    message = SERVER.refusal({"name": "a", "numa_node": 1}, memory_mib={0: 1000})
    assert "a asks for 256 MiB of memory on NUMA node 1, where 0 MiB are free for it" in message
    there = [domain("b", "5", "13", memory_mib=256, nodes=(1,))]
    assert SERVER.texts(rt("a"), existing=there, memory_mib={0: 1000}) == {"a": "1,9 e0,8 n0"}
    message = SERVER.refusal(rt("b", memory_mib=512), existing=there, memory_mib={0: 1000})
    assert "b asks for 512 MiB of memory on NUMA node 1, where 0 MiB are free for it" in message


def test_memory_that_grows_is_refused_and_memory_that_shrinks_is_not():
    """Even on a node that was promised too much before."""
    there = [domain("a", "1", "9", memory_mib=800, nodes=(0,)), domain("b", "2", "10", memory_mib=800, nodes=(0,))]
    memory = {0: 1000, 1: 1000}
    for size in (800, 400):
        assert SERVER.place(rt("a", memory_mib=size), rt("b", memory_mib=800), existing=there, memory_mib=memory)
    message = SERVER.refusal(rt("a", memory_mib=900), rt("b", memory_mib=800), existing=there, memory_mib=memory)
    assert message.startswith("realtime_guests: a asks for 900 MiB of memory on NUMA node 0, where 200 MiB are free for it")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (rt("a", numa_node=7), "a asks for 2 realtime CPUs .* on NUMA node 7; node 0: 6 of 6 free"),
        (rt("a", 7, numa_node=1), "a asks for 7 realtime CPUs .* on NUMA node 1; "),
        (rt("a", 13, numa="spread"), r"a asks for 13 realtime CPUs \(7 whole cores .*\) on all NUMA nodes together; "),
        ({"name": "a", "numa_node": 7}, "a: numa_node 7 has no housekeeping CPUs for its vCPUs"),
    ],
)
def test_nodes_that_cannot_be_had(item, said):
    message = SERVER.refusal(item)
    assert re.search(said, message), message


def test_a_machine_without_realtime_cpus():
    node = Node(Intent(smt="together", realtime="0"), nodes=1, cores=4, threads=1)
    assert node.refusal(rt("a")) == (
        "realtime_guests: a asks for 2 realtime CPUs on one NUMA node; this node has no realtime CPUs at all"
    )


def test_a_real_time_network_where_nothing_polls():
    message = SERVER.refusal(rt("a", networks=[{"network": "control"}]))
    assert re.match(
        "realtime_guests: a is on real-time network control, but this node has no dataplane CPUs to poll it; set cpu_part",
        message,
    )
    both = [{"network": "control"}, {"network": "office"}, {"network": "steer"}]
    assert "a is on real-time network control, steer, but" in SERVER.refusal(rt("a", networks=both))
    assert SERVER.place({"name": "a", "state": "absent", "networks": [{"network": "control"}]}) == {}
    assert LAB.place({"name": "a", "networks": [{"network": "control"}]})


# -- two users of one CPU --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (domain("other", "1,5", ours=False, running=True), "a is pinned to realtime CPU 1, which domain other uses as well"),
        (domain("other", "8", "9", ours=False), "a is pinned to realtime CPU 9, which domain other uses as well"),
        (domain("plc9", "9"), "a is pinned to realtime CPU 9, which domain plc9 uses as well; re-pin or remove plc9"),
        (domain("other", "10", ours=False), "a is pinned to realtime CPU 2, whose core domain other uses (CPU 10) as well"),
        (Existing("other", ours=False, emulator=frozenset({2})), "a is pinned to realtime CPU 2, which domain other uses"),
    ],
)
def test_a_pin_on_the_cpu_or_core_of_another_domain(other, said):
    message = SERVER.refusal(rt("a", 3), existing=[domain("a", "1", "9", "2"), other])
    assert message.startswith(f"realtime_guests: {said}"), message


def test_two_guests_of_the_list_on_one_cpu():
    there = [domain("a", "1", "3"), domain("b", "2", "1")]  # nobody has more threads there, so it is not known whose it was
    assert "b is pinned to realtime CPU 1, which domain a uses as well; re-pin or remove a (virsh vcpupin a)" in SERVER.refusal(
        rt("a"), rt("b"), existing=there
    )


def test_a_thread_moved_by_hand_onto_another_guests_core_goes_back():
    placed = SERVER.place(rt("a"), rt("b"))
    mine, theirs = placed["a"].vcpus, placed["b"].vcpus
    edited = domain("a", str(min(mine[0])), str(min(theirs[1])))
    there = [edited, domain("b", *(str(min(cpus)) for cpus in theirs.values()))]
    assert SERVER.place(rt("a"), rt("b"), existing=there) == placed


def test_two_domains_that_are_not_listed_on_one_cpu():
    there = [domain("x", "1"), domain("y", "1", ours=False, running=True)]
    assert SERVER.refusal(rt("a"), existing=there).startswith(
        "realtime CPU 1 is used by domains x and y; one of them must be re-pinned"
    )
    assert SERVER.place(rt("a"), existing=[there[0], domain("y", "1", ours=False)]), "a stopped stranger harms nobody yet"


def test_poll_mode_threads_on_realtime_cpus():
    assert LAB.refusal(rt("a"), polling={1: "pmd-c01/id:8", 4: "pmd-c04/id:9"}) == (
        "realtime CPUs 4 are polled by pmd-c04/id:9; poll-mode threads belong on dataplane CPUs (1): run the ovs_dpdk role"
    )
    assert "CPUs 4-5 are polled by one, two; poll-mode" in LAB.refusal(rt("a"), polling={5: "one", 4: "two"})
    assert "dataplane CPUs (none on this node): run" in SERVER.refusal(rt("a"), polling={1: "pmd-c01/id:8"})
    assert LAB.place(rt("a"), polling={1: "pmd-c01/id:8"})


# -- a NUMA node without memory --------------------------------------------------------------------


def test_a_spread_guest_takes_cpus_where_there_is_no_memory_and_memory_elsewhere():
    """Two sockets, memory modules in the first alone."""
    memory = {0: 4096}
    assert SERVER.texts(rt("a", 8, numa="spread"), memory_mib=memory) == {"a": "1,9,2,10,3,11,5,13 e0,4,8,12 n0"}
    alone = SERVER.place(rt("a", 6), rt("b", 4, numa="spread"), memory_mib=memory)["b"]
    assert (format_cpulist(sorted(min(cpus) for cpus in alone.vcpus.values())), alone.nodes) == ("5-6,13-14", (0,))


@pytest.mark.parametrize(
    ("item", "memory", "advice"),
    [
        (rt("a", 8), None, "; numa: spread lets it use several nodes"),
        (rt("a", 14), None, ""),  # too large for all nodes together
        (rt("a", 8), {0: 4096}, "; numa: spread lets it use several nodes"),
        (rt("a", 8), {0: 255}, ""),  # it would lack memory
        (rt("a", 8), {0: 200, 1: 200}, "; numa: spread lets it use several nodes"),  # each node has half of it
        (rt("a", 2), {0: 200, 1: 200}, ""),  # its CPUs would still be on one
        (rt("a", 8, numa_node=0), {0: 4096}, "; numa: spread and no numa_node lets it use several nodes"),
        (rt("a", 14, numa="spread"), None, ""),
    ],
)
def test_numa_spread_is_advised_only_where_the_guest_would_fit_then(item, memory, advice):
    message = SERVER.refusal(item, memory_mib=memory)
    assert ("numa: spread" in message, message.endswith(advice)) == (bool(advice), True)
    if advice:
        placed = SERVER.place({**item, "numa": "spread", "numa_node": None}, memory_mib=memory)["a"]
        assert len(placed.vcpus) == item["vcpus"]


def test_a_strict_guest_is_told_a_remedy_that_works():
    for item in (rt("a", numa_node=1), {"name": "a", "numa_node": 1, "hugepages": "2M"}):
        message = SERVER.refusal(item, memory_mib={0: 4096})
        assert "no memory" in message
        assert "numa_node" in message
    assert "spread" not in message, "an ordinary guest floats"


@pytest.mark.parametrize(("before", "nodes"), [((1,), (1,)), ((0, 1), (0, 1)), ((), ()), ((0, 7), ())])
def test_the_memory_of_an_ordinary_guest_stays_where_it_is(before, nodes):
    item = {"name": "a", "memory_mib": 256}
    assert SERVER.place(item, existing=[Existing("a", ours=False, nodes=before)])["a"].nodes == nodes
    assert SERVER.place(item, existing=[Existing("a", ours=False, nodes=before, realtime=True)])["a"].nodes == ()
    assert SERVER.place({**item, "numa_node": 0}, existing=[Existing("a", ours=False, nodes=before)])["a"].nodes == (0,)
