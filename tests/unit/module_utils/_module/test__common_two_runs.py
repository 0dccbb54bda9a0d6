# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs of playbooks on one node, module by module: the lock is a module's, the document is the node's."""

from __future__ import annotations

import pytest
from unit.trees import fill, snapshot

OTHERS = ("cpu_power", "irq_affinity", "kernel_arguments")


@pytest.mark.parametrize("name", OTHERS)
def test_a_run_whose_partition_another_run_has_replaced_changes_nothing_more(call, tree, name):
    first = call("cpu_partition", cpus={"realtime": "1-3"})["partition"]
    fill(tree, {"/sys/devices/system/cpu/isolated": "2-3\n"})
    assert call("cpu_partition", cpus={"realtime": "2-3"})["documented"] is False
    before = snapshot(tree)
    told = call(name, partition=first)
    assert told["msg"].startswith("partition: it is housekeeping 0, realtime 1-3")
    assert "says housekeeping 0-1, realtime 2-3" in told["msg"]
    assert snapshot(tree) == before
    assert call("cpu_partition", cpus={"realtime": "2-3"})["documented"] is True
    assert call(name)["changed"], "without a partition it has the document's"


@pytest.mark.parametrize("name", OTHERS)
def test_a_run_goes_no_further_after_an_undo(call, tree, name):
    partition = call("cpu_partition")["partition"]
    call("cpu_partition", state="absent")
    before = snapshot(tree)
    assert "there is no partition on this node" in call(name, partition=partition)["msg"]
    assert snapshot(tree) == before
