# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an interrupt goes, and which ones the kernel keeps on isolated CPUs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._devices.marks import Home
from ansible_collections.realtime.kvm.plugins.module_utils._interrupts.affinity import Interrupt, stuck, wanted_affinity
from unit.trees import plan

SHAPE = {"nodes": 2, "cores": 2, "threads": 1}
PARTITION = plan(**SHAPE)  # housekeeping 0 and 2, realtime 1 and 3
NODES = {0: frozenset({0, 1}), 1: frozenset({2, 3}), 2: frozenset()}


def interrupt(affinity, effective=(), node=None, movable=True):
    return Interrupt(24, ("eth0-rx", "eth0-tx"), frozenset(affinity), frozenset(effective), node, movable)


@pytest.mark.parametrize(("cpus", "wanted"), [({1}, {1}), ({0, 1, 2, 3}, {0, 2}), ({1, 3}, {1, 3})])
def test_those_of_a_vcpu_that_may_run_on_many_cpus_keep_off_isolated_ones(cpus, wanted):
    home = Home("plc1", "0000:41:00.0", 0, frozenset(cpus))
    assert wanted_affinity(replace(interrupt({0}), home=home), PARTITION, NODES) == wanted


@pytest.mark.parametrize(
    ("affinity", "node", "wanted"),
    [
        ({0, 1, 2, 3}, None, {0, 2}),
        ({0, 1}, 1, {0}),  # what it has stays, on whichever node
        ({2}, 0, {2}),
        ({1, 3}, 0, {0}),  # nothing is left: the ordinary CPUs near the device
        ({1}, 1, {2}),
        ({1}, None, {0, 2}),
        ({3}, 2, {0, 2}),  # a node without CPUs
        ({3}, 7, {0, 2}),  # an unknown node
        (set(), 1, {2}),
    ],
)
def test_where_an_interrupt_goes(affinity, node, wanted):
    assert wanted_affinity(interrupt(affinity, node=node), PARTITION, NODES) == wanted


@pytest.mark.parametrize(
    ("affinity", "effective", "movable", "is_stuck"),
    [
        ({1}, {1}, False, True),
        ({0, 1}, {0}, False, False),  # it fires elsewhere
        ({0, 1}, {1}, False, True),
        ({1, 3}, set(), False, True),  # where it fires is unknown: where it may
        ({0}, set(), False, False),
        ({1}, {1}, True, False),  # it can be moved
    ],
)
def test_what_the_kernel_keeps_on_isolated_cpus(affinity, effective, movable, is_stuck):
    one = interrupt(affinity, effective, movable=movable)
    assert stuck([one], PARTITION) == ([one] if is_stuck else [])


def test_an_interrupt_is_named_by_number_and_handlers():
    assert interrupt({0}).label == "IRQ 24 (eth0-rx, eth0-tx)"


TWO = plan(Intent(smt="together"), nodes=2, cores=3)  # housekeeping 0 and 3


def of_nic(affinity, effective=(), node=None, movable=True):
    return Interrupt(7, ("nic",), frozenset(affinity), frozenset(effective), node, movable)


@pytest.mark.parametrize(
    ("affinity", "node", "wanted"),
    [
        ({0, 1, 2, 3, 4, 5}, None, {0, 3}),
        ({0, 1}, 1, {0}),
        ({3}, 0, {3}),
        ({1, 2}, None, {0, 3}),
        ({1, 2}, 0, {0}),
        ({1, 2}, 1, {3}),
        ({4}, 9, {0, 3}),
        ((), 1, {3}),
        ((), None, {0, 3}),
    ],
)
def test_where_an_interrupt_goes_on_larger_nodes(affinity, node, wanted):
    assert wanted_affinity(of_nic(affinity, node=node), TWO, TWO.nodes) == wanted


@pytest.mark.parametrize(
    ("irq", "is_stuck"),
    [
        (of_nic({1}, {1}, movable=False), True),
        (of_nic({0, 1}, {0}, movable=False), False),
        (of_nic({0, 1}, (), movable=False), True),
        (of_nic({0}, (), movable=False), False),
        (of_nic({1}, {1}), False),
    ],
)
def test_what_is_stuck_is_managed_and_fires_on_isolated_cpus(irq, is_stuck):
    assert bool(stuck([irq], TWO)) is is_stuck


def test_a_label_tells_all_handlers():
    assert Interrupt(9, ("a", "b"), frozenset(), frozenset()).label == "IRQ 9 (a, b)"
