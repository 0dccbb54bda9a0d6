# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests keep their hosts, drained hosts are emptied, others move only where that makes room."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Scheduler
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, place
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import HugepageError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement import placing
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.applied import guests_by_host
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.document import plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import Options
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.placing import place_guests
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.whatif import more_guests
from unit.placing import OFFICE, apart, host, together, wish


def pins(*cpus):
    return {vcpu: frozenset({cpu}) for vcpu, cpu in enumerate(cpus)}


def at(placed):
    return {name: (seat.host, seat.node) for name, seat in placed.seats.items()}


def test_new_guests_fill_hosts_or_are_spread():
    hosts = [host("a", 1, 9), host("b", 1, 9)]
    wishes = [wish("one"), wish("two")]
    assert at(place_guests(hosts, wishes)) == {"one": ("a", 0), "two": ("a", 0)}
    assert at(place_guests(hosts, wishes, options=Options("spread"))) == {"one": ("a", 0), "two": ("b", 0)}


def test_a_guest_stays_beside_its_own_pins():
    one = host("a", 2, 5, existing=(Existing("plc", True, True, pins(5, 6), memory_mib=1024, hugepages="2M", nodes=(1,)),))
    placed = place_guests([one, host("b", 1, 9)], [wish("plc", home="a"), wish("new", 4)])
    assert at(placed) == {"plc": ("a", 1), "new": ("a", 0)}
    assert (placed.moves, placed.new) == ([], ["new"])


def test_a_drained_host_is_emptied_as_far_as_others_have_room():
    hosts = [host("a", 1, 13, drained=True), host("b", 1, 5)]
    placed = place_guests(hosts, [wish("big", 6, home="a"), wish("one", 4, home="a"), wish("kept", 2, home="a", fixed=True)])
    assert at(placed) == {"big": ("a", 0), "kept": ("a", 0), "one": ("b", 0)}
    assert placed.stuck == {
        "big": "its host is drained, but no other host has room for it",
        "kept": "its host is drained, but placement.movable: false keeps it there",
    }
    assert placed.moves == ["one"]
    assert placed.left == []


def test_others_make_room_only_where_they_may():
    hosts = [host("a", 1, 9), host("b", 1, 5)]
    wishes = [wish("small", 2, home="a"), wish("big", 8)]
    assert place_guests(hosts, wishes).moves == ["small"]
    for moves in ("drain", "none"):
        placed = place_guests(hosts, wishes, options=Options(moves=moves))
        assert placed.moves == []
        assert [left.name for left in placed.left] == ["big"]
    placed = place_guests(hosts, [replace(wishes[0], fixed=True), wishes[1]])
    assert [left.name for left in placed.left] == ["big"]


def test_a_chain_of_moves_makes_room():
    hosts = [host("a", 1, 9), host("b", 1, 7), host("c", 1, 5)]
    wishes = [wish("g4", 4, home="b"), wish("g2", 2, home="a"), wish("g8", 8), wish("x", 2, home="b", fixed=True)]
    placed = place_guests(hosts, wishes)
    assert placed.left == []
    assert at(placed)["g8"] == ("a", 0)


def test_a_guest_that_no_longer_fits_its_host_is_named_and_stays():
    hosts = [host("a", 1, 5), host("b", 1, 9)]
    placed = place_guests(hosts, [wish("one", 2, home="a"), wish("two", 6, home="a")])
    assert list(placed.refused) == ["two"]
    assert "asks for 6 realtime CPUs" in placed.refused["two"]
    assert at(placed) == {"one": ("a", 0)}


def test_a_host_that_its_planner_refuses_is_closed():
    clash = (Existing("x", False, True, pins(1)), Existing("y", False, True, pins(1)))
    placed = place_guests([host("a", 1, 5, existing=clash), host("b", 1, 5)], [wish("one")])
    assert at(placed) == {"one": ("b", 0)}
    assert "is used by domains" in placed.fleet.by_name["a"].host.refusal


def test_groups_stay_together_and_apart():
    hosts = [host("a", 1, 10), host("b", 1, 10)]
    wishes = [wish(name, 3) for name in ("m1", "m2", "n1", "n2")]
    placed = place_guests(hosts, wishes, [together("m1", "m2"), apart("n1", "n2")])
    where = at(placed)
    assert where["m1"] == where["m2"]
    assert where["n1"] != where["n2"]


def test_a_wish_is_kept_where_it_costs_nothing_and_gives_way():
    hosts = [host("a", 1, 5), host("b", 1, 5)]
    rule = apart("one", "two", "three", required=False)
    placed = place_guests(hosts, [wish("one"), wish("two")], [rule])
    assert {place[0] for place in at(placed).values()} == {"a", "b"}
    assert place_guests(hosts, [wish("one"), wish("two"), wish("three")], [rule]).left == []


def test_more_pages_than_a_node_has_are_not_promised():
    small = host("a", 1, 9, memory=8192, total_mib={0: 4096})
    placed = place_guests([small], [wish("one", 2, 2048), wish("two", 2, 2048)])
    assert (len(placed.seats), len(placed.left)) == (1, 1)


def packed(name, **more):
    """A host of 8 realtime cores whose memory is 16 GiB and that of the operating system."""
    return host(name, 1, 9, memory=16384, total_mib={0: 16384 + 1024}, **more)


def test_pages_count_so_that_another_host_is_tried():
    full = packed("a", pages={(0, "2M"): 8192})  # all its memory is in idle pages of 2 MiB
    giant = wish("g", 4, 4096, hugepages="1G")
    placed = place_guests([full, packed("b")], [giant])
    assert at(placed) == {"g": ("b", 0)}
    assert more_guests(place_guests([full], [giant]), {"g": giant}, ["g"]) == {"g": {}}
    placed = place_guests([full, packed("b", drained=True)], [replace(giant, home="b")])
    assert (at(placed), placed.left) == ({"g": ("b", 0)}, [])


def test_a_guest_makes_no_room_where_its_pages_have_none_elsewhere():
    hosts = [packed("a"), packed("b", pages={(0, "2M"): 8192})]
    wishes = [wish("g", 4, 4096, hugepages="1G", home="a"), wish("kept", 4, home="a", fixed=True), wish("x", 4, hosts=["a"])]
    placed = place_guests(hosts, wishes)
    assert at(placed) == {"g": ("a", 0), "kept": ("a", 0)}
    assert [left.name for left in placed.left] == ["x"]


def test_a_guest_that_leaves_takes_its_pages_along():
    domain = Existing("g", True, True, pins(1, 2, 3, 4), memory_mib=6144, hugepages="2M", nodes=(0,), realtime=True)
    hosts = [
        host("a", 1, 9, memory=8192, total_mib={0: 8704}, existing=(domain,)),
        host("b", 1, 9, memory=8192, total_mib={0: 8704}),
    ]
    placed = place_guests(hosts, [wish("g", 4, 6144, home="a"), wish("x", 4, 4096, hosts=["a"])])
    assert at(placed) == {"g": ("b", 0), "x": ("a", 0)}


def test_a_late_refusal_undoes_all_that_hung_on_it(monkeypatch):
    def refuse(one, placed, placements, leaving=frozenset()):
        if one.name == "b" and placed:
            raise HugepageError("no pages")

    monkeypatch.setattr(placing, "check_pages", refuse)
    wishes = [wish("g", 4, home="a"), wish("kept", 4, home="a", fixed=True), wish("x", 4, hosts=["a"])]
    placed = place_guests([host("a", 1, 9), host("b", 1, 9)], wishes)
    assert at(placed) == {"g": ("a", 0), "kept": ("a", 0)}
    assert [left.name for left in placed.left] == ["x"]
    old = [wish(f"g{number}", 2, home="a") for number in range(12)]
    placed = place_guests([host("a", 1, 25, drained=True), host("b", 1, 25), host("c", 1, 5)], old)  # more than TRIES
    assert {name for name, (where, _node) in at(placed).items() if where == "c"} == set(placed.moves)
    assert (len(placed.moves), len(placed.stuck), placed.left) == (2, 10, [])


def test_a_spread_guest_is_asked_for_in_the_order_that_is_written():
    one = host("a", 2, 5)
    wishes = [wish("a", 3, numa="spread"), wish("b", 4)]
    placed = place_guests([one], wishes)
    written = guests_by_host(plan_document(placed, "inputs"), wishes, {"a": []})["a"]
    asked = {mine.name: mine for mine in wishes}
    place(one.partition, one.topology, [asked[entry["name"]].on(one, entry.get("numa_node")) for entry in written])


def test_a_rule_holds_for_a_guest_that_cannot_leave():
    hosts = [
        host("a", 1, 9, drained=True, domains={"rack": "r1"}),
        host("b", 1, 5, domains={"rack": "r1"}),
        host("c", 1, 5, domains={"rack": "r2"}),
    ]
    placed = place_guests(hosts, [wish("old", 8, home="a"), wish("new", 2)], [apart("old", "new", by="rack")])
    assert at(placed) == {"old": ("a", 0), "new": ("c", 0)}


def test_a_device_is_had_by_one_guest():
    hosts = [host("a", 1, 9, devices={"card": 1}), host("b", 1, 9, devices={"card": 2})]
    wishes = [wish(f"g{number}", devices=["card"]) for number in range(4)]
    placed = place_guests(hosts, wishes)
    assert sorted(where for where, _node in at(placed).values()) == ["a", "b", "b"]
    found = plan_document(placed, "inputs")["unplaced"]
    assert [entry["guest"] for entry in found] == [placed.left[0].name]
    assert "card" in found[0]["reason"]
    kept = place_guests(hosts[:1], [wish("old", home="a", devices=["card"]), wish("new", devices=["card"])])
    assert at(kept) == {"old": ("a", 0)}


def test_a_new_guest_takes_no_room_from_a_drained_host_s_guest():
    hosts = [host("a", 1, 5, drained=True), host("b", 1, 7)]
    placed = place_guests(hosts, [wish("old", 4, home="a"), wish("new", 6)])
    assert placed.moves == ["old"]
    assert [left.name for left in placed.left] == ["new"]


def test_a_guest_stays_although_counting_has_no_room_for_it():
    crowded = [wish(f"v{number}", 3, realtime=False, home="a") for number in range(3)]  # more than may float there
    placed = place_guests([host("a", 1, 5, drained=True), host("b", 1, 5)], crowded)
    assert sorted(where for where, _node in at(placed).values()) == ["a", "a", "b"]
    assert (len(placed.stuck), placed.left) == (2, [])


RUNS = (Existing("plc", True, True, pins(1, 2), memory_mib=1024, hugepages="2M", nodes=(0,)),)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"hosts": ["b"]}, "a is not a host for it (it is not among the guest's hosts)"),
        ({"devices": ["card"]}, "a is not a host for it (it has no device card)"),
    ],
)
def test_a_guest_whose_own_placement_excludes_its_host_is_moved_or_said(given, reason):
    hosts = [host("a", 1, 9, existing=RUNS), host("b", 1, 9, devices={"card": 1})]
    mine = [wish("plc", home="a", **given)]
    placed = place_guests(hosts, mine)
    assert at(placed)["plc"] == ("b", 0)
    document = plan_document(placed, "")
    assert [entry["why"].partition(";")[0] for entry in document["guests"]] == [reason]
    placed = place_guests(hosts, mine, options=Options(moves="drain"))
    assert at(placed)["plc"] == ("a", 0)
    assert placed.stuck == {"plc": f"{reason}, but realtime_place_moves: drain keeps it there"}
    placed = place_guests(hosts[:1], mine)
    assert placed.stuck == {"plc": f"{reason}, but no other host can have it"}


def test_one_device_is_of_the_first_of_two_guests_that_ask_for_it():
    runs = (*RUNS, replace(RUNS[0], name="two", vcpus=pins(3, 4)))
    hosts = [host("a", 1, 9, existing=runs, devices={"card": 1}), host("b", 1, 9, devices={"card": 1})]
    placed = place_guests(hosts, [wish("plc", home="a", devices=["card"]), wish("two", home="a", devices=["card"])])
    assert at(placed) == {"plc": ("a", 0), "two": ("b", 0)}
    assert placed.due == {"two": "a is not a host for it (another guest has its device card)"}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"networks": (OFFICE,)}, "it has no network office"),
        ({"schedulers": {1: Scheduler("fifo", 5)}}, "its realtime_priority_limit 1 is below the guest's priority 5"),
    ],
)
def test_a_guest_that_its_own_host_would_refuse_is_not_said_to_stay(more, reason):
    placed = place_guests([host("a", 1, 9, existing=RUNS)], [wish("plc", home="a", **more)])
    assert at(placed) == {}
    assert placed.refused == {"plc": reason}
