# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unchanged node costs: `make bench` counts it on the lab, this test without one."""

from __future__ import annotations

import pytest
from bench.remote_executions import GUESTS, NODE

AUDIT = {
    "kernel": {"release": "6.1", "realtime": True, "isolated": ""},
    "managed_interrupts": [],
    "smi": {"count": 0, "reason": ""},
}


@pytest.mark.parametrize(("guests", "cost"), [([], NODE), ([{"name": "plc1"}], NODE + GUESTS)])
def test_an_unchanged_node_costs_as_many_remote_executions_as_the_bench_allows(nodes, guests, cost):
    code, said, _calls = nodes.run("realtime.kvm.site", {"results": {"rt_audit": AUDIT}}, "-vvv", realtime_guests=guests)
    assert code == 0, said[-2000:]
    assert said.count("Using module file ") == 2 * cost  # on two nodes; with pipelining, each is one execution


def test_a_kernel_that_runs_but_is_not_installed_any_more_is_installed(nodes):
    """As after an undo that has not been followed by its reboot."""
    code, said, _calls = nodes.run(
        "realtime.kvm.site", {"results": {"kernel_arguments": {"matching_kernels": []}}}, "--tags", "rt_kernel"
    )
    assert code == 0, said[-2000:]
    assert "<linux-image-rt-amd64> present" in said


@pytest.mark.parametrize(("packages", "asked"), [([], False), (["linux-image-6.1-rt"], True)])
def test_only_another_package_is_asked_for_where_the_kernel_runs(nodes, packages, asked):
    code, said, _calls = nodes.run("realtime.kvm.site", {}, "--tags", "rt_kernel", rt_kernel_packages=packages)
    assert code == 0, said[-2000:]
    assert ("<linux-image-6.1-rt> present" in said) == asked
    assert "<linux-image-rt-amd64>" not in said
