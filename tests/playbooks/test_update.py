# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/update.yml: one node after the other, guests down before the first package, and each refusal before any change. Holds in site and undo."""

from __future__ import annotations

import pytest

GUESTS = {"running": ["plc1"], "guests": ["plc1"]}
AUDIT = {"kernel": {"release": "6.2", "realtime": True, "isolated": ""}, "managed_interrupts": [], "smi": {"count": 0}}
NEEDED = {"reboot_required": True, "following": {"release": "6.2", "tokens": []}}


def answers(**more):
    return {"package_update": "reboot", "results": {"rt_domain_power": GUESTS, "rt_audit": AUDIT}, **more}


def steps(calls):
    """What was really done, without what only looks."""
    looks = ("kernel_arguments", "rt_audit")
    made = [call for call in calls if not call["check"] and call["module"] not in looks]
    return [(call["module"], call["state"]) if call["module"] == "rt_domain_power" else call["module"] for call in made]


DOWN, UP = ("rt_domain_power", "stopped"), ("rt_domain_power", "started")


def test_guests_go_down_before_the_first_package_and_nodes_one_by_one(nodes):
    code, said, calls = nodes.run(
        "realtime.kvm.update",
        answers(),
        rt_kernel_reboot_with_guests=True,
        realtime_hold_packages=True,
        realtime_update_serial="",
    )
    assert code == 0, said
    # the reboot looks for guests again; those of the stand-in never end
    assert steps(calls) == [DOWN, "package_update", DOWN, "reboot", UP, "package_holds"] * 2
    assert [call["module"] for call in calls].count("rt_audit") == 2
    assert "reboot package_update a -> b" in said
    assert '"node1: done", "node2: done"' in said


def test_a_new_kernel_is_booted_by_the_same_role_as_in_site(nodes):
    kernel = {"kernel_arguments": {**NEEDED, "following": {"release": "6.1", "tokens": []}}}
    given = answers(after_reboot={"kernel_arguments": {"reboot_required": False, "stopped_guests": ["plc1"]}})
    given["results"].update(kernel)
    code, said, calls = nodes.run("realtime.kvm.update", given, "--limit", "node1", rt_kernel_reboot_with_guests=True)
    assert code == 0, said
    assert steps(calls).count("reboot") == 1
    assert "Reboot | Read what the boot loader will boot" in said
    assert steps(calls)[-1] == UP


def test_a_node_without_updates_is_left_alone(nodes):
    code, said, calls = nodes.run("realtime.kvm.update", {"results": {"rt_domain_power": GUESTS}})
    assert code == 0, said
    assert steps(calls) == []
    assert "nothing to change" in said


@pytest.mark.parametrize(
    ("given", "variables", "said"),
    [
        (
            answers(),
            {"realtime_max_disruption": "guest"},
            "realtime_max_disruption is guest, but the plan needs more: package_update (reboot)",
        ),
        (answers(), {"realtime_reboot_allowed": False}, "node1: an update replaces what runs, so the node reboots after it"),
        (answers(fail={"rt_domain_power stopped": "guests run on this node: plc1"}), {}, "guests run on this node: plc1"),
    ],
    ids=["limit", "no reboot", "guests"],
)
def test_what_is_not_allowed_is_refused_before_any_change(nodes, given, variables, said):
    code, found, calls = nodes.run("realtime.kvm.update", given, **variables)
    assert code != 0
    assert said in found
    assert steps(calls) == []


def test_guests_run_again_if_the_update_fails_and_the_next_node_is_left_alone(nodes):
    given = answers(fail={"package_update present": "no space left on device"})
    code, said, calls = nodes.run("realtime.kvm.update", given, rt_kernel_reboot_with_guests=True)
    assert code != 0
    assert steps(calls) == [DOWN, "package_update", UP]
    assert "node1 was not updated, or only in part, and not rebooted; its guests run again: no space left on device" in said


def test_check_mode_shows_it_and_does_nothing(nodes):
    code, said, calls = nodes.run("realtime.kvm.update", answers(), "--check", rt_kernel_reboot_with_guests=True)
    assert code == 0, said
    assert steps(calls) == []
    power = [call["state"] for call in calls if call["module"] == "rt_domain_power"]
    assert power == ["stopped"] * 2 + ["stopped", "stopped", "started"] * 2, "each change is shown once"


def test_site_holds_where_it_is_asked_to_and_undo_always_releases(nodes):
    for given, state in (
        ({}, None),
        ({"realtime_hold_packages": True}, "present"),
        ({"realtime_hold_packages": False}, "absent"),
    ):
        code, said, calls = nodes.run("realtime.kvm.site", {}, "--tags", "packages", "--limit", "node1", **given)
        assert code == 0, said
        holds = [(call["check"], call["state"]) for call in calls if call["module"] == "package_holds"]
        assert holds == ([(True, state), (False, state)] if state else [])
    code, said, calls = nodes.run("realtime.kvm.undo", {}, "--limit", "node1")
    assert code == 0, said
    assert [call["state"] for call in calls if call["module"] == "package_holds" and not call["check"]] == ["absent"]
