# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch: where its threads run, and which serves each queue, as the daemon prints it, against the one that it is pinned to."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.running import Actor
from ansible_collections.realtime.kvm.plugins.module_utils._audit.switch import (
    check_links,
    check_placement,
    check_polling,
    parse_placement,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import PHYSICAL, VHOST
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import GUEST_KEY, NETWORK_KEY, Row
from unit.actors import PARTITION

SHOWN = """pmd thread numa_id 0 core_id 1:
  isolated : true
  port: ens1              queue-id:  0 (enabled)   pmd usage:  0 %
  port: plc1.control      queue-id:  0 (enabled)   pmd usage: NOT AVAIL
  overhead:  0 %
pmd thread numa_id 1 core_id 17:
  isolated : false
  port: ens1              queue-id:  1 (enabled)   pmd usage: 12 %
"""
PLACED = {("ens1", 0): 1, ("plc1.control", 0): 1, ("ens1", 1): 17}


def test_every_queue_has_the_cpu_of_its_thread():
    assert parse_placement(SHOWN) == PLACED


@pytest.mark.parametrize("text", ["", "rubbish", "  port: ens1  queue-id:  0 (enabled)\n"])
def test_a_queue_below_no_thread_is_not_placed(text):
    assert parse_placement(text) == {}


@pytest.mark.parametrize(
    ("name", "affinity", "wrong"),
    [
        ("ens1", {"0": 1, "1": 17}, []),
        ("ens1", {"0": 2, "1": 17}, [("port ens1 queue 0", "the poll-mode thread of CPU 2", "that of CPU 1")]),
        ("ens1", {"1": 1, "0": 1}, [("port ens1 queue 1", "the poll-mode thread of CPU 1", "that of CPU 17")]),
        ("plc2.control", {"0": 1}, []),  # not there yet
        ("ens1", {}, []),
    ],
)
def test_a_queue_on_another_thread_is_found(name, affinity, wrong):
    findings = check_placement([{"name": name, "affinity": affinity}], PLACED)
    assert {finding.rule for finding in findings} <= {"rxq-placement"}
    assert [(finding.resource, finding.expected, finding.actual) for finding in findings] == wrong


def test_queues_stand_in_the_order_of_their_numbers():
    placed = {("p", number): 3 for number in (2, 10)}
    found = check_placement([{"name": "p", "affinity": {"10": 1, "2": 1}}], placed)
    assert [finding.resource for finding in found] == ["port p queue 2", "port p queue 10"]


def port(link, *, kind=VHOST, guest="plc1", ours=True, connected=True):
    marks = {NETWORK_KEY: "control", GUEST_KEY: guest} if ours else {}
    status = {"status": "connected"} if connected else {}
    return Row("i", {"name": "p", "type": kind, "external_ids": marks, "status": status, "link_state": link})


@pytest.mark.parametrize(
    ("row", "actual"),
    [
        (port("up"), []),
        (port(None), []),  # an older daemon, or not looked at yet
        (port("down"), ["down, although the guest runs"]),
        (port("down", connected=False), ["down, although the guest runs; the switch is not connected to its socket"]),
        (port("down", guest="off"), []),
        (port("down", ours=False), []),
        (port("down", kind=PHYSICAL, guest=""), ["down"]),
        (port("down", kind="internal", guest=""), []),
    ],
)
def test_a_port_without_a_link_is_found(row, actual):
    findings = check_links([row], {"plc1"})
    assert [(finding.rule, finding.resource, finding.actual) for finding in findings] == [
        ("guest-link" if row.guest else "port-link", "port p", text) for text in actual
    ]


@pytest.mark.parametrize(
    ("cpus", "policy", "documented", "found"),
    [
        ("1", 0, True, []),
        ("5", 0, True, ["pmd-pin"]),
        ("5", 0, False, []),
        ("1,7", 0, True, ["pmd-pin"]),
        ("1,7", 0, False, ["pmd-pin"]),
        ("1", 1, True, ["pmd-policy"]),
    ],
)
def test_poll_mode_threads(cpus, policy, documented, found):
    pmd = Actor(900, 901, "pmd-c01/id:1", parse_cpulist(cpus), policy, 1 if policy else 0)
    assert [item.rule for item in check_polling([pmd], PARTITION, documented=documented)] == found
