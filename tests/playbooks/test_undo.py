# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/undo.yml: daemons off again, packages on request, and a sentence about what is back and what stays."""

from __future__ import annotations

import pytest

STAYS = {
    "stays": ["packages that the roles installed stay: qemu-utils"],
    "packages": ["qemu-utils"],
    "remove_by_hand": "apt-get purge qemu-utils",
}
BACK = "kernel, arguments, settings, files and daemons are as before the first change"


def origins(calls):
    return [call for call in calls if call["module"] == "package_origins"]


@pytest.mark.parametrize(
    ("given", "remove"), [({}, False), ({"realtime_undo_packages": "true"}, True), ({"realtime_undo_packages": True}, True)]
)
def test_packages_are_removed_on_request_alone(nodes, given, remove):
    code, said, calls = nodes.run("realtime.kvm.undo", {"package_origins": "none"}, "--limit", "node1", **given)
    assert code == 0, said
    assert [(call["state"], call["remove"], call["check"]) for call in origins(calls)] == [
        ("absent", remove, True),
        ("absent", remove, False),
    ]
    assert "none package_origins a -> b" in said, "the plan shows it"


def test_daemons_are_switched_off_after_guests_and_switch_and_before_the_reboot(nodes):
    _code, _said, calls = nodes.run("realtime.kvm.undo", {}, "--limit", "node1")
    order = [call["module"] for call in calls if not call["check"]]
    assert order.index("rt_domain") < order.index("ovs_dpdk") < order.index("package_origins") < order.index("kernel_arguments")


def test_it_says_what_is_back_and_what_stays(nodes):
    code, said, _calls = nodes.run("realtime.kvm.undo", {"kvm_host": "none", "results": {"package_origins": STAYS}})
    assert code == 0, said
    for node in ("node1", "node2"):
        assert f"{node}: {BACK}" in said
    assert "packages that the roles installed stay: qemu-utils" in said
    assert "to remove them: apt-get purge qemu-utils" in said
    assert "UEFI variables and the definitions in /var/lib/realtime-kvm/removed-guests are never removed" in said


def test_check_mode_says_what_would_be_back_and_how_packages_would_go(nodes):
    code, said, calls = nodes.run("realtime.kvm.undo", {"kvm_host": "none", "results": {"package_origins": STAYS}}, "--check")
    assert code == 0, said
    assert "files and daemons would be as before the first change" in said
    assert "to remove them: realtime_undo_packages: true" in said
    assert all(call["check"] for call in calls)


def test_a_node_that_waits_for_its_reboot_is_told_so(nodes):
    waits = {"kernel_arguments": {"reboot_required": True}}
    code, said, _calls = nodes.run(
        "realtime.kvm.undo", {"kernel_arguments": "none", "results": waits}, "-e", '{"realtime_reboot_allowed": false}'
    )
    assert code == 0, said
    assert (
        "node1: settings, files and daemons are as before the first change; kernel and arguments are after the next reboot"
        in said
    )


def test_a_second_undo_says_that_nothing_was_left(nodes):
    code, said, _calls = nodes.run("realtime.kvm.undo", {})
    assert code == 0, said
    assert "node1: nothing of this collection was left to undo" in said
    assert "are never removed" not in said


def test_text_of_a_node_stays_text(nodes):
    hostile = {**STAYS, "stays": ["\x1b]0;owned\x07 {{ 1 + 1 }}"]}
    code, said, _calls = nodes.run("realtime.kvm.undo", {"kvm_host": "none", "results": {"package_origins": hostile}})
    assert code == 0, said
    assert "\x1b" not in said
    assert "{{ 1 + 1 }}" in said
