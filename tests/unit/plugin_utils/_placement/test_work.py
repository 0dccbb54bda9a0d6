# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From answers and inventory to a plan, and what it says."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.answer import _row, plan_lines
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import PlacementError
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.read import HOST_VARIABLES
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.request import Listed
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.work import Given, make_plan, take_in
from unit.placing import answer, host

SIZES = {"a": (1, 5), "b": (2, 5)}


def plc(name, vcpus=2, **more):
    return {"name": name, "memory_mib": 1024, "vcpus": vcpus, "realtime_vcpus": f"1-{vcpus - 1}", **more}


def given(fleet=(), lists=None, answers=None, values=None, **options):
    hosts = sorted(SIZES)
    found = {name: answer(host(name, *SIZES[name], memory=8192)) for name in hosts}
    variables = {name: {**HOST_VARIABLES, "realtime_site": "", **(values or {}).get(name, {})} for name in hosts}
    return Given(
        hosts,
        {**found, **(answers or {})},
        {**dict.fromkeys(hosts, Listed()), **(lists or {})},
        variables,
        list(fleet),
        **options,
    )


def test_a_plan_and_its_lines():
    plan = make_plan(take_in(given([plc("plc1", 4), plc("plc2", 4), plc("big", 9)])))
    assert plan["summary"] == {"guests": 3, "new": 2, "moved": 0, "stay": 0, "unplaced": 1}
    lines = "\n".join(plan_lines(plan, "/x/placement.yml"))
    assert lines.startswith("3 guests: 0 stay, 0 move, 2 are new, 1 has no host\n  big: ")
    assert "would help: " in lines
    assert lines.endswith("Plan: /x/placement.yml")
    assert plan_lines(plan, "")[-1] == "Check mode: no plan was written"


def test_moves_and_hosts_are_shown():
    lists = {"a": Listed([], [plc("plc1", 4)])}
    plan = make_plan(take_in(given(lists=lists, drain=["a"])))
    lines = "\n".join(plan_lines(plan, "p"))
    assert plan["moves"] == [{"step": 1, "guest": "plc1", "from": "a", "to": "b", "node": 0, "how": "moves", "why": "drain"}]
    assert "0 -> 1  0 -> 4 of 4 | 0 -> 0 of 4" in " ".join(lines.split()).replace("1 0", "1  0")
    assert plan["hosts"]["a"]["state"] == "drained"
    assert plan["hosts"]["a"]["leave"] == ["plc1"]


def test_a_host_of_many_nodes_is_shown_by_those_that_change_and_what_is_bound_to_none_counts():
    wide = {"b": answer(host("b", 4, 5, memory=8192))}
    office = {"name": "office", "memory_mib": 512, "vcpus": 3}
    plan = make_plan(take_in(given([plc("plc1", 4), office], answers=wide, drain=["a"])))
    assert plan["hosts"]["b"]["after"]["floating_vcpus"] == 3
    assert plan["hosts"]["b"]["after"]["unbound_mib"] == 512
    cells = _row("b", plan["hosts"]["b"])
    assert cells[2] == "0: 0 -> 4 of 4; 3 nodes as before; vCPUs that float: 0 -> 3"
    assert cells[3] == "0: 0 -> 1024 of 8192; 3 nodes as before; bound to no node: 0 -> 512"


def test_the_digest_is_of_what_counts():
    base = take_in(given([plc("plc1")])).digest
    assert take_in(given([plc("plc1")])).digest == base
    free = answer(host("a", 1, 5, memory=8192))
    free["node"]["memory"]["0"]["free_mib"] = 7
    assert take_in(given([plc("plc1")], answers={"a": free})).digest == base
    running = answer(host("a", 1, 5, memory=8192), [("x", {0: 1})])
    stopped = answer(host("a", 1, 5, memory=8192), [("x", {0: 1})])
    running["node"]["guests"][0].update(
        state="running", threads=[{"role": "iothread1", "tid": 1, "name": "IO", "cpus": "2", "scheduler": "other"}]
    )
    running["node"]["switch"] = {"pmds": {"3": "pmd1"}}
    for item in running["node"]["memory"].values():
        item["total_mib"] += 3
        item["guest_mib"] += 3
    stopped["node"]["guests"][0].update(state="shut off", threads=[])
    assert take_in(given(answers={"a": running})).digest == take_in(given(answers={"a": stopped})).digest
    for other in (
        given([plc("plc1", 3)]),
        given([plc("plc1")], rules=[{"kind": "affinity", "guests": ["plc1"]}]),
        given([plc("plc1")], drain=["a"]),
        given([plc("plc1")], values={"a": {"realtime_place_domains": {"rack": "r"}}}),
        given([plc("plc1")], answers={"a": {"unreachable": True}}),
        given([plc("plc1")], answers={"a": answer(host("a", 1, 5, memory=8192), [("x", {0: 1})])}),
    ):
        assert take_in(other).digest != base


def test_what_if():
    asked = {"hosts": [{"like": "a", "count": 2}], "guests": ["plc1"]}
    plan = make_plan(take_in(given([plc("plc1", 4)], what_if=asked)))
    assert plan["what_if"] == {"hosts": ["a+1", "a+2"], "guests": {"plc1": {"more": 4, "hosts": {"a+1": 1, "a+2": 1, "b": 2}}}}
    lines = plan_lines(plan, "p")
    assert "With a+1, a+2, which do not exist" in lines
    assert "4 more guests like plc1 fit" in lines


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"hosts": [{"like": "z"}]}, "hosts[0]: like 'z' is no host that takes part"),
        ({"hosts": [{"like": "a", "counts": 1}]}, "unknown key counts, did you mean count?"),
        ({"hosts": [{"like": "a", "count": 0}]}, "count 0 is no number in 1-10000"),
        ({"hosts": ["a"]}, "hosts[0] is no mapping with like and count"),
        ({"hosts": "a"}, "hosts is no list"),
        ({"hosts": [{"like": "a", "domains": 1}]}, "domains is no mapping"),
        ({"hosts": [{"like": "a", "domains": {"rack": ""}}]}, "hosts[0]: domains: rack: '' is no name"),
        ({"guests": ["z"]}, "guests: 'z' is no guest of this run"),
        ({"guest": ["z"]}, "unknown key guest, did you mean guests?"),
    ],
)
def test_what_if_that_cannot_be(asked, text):
    with pytest.raises(PlacementError) as refused:
        make_plan(take_in(given([plc("plc1")], what_if=asked)))
    assert text in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lists": {"a": Listed("x", [])}}, "a: realtime_networks is no list"),
        ({"lists": {"a": Listed([], None)}}, "a: realtime_guests is no list"),
        ({"values": {"a": {"realtime_site": "north"}}}, "hosts of several sites (none, north) take part"),
        ({"fleet": [plc("plc1", 1)]}, "realtime_place_guests: plc1: "),
        ({"values": {"a": {"realtime_place_domains": {"rack": None}}}}, "a: realtime_place_domains: rack: None is no name"),
        ({"values": {"a": {"realtime_place_devices": {"card": "x"}}}}, "a: realtime_place_devices: card: 'x' is no number"),
        ({"fleet": [plc("plc1", placement={"devices": ["card"] * 2})]}, "placement.devices names a device twice"),
    ],
)
def test_inventories_that_cannot_be(changes, text):
    with pytest.raises(PlacementError) as refused:
        take_in(given(**changes))
    assert text in str(refused.value)


def test_without_any_host_there_is_no_plan():
    lost = {name: {"unreachable": True} for name in SIZES}
    with pytest.raises(PlacementError, match="no host can take guests: a: it cannot be reached, b: it cannot be reached"):
        make_plan(take_in(given(answers=lost)))


def test_broken_networks_close_a_host():
    taken = take_in(given([plc("plc1")], lists={"a": Listed([{"name": "X"}], [])}))
    assert "realtime_networks" in taken.unread["a"]


@pytest.mark.parametrize(("kind", "where"), [("anti-affinity", "c"), ("affinity", "b")])
def test_a_rule_counts_a_guest_of_a_host_that_takes_no_part(kind, where):
    racks = {"a": "r1", "b": "r1", "c": "r2"}
    taken = given(
        [plc("q", **{"class": "gold"})], {"a": Listed([], [plc("p", **{"class": "gold"})])}, {"a": {"unreachable": True}}
    )
    taken.hosts = sorted(racks)
    taken.lists = {**taken.lists, "c": Listed()}
    taken.answers = {**taken.answers, "c": answer(host("c", 1, 5, memory=8192))}
    taken.values = {
        name: {**HOST_VARIABLES, "realtime_site": "", "realtime_place_domains": {"rack": rack}} for name, rack in racks.items()
    }
    taken.rules = [{"kind": kind, "by": "rack", "class": "gold", "name": "rule"}]
    plan = make_plan(take_in(taken))
    assert {entry["guest"]: entry["host"] for entry in plan["guests"]} == {"p": "a", "q": where}


def test_a_rule_that_keeps_a_guest_with_one_of_a_lost_host_says_so():
    lists = {"a": Listed([], [plc("p")])}
    rules = [{"kind": "affinity", "guests": ["p", "q"], "name": "pair"}]
    (left,) = make_plan(take_in(given([plc("q")], lists, {"a": {"unreachable": True}}, rules=rules)))["unplaced"]
    assert left["reason"] == "rule pair keeps it with p, on a, which takes no guests now"


def test_a_drained_guest_that_may_not_move_is_told():
    plan = make_plan(take_in(given([plc("p", placement={"movable": False})], {"a": Listed([], [plc("p")])}, drain=["a"])))
    assert plan["remarks"] == ["p should leave a: its host is drained, but placement.movable: false keeps it there"]


@pytest.mark.parametrize("lost", [{}, {"a": {"unreachable": True}}])
def test_a_listed_guest_whose_domain_is_on_another_host_is_refused(lost):
    answers = {"b": answer(host("b", *SIZES["b"], memory=8192), [("p", {0: 1, 1: 2})]), **lost}
    lists = {"a": Listed([], [plc("p")])}
    with pytest.raises(PlacementError, match="a: realtime_guests: p has its domain on b; put it on the list of"):
        take_in(given([], lists, answers))
    lists["a"] = Listed([], [{"name": "p", "state": "absent"}])
    lists["b"] = Listed([], [plc("p")])
    take_in(given([], lists, answers))
    foreign = {"b": answer(host("b", *SIZES["b"], memory=8192), [("p", {0: 1, 1: 2})])}
    foreign["b"]["node"]["guests"][0]["ours"] = False
    take_in(given([], {"a": Listed([], [plc("p")])}, foreign))
