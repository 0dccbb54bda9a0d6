# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_os as Ansible runs it: a guest gets its node's clock, a node is refused."""

from __future__ import annotations

import re
from dataclasses import replace

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import GuestProfile
from unit.trees import documented, fill, plan, snapshot

GUEST = to_document(replace(plan(), guest=GuestProfile("plc1")))
CLOCK = {
    "/sys/class/ptp/ptp0/clock_name": "KVM virtual PTP\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "/etc/modules-load.d/": None,
}


def test_the_clock_is_kept_over_boots_and_given_back(call, tree):
    fill(tree, {**documented(GUEST), **CLOCK})
    before = snapshot(tree)
    check = call("guest_os", check=True)
    made = call("guest_os")
    assert made["changes"] == check["changes"] != []
    assert (made["clock"], made["clock_source"]) == ("/dev/ptp0", "tsc")
    assert call("guest_os")["changed"] is False
    planned = call("guest_os", check=True, state="absent")
    assert call("guest_os", ptp_kvm=False)["changes"] == planned["changes"]
    assert call("guest_os", state="absent")["changed"] is False
    assert set(snapshot(tree)) == set(before)


def test_a_node_is_refused(call, tree):
    fill(tree, {**documented(plan()), **CLOCK})
    assert re.search("this machine has the partition of a node, which has no node's clock", call("guest_os")["msg"])
    assert call("guest_os", state="absent")["changed"] is False, "undo of a node has nothing to do"


def test_a_plan_ahead_of_the_document(call, tree):
    fill(tree, CLOCK)
    assert call("guest_os", check=True, partition=GUEST)["changed"] is True
    assert "there is no partition on this node" in call("guest_os", partition=GUEST)["msg"]


def test_a_snapshot_is_not_asked(call, snap):
    assert call("guest_os", fsroot=str(snap))["changed"] is False
