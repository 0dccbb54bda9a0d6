# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/update.yml: one node after the other, guests down before the first package, and each refusal before any change. Holds in site and undo."""

from __future__ import annotations

import json

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
    assert steps(calls) == [DOWN, "package_update", "package_holds", DOWN, "reboot", UP] * 2
    assert [call["module"] for call in calls].count("rt_audit") == 2
    assert "reboot package_update a -> b" in said
    assert "== Result == node1, node2: done" in said


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


@pytest.mark.parametrize("fail", ["package_update present", "rt_domain_power started"])
def test_packages_are_held_again_whatever_fails(nodes, fail):
    given = answers(fail={fail: "it failed"})
    code, said, calls = nodes.run(
        "realtime.kvm.update", given, "--limit", "node1", rt_kernel_reboot_with_guests=True, realtime_hold_packages=True
    )
    assert code != 0, said
    assert [(call["check"], call["state"]) for call in calls if call["module"] == "package_holds"] == [
        (True, "present"),
        (False, "present"),
    ]


@pytest.mark.parametrize("boot", [True, False], ids=["kernel", "libraries"])
def test_a_node_whose_update_was_cut_off_before_its_reboot_is_finished(nodes, boot):
    """No update is left; the node remembers its guests and that it has to reboot."""
    kernel = {"stopped_guests": ["plc1"], **({**NEEDED, "following": {"release": "6.1", "tokens": []}} if boot else {})}
    owed = {
        "rt_domain_power": {"running": [], "guests": []},
        "package_update": {"restart_owed": not boot},
        "kernel_arguments": kernel,
        "rt_audit": AUDIT,
    }
    given = {"results": owed, "after_reboot": {"kernel_arguments": {"reboot_required": False}}}
    for variable, value in (("realtime_reboot_allowed", False), ("realtime_max_disruption", "guest"))[boot : boot + 1]:
        code, said, calls = nodes.run("realtime.kvm.update", given, "--limit", "node1", **{variable: value})
        assert code != 0
        assert f"so the node must reboot, but {variable} is {str(value).lower()}; allow it" in said
        assert steps(calls) == []
    code, said, calls = nodes.run("realtime.kvm.update", given, "--limit", "node1")
    assert code == 0, said
    assert "node1: guests: plc1 were shut down by an earlier run and wait for their start" in said
    assert steps(calls) == ["package_update", "reboot", UP]


def test_guests_that_an_earlier_run_left_down_start_without_a_reboot(nodes):
    given = {"results": {"kernel_arguments": {"stopped_guests": ["plc1"]}, "rt_audit": AUDIT}}
    code, said, calls = nodes.run("realtime.kvm.update", given, "--limit", "node1", realtime_reboot_allowed=False)
    assert code == 0, said
    assert steps(calls) == [UP]
    (up,) = (call for call in calls if call["module"] == "rt_domain_power" and call["state"] == "started")
    assert up["packages_timeout_s"] > 0, "the package manager may still be at work"


def test_site_too_starts_them_where_no_reboot_is_allowed(nodes):
    given = {"results": {"kernel_arguments": {"stopped_guests": ["plc1"]}, "rt_audit": AUDIT}}
    tags = ("--tags", "rt_kernel,recap", "--limit", "node1")
    code, said, calls = nodes.run("realtime.kvm.site", given, *tags, realtime_reboot_allowed=False)
    assert code == 0, said
    assert UP in steps(calls), "it needs no reboot"
    assert "node1: done" in said


FLAKY = """
import os
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = "name: flaky\\nshort_description: x\\ndescription: x\\nauthor: tests"


class Connection(Local):
    transport = "realtime.kvm.flaky"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        if os.path.exists({lost!r}):
            if {back} and os.path.exists({lost!r} + "2"):
                os.unlink({lost!r})
            else:
                open({lost!r} + "2", "w").close()
                raise AnsibleConnectionFailure("no route to host")
        return super().exec_command(cmd, in_data, sudoable)
"""


@pytest.mark.parametrize(("module", "back"), [("package_update", False), ("rt_domain_power", False), ("package_update", True)])
def test_a_node_that_is_lost_on_the_way_is_asked_once_more_and_its_guests_are_named(nodes, module, back):
    lost = str(nodes.folder / "lost")
    (nodes.base / "plugins/connection/flaky.py").write_text(FLAKY.format(lost=lost, back=back))
    stub = nodes.base / f"plugins/modules/{module}.py"
    cut = f'if not check:\n        open({lost!r}, "w").close()\n    left_off, state ='
    stub.write_text(stub.read_text().replace("left_off, state =", cut))
    code, said, calls = nodes.run(
        "realtime.kvm.update",
        answers(),
        rt_kernel_reboot_with_guests=True,
        realtime_hold_packages=True,
        ansible_connection="realtime.kvm.flaky",
    )
    assert code != 0
    tail = said.partition("UNREACHABLE!")[2]
    made = [DOWN, "package_update"][: 2 if module == "package_update" else 1]
    if back:
        assert steps(calls) == [*made, UP, "package_holds"]
        assert "node1 was not updated, or only in part, and not rebooted; its guests run again" in tail
        return
    assert steps(calls) == made
    assert "it cannot be reached, and its guests plc1 are down. When it answers, run the playbook again (--limit node1)" in tail


@pytest.mark.parametrize(
    ("playbook", "variable", "value", "wrong"),
    [
        ("update", "realtime_update_serial", "0", "'0'"),
        ("update", "realtime_update_serial", [1, 0, "x"], "'0', 'x'"),
        *((name, "rt_kernel_reboot_serial", "0", "'0'") for name in ("site", "undo", "bios")),
    ],
)
def test_a_batch_of_no_node_is_refused_before_any_change(nodes, playbook, variable, value, wrong):
    given = json.dumps({variable: value})
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", answers(), "-e", given, rt_kernel_reboot_with_guests=True)
    assert code != 0
    assert (
        f"{variable}: {wrong} is neither a number of nodes from 1 to 999999 nor a share from 1% on; give 1, 25% or 1,25%, for example"
        in said
    )
    assert calls == []


def test_an_empty_batch_has_its_default(nodes):
    given = json.dumps({"rt_kernel_reboot_serial": ""})
    code, said, calls = nodes.run("realtime.kvm.site", {"cpu_power": "stall", "results": {"rt_audit": AUDIT}}, "-e", given)
    assert code == 0, said
    assert steps(calls)


def test_a_misspelt_hold_is_refused_before_the_update(nodes):
    code, said, calls = nodes.run(
        "realtime.kvm.update", answers(), rt_kernel_reboot_with_guests=True, realtime_hold_packages="maybe"
    )
    assert code != 0
    assert "realtime_hold_packages" in said
    assert steps(calls) == []


def test_check_mode_shows_it_and_does_nothing(nodes):
    code, said, calls = nodes.run("realtime.kvm.update", answers(), "--check", rt_kernel_reboot_with_guests=True)
    assert code == 0, said
    assert steps(calls) == []
    power = [call["state"] for call in calls if call["module"] == "rt_domain_power"]
    # the plan of both nodes, and then both at once
    assert power == ["stopped"] * 2 + ["stopped"] * 4 + ["started"] * 2, "each change is shown once"


def test_site_holds_where_it_is_asked_to_and_undo_always_releases(nodes):
    for given, state in (
        ({}, None),
        ({"realtime_hold_packages": True}, "present"),
        ({"realtime_hold_packages": False}, "absent"),
    ):
        code, said, calls = nodes.run(
            "realtime.kvm.site", {"package_holds": "none"}, "--tags", "packages", "--limit", "node1", **given
        )
        assert code == 0, said
        holds = [(call["check"], call["state"]) for call in calls if call["module"] == "package_holds"]
        assert holds == ([(True, state), (False, state)] if state else [])
    code, said, calls = nodes.run("realtime.kvm.undo", {}, "--limit", "node1")
    assert code == 0, said
    assert [call["state"] for call in calls if call["module"] == "package_holds" and not call["check"]] == ["absent"]
