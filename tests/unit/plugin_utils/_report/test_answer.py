# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a run of the report says how the nodes are, not only where the files are."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.plugin_utils._report.answer import report_answer
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import Input, account_fleet, report_view
from unit.fleets import latency, node_info
from unit.pages import FINDING, NOW, SPECS


def answer_of(nodes, results=()):
    return report_answer(report_view(Input(nodes, NOW, results), account_fleet(nodes)), ["/x/report.html"])


def test_the_answer_of_a_fleet():
    untouched = {
        **node_info("h3", []),
        "partition": {},
        "missing": [{"part": "partition file", "state": "absent", "reason": "none"}],
    }
    nodes = {
        "h10": {"info": node_info("h10", SPECS), "verify": {"findings": []}},
        "h2": {"info": node_info("h2", SPECS), "verify": {"findings": [FINDING]}},
        "h3": {"info": untouched},
        "h4": {"unreachable": True, "error": "no route to \x1b[2J host"},
    }
    lines = answer_of(nodes, [latency("h2", started=NOW)])
    assert lines == [
        "== Report ==",
        "1 as planned: h10",
        "1 differs from its plan: h2",
        "1 not configured: h3",
        "1 unreachable: h4",
        r"h4: no route to \x1b[2J host",
        "finding interrupt: on h2; what must hold: No movable interrupt may fire on an isolated CPU.",
        "  h2, IRQ 24: CPUs 5, expected CPUs 0; remedy: irq_affinity role",
        f"guests: {2 * len(SPECS)}",
        next(line for line in lines if line.startswith("realtime CPUs: ")),
        "latency: 1 of 1 passed, 0 failed",
        "written: /x/report.html",
    ]
    assert " free; the largest real-time guest that fits has " in lines[9]


def test_captured_machines_have_a_line_of_their_own():
    lines = answer_of({host: {"info": {**node_info(host, SPECS), "captured": True}} for host in ("c1", "c2")})
    assert lines[:2] == ["== Report ==", "2 captured, not compared: c1, c2"]
    assert not [line for line in lines if line.startswith(("c1", "c2", "0 "))]


def test_a_rule_that_is_broken_in_many_places_names_the_first():
    findings = [{**FINDING, "resource": f"IRQ {number}"} for number in range(5)]
    lines = answer_of({"h1": {"info": node_info("h1", SPECS), "verify": {"findings": findings}}})
    assert [line.split(":")[0] for line in lines if line.startswith("  h1, ")] == ["  h1, IRQ 0", "  h1, IRQ 1", "  h1, IRQ 2"]
    assert "  and 2 more, in the report" in lines


def test_the_answer_of_no_node_at_all():
    assert answer_of({}) == ["== Report ==", "guests: 0", "written: /x/report.html"]


def test_what_must_hold_is_said_of_a_large_fleet_too():
    hosts = [f"kvm{number:03}.plant-north.example.com" for number in range(60)]
    lines = answer_of({host: {"info": node_info(host, SPECS), "verify": {"findings": [FINDING]}} for host in hosts})
    said = " ".join(line.strip() for line in lines)
    assert "and 57 more; what must hold: No movable interrupt may fire on an isolated CPU." in said
    assert said.startswith(f"== Report == 60 differs from its plan: {hosts[0]}, ")
