# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unchanged node costs: `make bench` counts it on the lab, this test without one."""

from __future__ import annotations

import re

#: Lines of tasks that a node shows on which nothing is to be done.
LINES = 12
AUDIT = {
    "kernel": {"release": "6.1", "realtime": True, "isolated": ""},
    "managed_interrupts": [],
    "smi": {"count": 0, "reason": ""},
}
GUESTS_OF_ONE = "{{ [{'name': 'plc1', 'memory_mib': 64}] if inventory_hostname == 'node1' else [] }}"
PACKAGE = "<linux-image-rt-amd64>"


def test_unchanged_nodes_cost_one_look_and_twelve_lines(nodes):
    code, said, calls = nodes.run("realtime.kvm.site", {"results": {"rt_audit": AUDIT}}, "-vvv", realtime_guests=GUESTS_OF_ONE)
    assert code == 0, said[-2000:]
    assert said.count("Using module file ") == 2, "with pipelining, each is one remote execution; one look for each of two nodes"
    assert (
        len([line for line in nodes.lines if re.match(r"(ok|skipping|changed|included|fatal|failed): \[node1\]", line)]) <= LINES
    )
    assert (
        len([line for line in nodes.lines if re.match(r"(ok|skipping|changed|included|fatal|failed): \[node2\]", line)]) <= LINES
    )
    assert [call["module"] for call in calls].count("rt_audit") == 2, "and they are audited in it"
    assert "== Result == node1, node2: nothing to change, and nothing found" in said
    assert PACKAGE not in said


def test_what_the_audit_in_the_look_finds_is_shown_and_fails_the_run(nodes):
    finding = {"severity": "error", "rule": "interrupt"}
    audit = {**AUDIT, "findings": [finding], "findings_table": ["error: this is the finding"]}
    code, said, calls = nodes.run("realtime.kvm.site", {"results": {"rt_audit": audit}}, "--limit", "node1")
    assert code == 2
    assert [call["module"] for call in calls].count("rt_audit") == 1
    assert "error: this is the finding" in said
    assert "node1 is not as it should be: 1 finding (interrupt), see above" in said


def test_a_node_that_was_changed_is_audited_after_it(nodes):
    answers = {"cpu_power": "none", "results": {"rt_audit": AUDIT}}
    code, said, calls = nodes.run("realtime.kvm.site", answers, "-vvv", "--limit", "node1")
    assert code == 0, said[-2000:]
    assert [(call["module"], call["check"]) for call in calls][-2:] == [("cpu_power", False), ("rt_audit", False)]
    assert said.count("Using module file ") == 3, "the look, the layer that has a change, and the audit"


#: What ansible.builtin.reboot runs on a node: facts, the boot's number, the shutdown, the new number, and a test. Its stand-in is one of them.
REBOOT = 5
#: The try to start the look's code that a node keeps (test_kept.py); a stock node keeps none, and these nodes are asked without pipelining.
TRY = 1
TRIED = "<libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils python3-libvirt openvswitch-switch-dpdk librte-meta-bus librte-meta-mempool "


def test_a_stock_node_costs_at_most_25(nodes):
    """Counted with pipelining, where each module is one remote execution, as is a call of the package manager, which has a stand-in on the controller."""
    new = {"reboot_required": True, "running": {"release": "6.1", "matches": False, "tokens": []}, "matching_kernels": []}
    results = {"kvm_host": {"installed": False}, "ovs_dpdk": {"installed": False}, "kernel_arguments": new, "rt_audit": AUDIT}
    booted = {"kernel_arguments": {**new, "reboot_required": False, "matching_kernels": ["6.1"]}}
    # a node whose boot loader would boot what is planned
    results["kernel_arguments"] = {**new, "matching_kernels": ["6.1"]}
    classes = dict.fromkeys(["cpu_partition", "cpu_power", "irq_affinity", "kvm_host", "ovs_dpdk", "rt_domain"], "stall")
    answers = {**classes, "results": results, "after_reboot": booted}
    code, said, calls = nodes.run(
        "realtime.kvm.site", answers, "-vvv", "--limit", "node1", realtime_networks=[{"name": "control"}]
    )
    assert code == 0, said[-3000:]
    modules, packages = said.count("Using module file "), len(re.findall(r'"msg": "<[^>]+> present', said))
    assert [call["module"] for call in calls].count("reboot") == 1
    assert [call["module"] for call in calls].count("rt_audit") == 1
    assert TRY + modules + REBOOT - 1 + packages <= 25, (
        f"{modules} modules, {packages} calls of the package manager, and a reboot"
    )
    assert said.count("(only tried)") == 1, "the packages of all roles are tried at once"
    assert f"{TRIED}linux-image-rt-amd64> present (only tried)" in said
    assert "== In short == needs a reboot: node1" in said
    last = [call for call in calls if call["module"] == "kernel_arguments"][-1]
    assert (last["check"], last["wait_s"]) == (True, 360), "the node waits itself until it has judged its boot"


def test_check_mode_says_what_the_changes_of_other_layers_decide(nodes):
    code, said, calls = nodes.run(
        "realtime.kvm.site", {"kvm_host": "none", "results": {"rt_audit": AUDIT}}, "--check", "--limit", "node1"
    )
    assert code == 0, said[-3000:]
    assert "read again after the changes on node1: switch, kernel, guests; what they then need is not in this plan" in said
    asked = [call["module"] for call in calls]
    assert [asked.count(name) for name in ("kvm_host", "ovs_dpdk", "rt_domain", "cpu_power")] == [2, 2, 2, 1]
    assert all(call["check"] for call in calls if call["module"] != "rt_audit")


def test_packages_that_cannot_be_installed_are_refused_by_their_roles_in_their_own_words(nodes):
    new = {"running": {"release": "6.1", "matches": False, "tokens": []}, "matching_kernels": []}
    results = {"kvm_host": {"installed": False}, "kernel_arguments": new}
    broken = nodes.base / "roles" / "packages" / "tasks" / "apt.yml"
    broken.write_text(
        broken.read_text()
        + """
- name: Fail as apt does
  ansible.builtin.fail:
    msg: No package matching 'linux-image-rt-amd64' is available
  when: packages_names is contains('linux-image-rt-amd64')
"""
    )
    code, said, calls = nodes.run("realtime.kvm.site", {"results": results}, "--limit", "node1")
    assert code == 2
    assert [call for call in calls if not call["check"]] == []
    refused = said.partition("== Refused, or not planned ==")[2]
    assert (
        "node1: rt_kernel: the real-time kernel linux-image-rt-amd64 cannot be installed on node1: No package matching" in refused
    )
    assert "kvm_host: " not in refused, "what can be installed is not refused"


def test_a_kernel_that_runs_but_is_not_installed_any_more_is_installed(nodes):
    """As after an undo that has not been followed by its reboot."""
    answers = {"results": {"kernel_arguments": {"matching_kernels": []}}}
    code, said, _calls = nodes.run("realtime.kvm.site", answers, "--tags", "rt_kernel")
    assert code == 0, said[-2000:]
    assert f"{PACKAGE} present" in said


def test_a_package_that_was_named_is_asked_for_though_the_kernel_runs(nodes):
    code, said, _calls = nodes.run("realtime.kvm.site", {}, "--tags", "rt_kernel", rt_kernel_packages=["linux-image-6.1-rt"])
    assert code == 0, said[-2000:]
    assert "<linux-image-6.1-rt> present" in said
    assert PACKAGE not in said
