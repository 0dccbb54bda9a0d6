# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few lines at the end of a plan and of a run."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.answer import answer, summary
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, Node, plan_document

CHANGE = {"resource": "x", "before": None, "after": "y", "disruption": "none", "reason": ""}
REBOOT = {"reboot_required": True, "running": {"release": "6.1", "matches": True}, "following": {"release": "6.1-rt"}}


def test_what_a_plan_comes_to(node):
    calm = {layer: result for layer, result in node.results.items() if layer != "kernel"}
    unlisted = {**calm, "guests": {**node.results["guests"], "unlisted": ["old1", "old2"]}}
    nodes = {
        "h10": node,
        "h2": replace(node, results=unlisted),
        "h3": Node({"kernel": REBOOT}),
        "h4": Node({}),
        "h5": Node({}, refused=["no"]),
        "h6": Node({}, lost="it cannot be reached"),
        "h7": Node({"kernel": REBOOT}, limit="none"),
    }
    assert summary(plan_document(Fleet(nodes)), ["/x/plan.html", "/x/plan.json"]) == [
        "== In short ==",
        "refused: h5, h6, h7",
        "needs a reboot: h3, h7, h10",
        "changes: h2",
        "nothing to change: h4",
        "guests: 8",
        "packages: 10",
        "not everything is counted: h2",
        "not listed any more on h2: old1, old2",
        "written: /x/plan.html",
        "written: /x/plan.json",
    ]


def test_what_is_read_again_after_the_changes_is_said_where_a_look_has_planned():
    """A plan that shows no change of a layer must not stand for none where an earlier layer's change decides it."""
    results = {"partition": {"changes": [CHANGE]}, "power": {}, "guests": {}}
    looked = {"h1": Node(results, looked=True), "h2": Node(results, looked=True), "h3": Node({"power": {}}, looked=True)}
    line = "read again after the changes on h1, h2: power, guests; what they then need is not in this plan"
    assert line in summary(plan_document(Fleet(looked)))
    others = {host: Node(results) for host in looked}  # as undo plans them, which runs all
    assert not [line for line in summary(plan_document(Fleet(others))) if "read again" in line]


def test_what_a_run_has_come_to(node):
    guests = {**node.results["guests"], "unlisted": ["old"], "restart_required": {"plc1": ["memory"]}}
    results = {"switch": node.results["switch"], "guests": guests}
    states = {"h1": "done", "h2": "waits for its reboot", "h3": "done"}
    lines = answer(states, plan_document(Fleet({"h1": Node(results), "h2": Node({}), "h3": Node({})})))
    assert lines[0] == "== Guests =="
    assert [line.split()[:2] for line in lines[3:7]] == [["historian", "h1"], ["motion", "h1"], ["plc1", "h1"], ["plc2", "h1"]]
    assert lines[lines.index("== Result ==") :] == [
        "== Result ==",
        "h1, h3: done",
        "h2: waits for its reboot",
        "guest plc1 on h1: waits for a restart (memory)",
        "not listed any more on h1: old",
    ]


def test_a_run_without_guests():
    assert answer({"h1": "done"}, plan_document(Fleet({"h1": Node({})}))) == ["== Result ==", "h1: done"]


def test_a_large_fleet_is_counted_and_its_state_is_said():
    hosts = [f"kvm{number:03}.plant-north.example.com" for number in range(60)]
    document = plan_document(Fleet({host: Node({}) for host in hosts}))
    said = " ".join(line.strip() for line in answer(dict.fromkeys(hosts, "was rebooted"), document))
    assert said == f"== Result == {', '.join(hosts[:3])} and 57 more: was rebooted"
    assert " ".join(line.strip() for line in summary(document)).endswith(f"{hosts[11]} and 48 more")
