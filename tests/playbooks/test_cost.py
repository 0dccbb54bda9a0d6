# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unchanged node costs: `make bench` counts it on the lab, this test without one."""

from __future__ import annotations

from bench.remote_executions import GUESTS, NODE

AUDIT = {
    "kernel": {"release": "6.1", "realtime": True, "isolated": ""},
    "managed_interrupts": [],
    "smi": {"count": 0, "reason": ""},
}
GUESTS_OF_ONE = "{{ [{'name': 'plc1', 'memory_mib': 64}] if inventory_hostname == 'node1' else [] }}"
PACKAGE = "<linux-image-rt-amd64>"


def test_unchanged_nodes_cost_as_many_remote_executions_as_the_bench_allows(nodes):
    code, said, _calls = nodes.run("realtime.kvm.site", {"results": {"rt_audit": AUDIT}}, "-vvv", realtime_guests=GUESTS_OF_ONE)
    assert code == 0, said[-2000:]
    assert said.count("Using module file ") == 2 * NODE + GUESTS  # with pipelining, each is one remote execution
    assert PACKAGE not in said


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
