# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests and reboots: who blocks one, and in which order guests and node go down and come up."""

from __future__ import annotations

import pytest
import yaml

NEEDED = {"reboot_required": True, "following": {"release": "6.1", "tokens": []}}
DONE = {"reboot_required": False}
GUESTS = {"running": ["historian", "plc1"], "guests": ["historian", "plc1"]}
ANSWERS = {"results": {"kernel_arguments": NEEDED, "rt_domain_power": GUESTS}, "after_reboot": {"kernel_arguments": DONE}}
DOWN, UP = ("rt_domain_power", "stopped"), ("rt_domain_power", "started")
REFUSED = "guests run on this node, so it is not rebooted: historian, plc1"


def run(nodes, tasks_from, answers, *arguments, **variables):
    """Run an entry point of rt_kernel as site and bios do; return the calls from the first that stops guests."""
    before = [{"ansible.builtin.import_role": {"name": "realtime.kvm.rt_kernel", "tasks_from": "preflight"}}]
    role = {"ansible.builtin.import_role": {"name": "realtime.kvm.rt_kernel", "tasks_from": tasks_from}}
    if tasks_from != "reboot":
        before = []
    book = nodes.folder / "book.yml"
    play = {"hosts": "node1", "gather_facts": False, "tasks": [*before, role], "vars": {"__rt_kernel_restart_reason": "x"}}
    book.write_text(yaml.safe_dump([play]))
    code, said, calls = nodes.run(str(book), answers, *arguments, realtime_reboot_allowed=True, **variables)
    steps = [(call["module"], call.get("state")) for call in calls if not call["check"] and call["module"] != "kernel_arguments"]
    return code, said, steps, calls


@pytest.mark.parametrize("entry", ["reboot", "restart", "undo"])
def test_guests_go_down_before_the_reboot_is_asked_for_and_come_up_after_it(nodes, entry):
    code, said, steps, calls = run(
        nodes, entry, ANSWERS, rt_kernel_reboot_with_guests=True, rt_kernel_shutdown_order=["db"], rt_guest_shutdown_timeout=7
    )
    assert code == 0, said
    assert steps == [DOWN, ("reboot", None), UP]
    assert (
        "node1: historian, plc1 shut down now, for at most 7 s and as long for each of db, and start again after the reboot"
        in said
    )
    power = [call for call in calls if call["module"] == "rt_domain_power"]
    assert {tuple(call["order"]) for call in power} == {("db",)}
    assert [(call["check"], call["allowed"], call["shutdown_timeout_s"], call["force_off"]) for call in power[:2]] == [
        (True, True, 7, False),
        (False, True, 7, False),
    ]


@pytest.mark.parametrize("entry", ["reboot", "restart", "undo"])
def test_a_node_whose_guests_must_not_end_is_not_rebooted(nodes, entry):
    code, said, steps, calls = run(nodes, entry, {**ANSWERS, "fail": {"rt_domain_power stopped": REFUSED}})
    assert code != 0
    assert REFUSED in said
    assert steps == []
    assert [call["allowed"] for call in calls if call["module"] == "rt_domain_power"] == [False]


@pytest.mark.parametrize("entry", ["reboot", "restart", "undo"])
def test_check_mode_shows_the_stop_and_the_start(nodes, entry):
    code, said, steps, calls = run(nodes, entry, ANSWERS, "--check", rt_kernel_reboot_with_guests=True)
    assert code == 0, said
    assert steps == []
    power = [(call["state"], call.get("guests")) for call in calls if call["module"] == "rt_domain_power"]
    assert power == [("stopped", None), ("stopped", None), ("started", GUESTS["guests"])]


def test_a_node_without_guests_is_rebooted_and_none_is_started(nodes):
    answers = {"results": {"kernel_arguments": NEEDED}, "after_reboot": {"kernel_arguments": DONE}}
    code, said, steps, _calls = run(nodes, "reboot", answers)
    assert code == 0, said
    assert steps == [("reboot", None)]


def test_guests_start_also_where_something_else_was_booted_and_that_is_said(nodes):
    answers = {**ANSWERS, "after_reboot": {"kernel_arguments": {**NEEDED, "stopped_guests": GUESTS["guests"]}}}
    code, said, steps, _calls = run(nodes, "reboot", answers, rt_kernel_reboot_with_guests=True)
    assert code != 0
    assert steps == [DOWN, ("reboot", None), UP]
    assert "node1 came back with kernel 6.1" in said


def test_both_are_said_if_guests_cannot_start_there(nodes):
    answers = {
        **ANSWERS,
        "after_reboot": {"kernel_arguments": {**NEEDED, "stopped_guests": ["plc1"]}},
        "fail": {"rt_domain_power started": "guests that ran before the reboot do not run: plc1"},
    }
    code, said, _steps, _calls = run(nodes, "reboot", answers, rt_kernel_reboot_with_guests=True)
    assert code != 0
    assert "do not run: plc1" in said
    assert "node1 came back with kernel 6.1" in said


@pytest.mark.parametrize("entry", ["reboot", "undo"])
def test_guests_that_a_killed_run_left_down_are_started_by_the_next(nodes, entry):
    code, said, steps, _calls = run(nodes, entry, {"results": {"kernel_arguments": {"stopped_guests": ["plc1"]}}})
    assert code == 0, said
    assert steps == [UP]


def test_site_starts_them_too(nodes):
    answers = {"results": {"kernel_arguments": {"stopped_guests": ["plc1"]}}}
    code, _said, calls = nodes.run("realtime.kvm.site", answers, "--limit", "node1", "--tags", "rt_kernel")
    assert code == 0
    assert [(call["state"], call["check"]) for call in calls if call["module"] == "rt_domain_power"] == [("started", False)]


@pytest.mark.parametrize(
    ("entry", "variable"), [("reboot", "rt_kernel_reboot_timeout"), ("restart", "rt_kernel_shutdown_timeout")]
)
def test_a_time_out_below_its_meaning_is_refused_before_any_guest_goes_down(nodes, entry, variable):
    code, said, steps, _calls = run(nodes, entry, ANSWERS, rt_kernel_reboot_with_guests=True, **{variable: -1})
    assert code != 0
    assert f"rt_kernel: {variable}: -1 is not a number of seconds from 1 on" in said
    assert steps == []
