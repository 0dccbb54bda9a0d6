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
