# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page: every state of a node, names that are markup, no way out, and nothing that a broken node could spoil."""

from __future__ import annotations

import json
import re
import time

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.files import accounting_document, csv_rows
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import (
    Input,
    account_fleet,
    findings_of,
    report_view,
    state_of,
)
from unit.fleets import foreign, large, latency, node_info
from unit.hostile import places, replaced
from unit.pages import FINDING, NOW, SPECS, Page, page_of


@pytest.mark.parametrize(
    ("node", "state", "reason"),
    [
        ({"unreachable": True, "error": "no route"}, "unreachable", "no route"),
        ({"info": None, "error": "python3 is missing"}, "failed", "python3 is missing"),
        ({}, "failed", "it returned no result"),
        ({"info": {"missing": []}, "verify": {"findings": []}}, "ok", ""),
        ({"info": {"missing": []}, "verify": {"findings": [FINDING]}}, "findings", "1 finding"),
        ({"info": {"missing": []}}, "half", "not compared"),
        (
            {"info": {"missing": []}, "verify": {"error": "the partition file is damaged"}},
            "half",
            "the partition file is damaged",
        ),
        ({"info": {"missing": [{"part": "libvirt", "state": "absent", "reason": "-"}]}, "verify": {"findings": []}}, "ok", ""),
        (
            {"info": {"missing": [{"part": "libvirt", "state": "broken", "reason": "is off"}]}, "verify": {"findings": []}},
            "half",
            "libvirt: is off",
        ),
        (
            {"info": {"missing": [{"part": "partition file", "state": "absent", "reason": "none"}]}},
            "new",
            "none",
        ),
        (
            {"info": {"missing": [{"part": "partition file", "state": "broken", "reason": "damaged"}]}},
            "half",
            "partition file: damaged",
        ),
        ({"info": {"missing": [], "captured": True}}, "captured", "nothing was compared"),
        (
            {"info": {"missing": [{"part": "partition file", "state": "absent", "reason": "none"}], "captured": True}},
            "captured",
            "files",
        ),
        ({"info": {"missing": [], "captured": True}, "verify": {"findings": [FINDING]}}, "findings", "1 finding"),
        ({"info": {"missing": [], "captured": "yes"}, "verify": {"findings": []}}, "ok", ""),
    ],
)
def test_state_of_a_node(node, state, reason):
    found = state_of(node, findings_of(node.get("verify")))
    assert found[0] == state
    assert reason in found[1]


def test_nodes_stand_as_people_count():
    nodes = {name: {"info": node_info(name, SPECS), "verify": {"findings": [FINDING]}} for name in ("h10", "h2", "h1")}
    books = account_fleet(nodes)
    view = report_view(Input(nodes, NOW), books)
    assert [node["host"] for node in view["nodes"]] == ["h1", "h2", "h10"]
    assert view["rules"][0]["nodes"] == ["h1", "h2", "h10"]
    assert list(accounting_document(Input(nodes, NOW), books)["nodes"]) == ["h1", "h2", "h10"]
    assert list(dict.fromkeys(row[0] for row in csv_rows(books)[1:])) == ["h1", "h2", "h10"]


def test_findings_come_worst_first_and_old_and_new_names_are_known():
    drift = [
        {**FINDING, "severity": "info"},
        FINDING,
        {**FINDING, "severity": "error", "repair": "site playbook", "source": "domain"},
        "damaged",
    ]
    found = findings_of({"findings": drift})
    assert [item["severity"] for item in found] == ["error", "", "info"]
    assert [item["repair"] for item in found] == ["site playbook", "irq_affinity role", "irq_affinity role"]


def test_every_kind_of_node_is_on_the_page_and_none_keeps_another_off():
    damaged = node_info("n", SPECS)
    damaged["guests"][0]["threads"] = 7
    nodes = {
        "good": {"info": node_info("good", SPECS), "verify": {"findings": []}},
        "drifted": {"info": node_info("drifted", SPECS), "verify": {"findings": [FINDING]}},
        "gone": {"unreachable": True, "error": "no route to host"},
        "silent": {"error": "python3 not found"},
        "bare": {
            "info": {
                **node_info("bare", []),
                "partition": {},
                "missing": [{"part": "partition file", "state": "absent", "reason": "no file"}],
            }
        },
        "future": {"info": {**node_info("future", []), "format": 2}},
        "damaged": {"info": damaged},
    }
    text = page_of(nodes)
    Page(text)
    for words in (
        "no route to host",
        "python3 not found",
        "no file",
        "has format 2",
        "cannot be used",
        "1 finding",
        "as planned",
    ):
        assert words in text
    document = accounting_document(Input(nodes, NOW), account_fleet(nodes))
    assert {host: node["state"] for host, node in document["nodes"].items()} == {
        "good": "ok", "drifted": "findings", "gone": "unreachable", "silent": "failed", "bare": "new", "future": "failed", "damaged": "failed",
    }  # fmt: skip


def test_captured_machines_are_no_failure():
    captured = {"info": {**node_info("c", SPECS), "captured": True}}
    text = " ".join(re.sub(r"<[^>]*>", " ", page_of({"c1": captured, "c2": captured})).split())
    assert "Nodes 2 captured, not compared Realtime CPUs" in text
    assert "as planned" not in text
    assert "No node was compared with a partition file." in text
    mixed = {"c": captured, "good": {"info": node_info("good", SPECS), "verify": {"findings": []}}}
    text = " ".join(re.sub(r"<[^>]*>", " ", page_of(mixed)).split())
    assert "Nodes 1 of 1 as planned ◇ 1 captured, not compared" in text
    assert accounting_document(Input(mixed, NOW), account_fleet(mixed))["nodes"]["c"]["state"] == "captured"


def test_a_run_that_measured_nothing_is_on_the_page():
    empty = {**latency("n1", started=NOW, result="inconclusive"), "max_us": None, "per_cpu": [], "histogram": {"counts": {}}}
    text = page_of({"n1": {"info": node_info("n1", [])}}, [latency("n1", started="2026-11-22T00:00:00Z"), empty])
    Page(text)
    assert "not measured" in text
    assert "nothing measured" in text
    assert "None" not in re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL).replace(">None.<", "").replace(
        "<p>None on", ""
    )


def test_tables_have_heads_with_a_scope():
    page = Page(page_of({"n1": {"info": node_info("n1", SPECS), "verify": {"findings": [FINDING]}}}))
    scopes = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert len(scopes) == page.tags.count("th")
    named = [tag for tag, name, _value in page.attributes if tag == "svg" and name in ("aria-label", "aria-hidden")]
    assert len(named) == page.tags.count("svg")


def test_a_cell_that_is_a_formula_is_text_in_a_spreadsheet():
    info = node_info("n1", [])
    info["guests"].append(foreign("=cmd()", [3], owner="+1", project="@x"))
    header, *rows = csv_rows(account_fleet({"n1": {"info": info}}))
    row = dict(zip(header, next(row for row in rows if "cmd" in row[header.index("user")] and row[1] == "cpu")))
    assert (row["user"], row["owner"], row["project"], row["exclusive"]) == ("'=cmd()", "'+1", "'@x", "yes")


def test_json_tells_the_same_rows_as_csv():
    nodes = {"n1": {"info": node_info("n1", SPECS), "verify": {"findings": []}}}
    books = account_fleet(nodes)
    document = json.loads(json.dumps(accounting_document(Input(nodes, NOW), books)))
    assert len(document["nodes"]["n1"]["holdings"]) == len(csv_rows(books)) - 1
    assert [entry["owner"] for entry in document["owners"]] == ["(platform)", "automation", "protection", "robotics"]


def test_the_report_takes_time_in_proportion_to_the_nodes():
    """Ten times the nodes take ten times as long, not a hundred times; tests/bench says how many seconds that is."""

    def seconds(count):
        nodes = large(count, 20)
        begun = time.process_time()
        text = render_page(report_view(Input(nodes, NOW), account_fleet(nodes)))
        spent = time.process_time() - begun
        assert text.count('<details class="node"') == count
        return spent

    few = min(seconds(10) for _again in range(3))
    assert seconds(100) < 30 * few


@pytest.mark.parametrize("value", ["<script>x</script>{{ x }}\x1b[2J", -1, None, [[]], {"a": {}}, 10**30], ids=type)
def test_a_node_that_lies_in_any_field_keeps_no_other_off_the_page(value):
    """A fleet of liars, each in one field; the other node is shown as ever, and no text becomes markup."""
    good = {"info": node_info("good", SPECS[:1]), "verify": {"findings": []}}
    one = {"info": node_info("bad", SPECS[:1]), "verify": {"findings": [FINDING]}}
    kinds = [path for path in places(one) if all(not str(key).isdecimal() or key in (0, "0") for key in path)]
    assert len(kinds) > 80
    liars = {"bad-" + "-".join(map(str, path)): replaced(one, path, value) for path in kinds}
    nodes = {"good": good, **liars}
    given, books = Input(nodes, NOW), account_fleet(nodes)
    document = accounting_document(given, books)
    assert document["nodes"]["good"]["state"] == "ok"
    assert all(isinstance(cell, (str, int, float, type(None))) for row in csv_rows(books) for cell in row)
    json.dumps(document)
    assert "<script>x" not in render_page(report_view(given, books))


def test_a_number_that_no_machine_has_spoils_no_sum_of_the_fleet():
    good = node_info("a", SPECS)
    paths = [("memory", "0", name) for name in ("total_mib", "free_mib", "guest_mib")]
    paths += [("memory", "0", "pages", "2M", "have"), ("memory", "0", "pages", "1G", "free"), ("guests", 0, "memory_mib")]
    for path in paths:
        for value in (float("nan"), float("inf"), -float("inf"), 1.7e308, 10**350):
            nodes = {"a": {"info": replaced(good, path, value)}}
            assert f"{'.'.join(map(str, path))} is " in account_fleet(nodes).broken["a"]
    given = Input({**nodes, "b": {"info": good}}, NOW)
    books = account_fleet(given.nodes)
    assert list(books.shown) == ["b"]
    document = json.dumps(accounting_document(given, books), allow_nan=False)
    assert json.loads(document)["nodes"]["a"]["state"] == "failed"


def test_a_measurement_that_cannot_be_drawn_hides_no_other():
    good = latency("a", started=NOW)
    broken = {
        **latency("b", started=NOW),
        "max_us": float("inf"),
    }  # check_result refuses it; so would any that it does not know yet
    view = report_view(Input({}, NOW, (broken, good)), account_fleet({}))
    assert [item["host"] for item in view["latency"]] == ["a"]
    (rejected,) = view["rejected"]
    assert rejected["file"] == "b cyclictest standard"
    assert "cannot be drawn" in rejected["reason"]
    assert "b cyclictest standard" in render_page(view)


def test_of_a_verdict_the_page_shows_a_bounded_part():
    long = latency("a", started=NOW, result="fail")
    long["verdict"]["reasons"] = ["x" * 10000] * 1000
    assert len(render_page(report_view(Input({}, NOW, (long,)), account_fleet({})))) < 1 << 20


def test_nodes_are_in_natural_order_everywhere():
    nodes = {name: {"error": "it did not answer", "unreachable": True} for name in ("kvm10", "kvm2", "kvm1")}
    given = Input(nodes, "2026-11-28T04:05:06Z", [], [], "x")
    books = account_fleet(nodes)
    assert [node["host"] for node in report_view(given, books)["nodes"]] == ["kvm1", "kvm2", "kvm10"]
    assert list(accounting_document(given, books)["nodes"]) == ["kvm1", "kvm2", "kvm10"]


def test_instances_of_nova_are_shown_by_project_and_flavor():
    """Two projects of one name are two; what a tenant typed is text."""
    info = node_info("n1", [])
    web = {"owner": "ops", "class": "rt.small", "instance": "<b>web</b>{{ x }}", "owner_id": "u1"}
    info["guests"] += [
        foreign("instance-00000001", [2], manager="nova", project="grid", project_id="p1", **web),
        foreign("instance-00000002", [3], manager="nova", project="grid", project_id="p2", **web),
        foreign("theirs", [], running=False),
    ]
    nodes = {"n1": {"info": info, "verify": {"findings": []}}}
    books = account_fleet(nodes)
    document = accounting_document(Input(nodes, NOW), books)
    assert [entry["project"] for entry in document["projects"]] == ["(not named)", "(platform)", "grid (p1)", "grid (p2)"]
    assert [entry["owner"] for entry in document["owners"]] == ["(not named)", "(platform)", "ops"]
    (flavor,) = [entry for entry in document["classes"] if entry["guest_class"] == "rt.small"]
    assert (flavor["guests"], flavor["own_cpus"] + flavor["shared_vcpus"]) == (2, 2)
    row = next(row for row in document["nodes"]["n1"]["holdings"] if row["user"] == "instance-00000001")
    assert (row["instance"], row["owner_id"], row["project_id"], row["manager"]) == ("<b>web</b>{{ x }}", "u1", "p1", "nova")
    text = page_of(nodes)
    Page(text)
    assert "<b>web" not in text
    assert "&lt;b&gt;web&lt;/b&gt;{{ x }}" in text
    assert 'title="p1"' in text
