# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan in the report: what is drawn, what is folded, and what is not drawn since it is no plan."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.placement import placement_view
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.placement_now import Seen
from unit.pages import Page, page_of
from unit.placing import EXAMPLE_GUESTS, example

SEEN = Seen(list(EXAMPLE_GUESTS), EXAMPLE_GUESTS)
EVIL = """<script>alert(1)</script><img src=x onerror="alert('2')">&amp;'"</td></noscript></svg></style>--><!--\u202e\x1b[31m"""


@pytest.fixture(name="plan")
def _plan():
    return copy.deepcopy(example())


def drawn(plan):
    view = placement_view("placement.yml", plan, "", SEEN)
    assert view["refusal"] == ""
    return view


def test_hosts_are_drawn_before_and_after(plan):
    view = drawn(plan)
    assert view["summary"] == "6 guests: 1 stays, 2 move, 2 are new, 1 has no host"
    rows = {row["host"]: row for row in view["changed"]}
    one = rows["kvm01"]
    assert (one["shut"], one["before"], one["after"], one["leave"], one["come"]) == ("▼ drained", 2, 0, "plc1, plc2", "")
    assert one["nodes"] == [
        {
            "node": "0",
            "cores": {"before": 8, "after": 0, "total": 8, "bars": [100, 0]},
            "memory_mib": {"before": 4096, "after": 0, "total": 16384, "bars": [25, 0]},
        }
    ]
    assert [node["node"] for node in rows["kvm03"]["nodes"]] == ["0", "1"]
    assert view["totals"] == {"before": 10, "after": 24, "total": 32, "bars": [31.2, 75]}
    assert [(move["guest"], move["from"], move["to"], move["now"]) for move in view["moves"]] == [
        ("plc1", "kvm01", "kvm03", "kvm01"), ("plc2", "kvm01", "kvm03", "kvm01"),
    ]  # fmt: skip
    assert [(entry["guest"], entry["change"]) for entry in view["unplaced"]] == [("motion1", "6 cores more on kvm03 node 0")]
    assert view["differences"] == []


def test_hosts_that_stay_are_apart_and_equal_numbers_of_other_guests_are_a_change(plan):
    plan["hosts"]["kvm10"] = {**plan["hosts"]["kvm02"], "after": plan["hosts"]["kvm02"]["before"]}
    del plan["hosts"]["kvm10"]["come"]
    plan["hosts"]["kvm9"] = {**plan["hosts"]["kvm10"], "leave": ["a"], "come": ["b"]}
    plan["hosts"]["kvm8"] = {**plan["hosts"]["kvm10"], "state": "closed", "reason": "it is full"}
    view = drawn(plan)
    assert [row["host"] for row in view["changed"]] == ["kvm01", "kvm02", "kvm03", "kvm9"]
    assert [(row["host"], row["shut"], row["reason"]) for row in view["same"]] == [
        ("kvm8", "✖ closed", "it is full"),
        ("kvm10", "", ""),
    ]


def test_more_than_there_is_fills_the_bar_and_unknown_memory_has_none(plan):
    host = plan["hosts"]["kvm01"]
    host["room"]["0"] = {"cores": 4, "memory_mib": None}
    [node] = drawn(plan)["changed"][0]["nodes"]
    assert node["cores"] == {"before": 8, "after": 0, "total": 4, "bars": [100, 0]}
    assert node["memory_mib"] == {"before": 4096, "after": 0, "total": None, "bars": [0, 0]}
    host["room"]["0"] = {"cores": 0, "memory_mib": 0}
    assert drawn(plan)["changed"][0]["nodes"][0]["cores"]["bars"] == [0, 0]


def test_long_tables_end_with_the_number_of_the_others(plan):
    plan["moves"] = [{**plan["moves"][0], "step": step} for step in range(1, 1201)]
    view = drawn(plan)
    assert (len(view["moves"]), view["counts"]["moves"]) == (1000, 1200)
    text = page_of({}, placement={"file": "p", "plan": plan, "refusal": ""})
    assert "and 200 more, in <code>p</code>" in text
    assert "<summary>1200 steps of moves" in text


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("summary",), [], "summary is a list"),
        (("summary", "moved"), True, "summary.moved is no number"),
        (("moves",), None, "moves is null"),
        (("moves", 0, "from"), 5, "moves[0].from is a number"),
        (("guests", 0), "x", "guests[0] has a wrong entry is text"),
        (("guests", 0, "change"), "flies", "is none of stays, moves, new"),
        (("hosts",), {}, ""),
        (("hosts",), {"a": {}}, "hosts.a has a wrong entry lacks state, room, before, after"),
        (("hosts", "kvm01", "state"), ["drained"], "is none of open, drained, closed"),
        (("hosts", "kvm01", "before", "guests"), -1, "is no number of 0 or more"),
        (("hosts", "kvm01", "before", "guests"), 1e9, "is no number of 0 or more"),
        (("hosts", "kvm01", "before", "guests"), 1 << 60, "is no number of 0 or more"),
        (("hosts", "kvm01", "before", "nodes"), {}, "lacks a NUMA node"),
        (("hosts", "kvm01", "before", "nodes"), {"0": "8 of 8 cores, 0 of 1 MiB"}, "is text, not an object"),
        (("hosts", "kvm01", "room", "0", "cores"), "8", "is no number of 0 or more"),
        (("hosts", "kvm01", "leave"), "plc1", "is text, not a list"),
        (("hosts", "kvm01", "pages_1g_missing"), {"0": "x"}, "is no number of 0 or more"),
        (("hosts", "kvm01", "reason"), 5, "is a number, not text"),
        (("left_out",), {"a": None}, "left_out.a is null"),
        (("what_if",), ["x"], "has no attribute"),
        (("what_if",), {"hosts": [[]], "guests": {}}, "unhashable"),
        (("what_if",), {"hosts": [], "guests": {"a": {"more": "many"}}}, "invalid literal"),
    ],
)
def test_what_has_not_the_form_of_a_plan_is_not_drawn(plan, path, value, why):
    place = plan
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    view = placement_view("placement.yml", plan, "", SEEN)
    assert why in view["refusal"]
    assert bool(view["refusal"]) == bool(why)
    page = Page(page_of({}, placement={"file": "placement.yml", "plan": plan, "refusal": ""}))
    assert page.open == []
    assert ("The plan is not shown:" in page.texts) == bool(why)


@pytest.mark.parametrize("plan", [None, [], "x", {}, 5])
def test_no_plan_at_all_is_not_drawn(plan):
    assert "it has not the form of a plan" in placement_view("p", plan, "", SEEN)["refusal"]


def test_a_refusal_is_shown_as_it_is():
    assert placement_view("p", None, f"edited{EVIL}", SEEN) == {"file": "p", "refusal": f"edited{EVIL[:-6]}\\u202e\\x1b[31m"}
    assert "no plan has" not in page_of({}, placement=None)
    assert 'id="placement"' not in page_of({}, placement=None)


def test_no_name_in_a_plan_becomes_markup(plan):
    more = {"reason": EVIL, "leave": [EVIL], "come": [EVIL], "pages_1g_missing": {EVIL: 1}}
    plan["hosts"] = {f"{name}{EVIL}": {**host, **more} for name, host in plan["hosts"].items()}
    for host in plan["hosts"].values():
        for part in (host["room"], host["before"]["nodes"], host["after"]["nodes"]):
            part[EVIL] = part.pop("0")
    for entry in (*plan["moves"], *plan["guests"], *plan["unplaced"]):
        entry.update({key: f"{value}{EVIL}" for key, value in entry.items() if isinstance(value, str) and key != "change"})
    plan["unplaced"][0]["change"] = EVIL
    plan.update(left_out={EVIL: EVIL}, remarks=[EVIL], what_if={"hosts": [EVIL], "guests": {EVIL: {"more": 1, "hosts": {}}}})
    drawn(plan)
    text = page_of({EVIL: {"unreachable": True}}, placement={"file": EVIL, "plan": plan, "refusal": ""})
    page = Page(text)
    assert page.open == []
    assert "img" not in page.tags
    assert [name for _tag, name, _value in page.attributes if name.startswith("on") or name == "style"] == []
    assert text.count("<script") == text.count("</script>") == 2
    section = text[text.index('<section id="placement"') : text.index('<section id="nodes"')]
    assert "\u202e" not in section
    assert "\x1b" not in section


def test_every_name_of_the_example_is_on_the_page(plan):
    page = Page(page_of({}, placement={"file": "placement.yml", "plan": plan, "refusal": ""}))
    text = " ".join(page.texts)
    for word in ("kvm01", "plc1", "motion1", "vision1", "3 hosts change", "2 steps of moves", "6 cores more on kvm03 node 0"):
        assert word in text
    assert ("a", "href", "#placement") in page.attributes
