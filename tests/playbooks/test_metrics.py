# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_metrics in site and undo: only where it is asked for; and with which call each playbook leaves the time of its end."""

from __future__ import annotations

import json

import pytest

AUDIT = {
    "kernel": {"release": "6.1", "realtime": True, "isolated": ""},
    "managed_interrupts": [],
    "smi": {"count": 0, "reason": ""},
}
RESULTS = {"results": {"rt_audit": AUDIT}}


def ends(nodes):
    """What each look was told to leave."""
    return [json.loads(line) for line in nodes.ends.read_text().splitlines()]


def left(calls):
    """The calls that leave times, and which."""
    return [
        (call["module"], call["runs"]) for call in calls if call.get("runs") and not call["check"] and call["module"] != "rt_plan"
    ]


def asked(calls):
    return [(call["check"], call.get("enabled"), call.get("state")) for call in calls if call["module"] == "rt_metrics"]


def test_a_node_that_was_not_asked_is_not_looked_at(nodes):
    code, said, calls = nodes.run("realtime.kvm.site", RESULTS, "--limit", "node1")
    assert code == 0, said[-2000:]
    assert asked(calls) == []
    assert ends(nodes) == [["site", "verify"]], "the look at a node that rests is its last"


@pytest.mark.parametrize("enabled", [True, False])
def test_a_node_that_was_asked_is_planned_changed_and_verified(nodes, enabled):
    answers = {"rt_metrics": "none", **RESULTS}
    code, said, calls = nodes.run("realtime.kvm.site", answers, "--limit", "node1", rt_metrics_enabled=enabled)
    assert code == 0, said[-2000:]
    assert [(check, str(given)) for check, given, _state in asked(calls)] == [(True, str(enabled)), (False, str(enabled))]
    assert [call["module"] for call in calls][-2:] == ["rt_metrics", "rt_audit"]
    assert left(calls) == [("rt_audit", ["site", "verify"])]


def test_its_tag_alone_sets_it_up_and_is_no_whole_site(nodes):
    answers = {"rt_metrics": "none", **RESULTS}
    code, said, calls = nodes.run(
        "realtime.kvm.site", answers, "--limit", "node1", "--tags", "rt_metrics", rt_metrics_enabled=True
    )
    assert code == 0, said[-2000:]
    assert [check for check, _given, _state in asked(calls)] == [True, False]
    assert (ends(nodes), left(calls)) == ([[]], [])


def test_verify_leaves_its_own_time(nodes):
    code, said, calls = nodes.run("realtime.kvm.verify", RESULTS, "--limit", "node1")
    assert code == 0, said[-2000:]
    assert left(calls) == [("rt_audit", ["verify"])]


def test_site_with_the_tag_of_verify_is_no_run_of_site(nodes):
    code, said, _calls = nodes.run("realtime.kvm.site", RESULTS, "--limit", "node1", "--tags", "verify")
    assert code == 0, said[-2000:]
    assert ends(nodes) == [["verify"]]


@pytest.mark.parametrize("changing", ["", "kvm_host", "ovs_dpdk", "rt_domain"])
def test_guests_ends_with_the_look_or_with_the_guests(nodes, changing):
    answers = {changing: "none"} if changing else {}
    code, said, calls = nodes.run("realtime.kvm.guests", answers, "--limit", "node1")
    assert code == 0, said[-2000:]
    assert ends(nodes) == [["guests"]]
    assert left(calls) == ([("rt_domain", ["guests"])] if changing else [])
    assert not changing or calls[-1]["module"] == "rt_domain"


def test_undo_takes_it_back_first(nodes):
    code, said, calls = nodes.run("realtime.kvm.undo", {"rt_metrics": "none"}, "--limit", "node1")
    assert code == 0, said[-2000:]
    assert [(check, state) for check, _given, state in asked(calls)] == [(True, "absent"), (False, "absent")]
    assert next(call["module"] for call in calls if not call["check"]) == "rt_metrics"


def test_a_refusal_is_shown_before_any_change(nodes):
    answers = {"fail": {"rt_metrics present": "rt_metrics_directory: /srv/x is no folder"}, **RESULTS}
    code, said, calls = nodes.run("realtime.kvm.site", answers, "--limit", "node1", rt_metrics_enabled=True)
    assert code == 2
    assert "rt_metrics_directory: /srv/x is no folder" in said
    assert all(call["check"] for call in calls)


@pytest.mark.parametrize("enabled", ["maybe", 2])
def test_a_value_that_is_neither_is_refused_by_name(nodes, enabled):
    code, said, calls = nodes.run("realtime.kvm.site", RESULTS, "--limit", "node1", rt_metrics_enabled=enabled)
    assert (code != 0, calls) == (True, [])
    assert "rt_metrics_enabled" in said
