# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as data: what the modules answered, guest by guest, and no answer that spoils it."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.answer import answer, summary
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import (
    Fleet,
    Node,
    is_unchanged,
    node_plan,
    plan_document,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.page import plan_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.picture import planned_map
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.text import plan_lines
from unit.hostile import VALUES, places, replaced


def change(resource, before="a", after="b", disruption="none"):
    return {"resource": resource, "before": before, "after": after, "disruption": disruption, "reason": ""}


def test_a_plan_that_the_modules_made(node):
    plan = node_plan(node)
    assert (plan["refused"], plan["disruption"], plan["limit"], plan["above_limit"], plan["reboot"]) == (
        [],
        "reboot",
        "reboot",
        [],
        True,
    )
    assert not plan["at_least"], "nothing is above a reboot"
    assert plan["not_counted"] == [
        "a switch of the machine: captured files show none",
        "the boot loader's files and the kernel that boots next: captured files hold no boot loader",
        "guests of the machine: captured files show none",
    ]
    assert plan["deferred"] == ["partition", "power", "interrupts", "host"]
    assert [(row["node"], row["size"], row["have"], row["users"]) for row in plan["hugepages"]] == [
        (0, "2M", 0, {"plc1": 1024, "plc2": 512, "motion": 1024, "the switch": 416}),
        (1, "2M", 0, {"the switch": 416}),
    ]
    assert plan["sets"]["housekeeping"] == {"cpus": "0-1,40-41", "count": 4, "nodes": {"0": "0,40", "1": "1,41"}}
    assert [item["name"] for item in plan["guests"]] == ["historian", "motion", "plc1", "plc2"]
    plc1 = plan["guests"][2]
    assert {key: plc1[key] for key in ("state", "realtime", "vcpus", "realtime_vcpus", "emulator", "numa_nodes", "happens")} == {
        "state": "running", "realtime": True, "vcpus": {"0": "4", "1": "6", "2": "8", "3": "10"}, "realtime_vcpus": "1-3", "emulator": "0,40",
        "numa_nodes": [0], "happens": ["new", "starts"],
    }  # fmt: skip
    assert (plc1["memory_mib"], plc1["hugepages"], plc1["pages"]) == (2048, "2M", {"0": 1024})
    (port,) = plc1["ports"]
    assert {key: port[key] for key in ("network", "bridge", "port", "polled_by")} == {
        "network": "control", "bridge": "br-control", "port": "plc1.control", "polled_by": "2",
    }  # fmt: skip
    historian = plan["guests"][0]
    assert (historian["vcpus"], historian["vcpu_count"], historian["floating"], historian["pages"]) == ({}, 2, "0-1,40-41", {})
    assert [port["network"] for port in historian["ports"]] == ["office"]
    assert len(plan["packages"]) == 10
    assert not is_unchanged(plan)
    assert json.loads(json.dumps(plan)) == plan


def test_nodes_stand_in_natural_order():
    document = plan_document(Fleet({name: Node({}) for name in ("h10", "h2", "h1")}))
    assert list(document["nodes"]) == ["h1", "h2", "h10"]


@pytest.mark.parametrize(
    ("changes", "happens", "disruption"),
    [
        ([change("domain plc1", None)], ["new"], "none"),
        ([change("domain plc1", None), change("domain plc1: autostart"), change("domain plc1: state", "shut off", "running")], ["new", "starts"], "none"),
        ([change("domain plc1: state", "running", "shut off", "guest"), change("domain plc1", "<x/>", None)], ["stops", "removed"], "guest"),
        ([change("domain plc1: restart", disruption="guest")], ["restarts"], "guest"),
        ([change("domain plc1: vcpu0 cpus", "2", "3"), change("domain plc1: vcpu1 cpus", "3", "4")], ["moves"], "none"),
        ([change("domain plc1: memory"), change("domain plc1", "<x/>", "<y/>")], ["changes", "redefined"], "none"),
        ([change("domain plc10", None), change("/x")], [], "none"),
    ],
)  # fmt: skip
def test_what_happens_to_a_guest(changes, happens, disruption):
    domain = {
        "name": "plc1",
        "state": "running",
        "realtime": False,
        "vcpus": {},
        "floating": "0",
        "emulator": "0",
        "nodes": [],
        "memory_mib": 64,
    }
    found = node_plan(Node({"guests": {"changes": changes, "domains": [{**domain, "macs": {}}]}}))["guests"][0]
    assert (found["name"], found["happens"], found["disruption"]) == ("plc1", happens, disruption)


def test_a_guest_that_goes_is_listed():
    plan = node_plan(Node({"guests": {"changes": [change("domain old", "<x/>", None)], "domains": []}}))
    assert [(item["name"], item["state"], item["happens"]) for item in plan["guests"]] == [("old", "absent", ["removed"])]


def test_packages_of_several_roles_are_counted_once_and_updates_are_packages():
    planned = [{"name": name, "before": "", "after": "1"} for name in ("b10", "b2", "b2")]
    update = {"changes": [change("package:libc6", "2.41-1", "2.41-2", "reboot"), change("hold:qemu", None)]}
    plan = node_plan(Node({"packages": update}, planned))
    assert [(item["name"], item["before"], item["after"]) for item in plan["packages"]] == [
        ("b2", "", "1"), ("b10", "", "1"), ("libc6", "2.41-1", "2.41-2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("node", "unchanged"),
    [
        (Node({}), True),
        (Node({"partition": {"changes": []}, "host": {"installed": True}, "switch": {"installed": False, "ports": []}}), True),
        (Node({"guests": {"skipped": True}}), True),
        (Node({"power": {"changes": [change("x")]}}), False),
        (Node({"host": {"installed": False}}), False),
        (Node({"switch": {"installed": False, "ports": [{"guest": "", "network": "control", "name": "p"}]}}), False),
        (Node({}, [{"name": "p", "before": "", "after": "1"}]), False),
        (Node({}, refused=["no"]), False),
        (Node({}, lost="it cannot be reached"), False),
        (Node({"kernel": {"stopped_guests": ["plc1"]}}), False),
        (
            Node(
                {"kernel": {"reboot_required": True, "running": {"release": "a", "matches": True}, "following": {"release": "b"}}}
            ),
            False,
        ),
        (Node({"kernel": {"changes": [], "not_counted": ["the boot: no boot loader"]}}), False),
        (Node({"power": {"changes": 7}}), False),
        (Node({}, limit="None"), False),
    ],
)
def test_a_node_is_left_alone_only_if_nothing_is_left_to_do(node, unchanged):
    assert is_unchanged(node_plan(node)) == unchanged


@pytest.mark.parametrize(
    ("node", "least"),
    [
        (Node({"host": {"changes": []}}), False),
        (Node({"kernel": {"changes": [], "not_counted": ["the boot: no boot loader"]}}), True),
        (
            Node(
                {"host": {"changes": [change("x", disruption="reboot")]}, "kernel": {"not_counted": ["the boot: no boot loader"]}}
            ),
            False,
        ),
        (Node({}, refused=["no"]), True),
        (Node({}, lost="it cannot be reached"), True),
    ],
)
def test_the_class_is_the_least_where_something_is_not_counted(node, least):
    document = plan_document(Fleet({"odd": node, "well": Node({})}))
    assert (document["nodes"]["odd"]["at_least"], document["at_least"], document["nodes"]["well"]["at_least"]) == (
        least,
        least,
        False,
    )
    harsh = Node({"host": {"changes": [change("x", disruption="reboot")]}})
    assert not plan_document(Fleet({"odd": node, "harsh": harsh}))["at_least"], "no class is above that of the other node"


def test_a_limit_that_is_none_refuses_the_node():
    plan = node_plan(Node({}, limit="sometimes"))
    assert plan["refused"] == [
        "realtime_max_disruption: 'sometimes' is not a disruption class; choose one of none, stall, guest, reboot"
    ]


def test_what_is_above_the_limit_is_named():
    plan = node_plan(Node({"switch": {"changes": [change("ovs:x", disruption="stall")]}}, limit="none"))
    assert plan["above_limit"] == ["ovs:x (stall)"]


def test_a_refusal_is_named_once():
    assert node_plan(Node({}, refused=["no", "no", "other"]))["refused"] == ["no", "other"]


# -- answers that lie --------------------------------------------------------------------------------


def shown(node):
    """Everything that people and programs get to see of a node's plan, beside one that is well."""
    document = plan_document(Fleet({"well": Node({}), "odd": node}, "2026-11-23T10:15:00Z"))
    maps = {"odd": planned_map("odd", node.results, document["nodes"]["odd"])}
    lines = [*plan_lines(document), *summary(document, ["/x"]), *answer({"odd": "done"}, document)]
    return document, lines, plan_page(document, maps)


def test_no_answer_spoils_the_plan_or_writes_to_the_terminal(node):
    results = {layer: {**result, "changes": result.get("changes", [])[:2], "diff": []} for layer, result in node.results.items()}
    results["partition"]["topology"] = {
        **results["partition"]["topology"],
        "cpus": dict(list(results["partition"]["topology"]["cpus"].items())[:4]),
    }
    chance = random.Random(14)
    cases = [(path, value) for path in places(results) for value in VALUES]
    for path, value in chance.sample(cases, 400):
        odd = replaced(results, path, value)
        if not all(isinstance(result, dict) for result in odd.values()):
            continue  # the action hands over dictionaries alone
        document, lines, page = shown(replace(node, results=odd))
        assert document["nodes"]["well"]["refused"] == []
        assert all(line.isprintable() for line in lines), (path, value)
        assert max(map(len, lines)) <= 118, (path, value)
        assert page.count("<script") == page.count("</script>") == 1
        json.dumps(document, allow_nan=False)


def test_refusals_of_any_text_are_shown_printable(node):
    _document, lines, page = shown(replace(node, refused=["a\n\x1b[2J\u202e", "<script>alert(1)</script>", "x" * (1 << 20)]))
    assert all(line.isprintable() for line in lines)
    assert "<script>alert" not in page
    assert sum(map(len, lines)) < 1 << 20


def test_an_answer_of_many_mib_makes_a_bounded_plan():
    large = {
        "host": {
            "changes": [
                change("x" * (1 << 20), "y" * (1 << 20), "z" * (1 << 20)),
                *(change(f"r{'x' * at}") for at in range(3000)),
            ]
        }
    }
    document, lines, _page = shown(Node(large))
    assert sum(map(len, lines)) < 2 << 20
    assert len(json.dumps(document)) < 8 << 20
