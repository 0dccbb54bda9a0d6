# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of receive packet steering: isolated CPUs leave them, and come back by undo."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.steering import plan_steering
from unit.irqs import PARTITION, run, text
from unit.trees import fill, plan


def queue(name, mask, number=0):
    return {
        f"/sys/class/net/{name}/queues/rx-{number}/rps_cpus": f"{mask}\n",
        f"/sys/class/net/{name}/queues/tx-0/xps_cpus": "f\n",
    }


def apply(root, check_mode=False):
    return run(root, lambda host: plan_steering(host, PARTITION), check_mode)


@pytest.mark.parametrize(
    ("mask", "after"),
    [
        ("f", "00000001"),
        ("e", "00000000"),  # only isolated CPUs: no steering
        ("00000000,0000000c", "00000000"),
        ("1", "1"),
        ("0", "0"),
        ("", ""),
        ("what", "what"),
    ],
)
def test_isolated_cpus_leave_the_masks(root, mask, after):
    fill(root, queue("ens1", mask))
    predicted = apply(root, check_mode=True)
    host = apply(root)
    assert host.changes == predicted.changes
    assert bool(host.changes) is (mask != after)
    assert text(root, "/sys/class/net/ens1/queues/rx-0/rps_cpus") == after
    assert text(root, "/sys/class/net/ens1/queues/tx-0/xps_cpus") == "f", "XPS gives a CPU no work"
    assert apply(root).changes == []


def test_undo_puts_the_masks_back(root):
    fill(root, {**queue("ens1", "f"), **queue("ens2", "6", number=3)})
    assert len(apply(root).changes) == 2
    run(root, lambda host: host.restore_values())
    assert text(root, "/sys/class/net/ens1/queues/rx-0/rps_cpus") == "f"
    assert text(root, "/sys/class/net/ens2/queues/rx-3/rps_cpus") == "6"


def test_a_name_with_control_characters_is_left_alone(root):
    fill(root, queue("e\x1b[2Jth", "f"))
    assert apply(root).changes == []


def test_an_interface_that_has_gone_meanwhile_is_no_change(root):
    fill(root, queue("ens1", "f"))
    path = "/sys/class/net/ens1/queues/rx-0/rps_cpus"

    def planner(host):
        plan_steering(host, PARTITION)
        (root / path[1:]).unlink()
        (root / path[1:]).mkdir()

    host = run(root, planner)
    assert host.changes == []
    assert host.notes == [f"{path} could not be written: Is a directory"]


def test_nothing_is_steered_without_isolated_cpus(root):
    fill(root, queue("ens1", "f"))
    assert run(root, lambda host: plan_steering(host, plan(Intent(realtime="0")))).changes == []
