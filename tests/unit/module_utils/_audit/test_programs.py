# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs beside guests and switch: who of them is looked at, and which CPUs they may use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import Finding
from ansible_collections.realtime.kvm.plugins.module_utils._audit.programs import check_programs, other_programs
from ansible_collections.realtime.kvm.plugins.module_utils._audit.running import Actor, RunningGuest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from unit.actors import PARTITION, PLC, SHAPE, TOPOLOGY, actor, guest
from unit.trees import plan


@pytest.mark.parametrize(
    ("program", "found"),
    [
        (actor("", "0"), []),
        (actor("", "0-11"), []),  # the kernel brings it onto none of them
        (replace(actor("", "0-11"), last=5), ["task"]),
        (actor("", "0,5"), ["task"]),
        (actor("", "5"), []),  # a free CPU of a free core
        (actor("", "8"), ["cpu-contended"]),
        (actor("", "7"), ["cpu-contended"]),  # polled
        (actor("", "4"), ["smt-sibling"]),  # beside a vCPU
        (replace(actor("", "4"), process=200), []),  # its own guest's
        (actor("", ""), []),
    ],
)
def test_programs(program, found):
    pinned = guest(actor("vcpu0", "10", process=200, priority=1), name="half", process=200)
    pmds = [Actor(900, 901, "pmd-c07", frozenset({7})), Actor(900, 902, "pmd-c01", frozenset({1}))]
    mine = replace(program, name="make", process=program.process if program.process == 200 else 300)
    assert [item.rule for item in check_programs([mine], [PLC, pinned], pmds, PARTITION, TOPOLOGY, PARTITION.isolated)] == found


def test_a_thread_left_idle_stays_idle():
    single = plan(Intent(smt="single"), **SHAPE)
    (found,) = check_programs([Actor(300, 300, "make", frozenset({8}))], [], [], single, TOPOLOGY, single.isolated)
    assert (found.rule, found.resource) == ("smt-sibling", "make (pid 300)")
    assert "CPU 8 is left idle" in found.expected
    assert check_programs([Actor(300, 300, "make", frozenset({2}))], [], [], single, TOPOLOGY, single.isolated) == []


def thread(tid, role="", cpus=(0,), priority=0):
    return Actor(100 if role else tid, tid, role or "program", frozenset(cpus), 1 if priority else 0, priority, role=role)


THREADS = (thread(100, "emulator"), thread(101, "vcpu0", (2,), 1), thread(102, "other"), thread(103, "vhost"))
ORDINARY = (thread(200, "emulator"), thread(201, "vcpu0", (0, 3)), thread(202, "worker"))
PMD, PROGRAM = thread(300), thread(400)


def named(resource):
    return [Finding("setting", resource, "", "", "")]


@pytest.mark.parametrize(
    ("findings", "left"),
    [
        ([], [102, 103, 200, 201, 202, 400]),  # of a real-time guest only what has its place by another thread
        (named("thread:program:400:7:affinity"), [102, 103, 200, 201, 202]),
        (named("domain rt: emulator"), [200, 201, 202, 400]),
        (named("domain rt: vhost cpus"), [102, 200, 201, 202, 400]),
        (named("rt: vhost (thread 103)"), [102, 200, 201, 202, 400]),
        (named("domain plain: vcpu0 cpus"), [102, 103, 200, 202, 400]),
        (named("domain plain: emulator"), [102, 103, 201, 400]),
    ],
)
def test_threads_that_no_other_rule_checks_or_names_are_left(findings, left):
    guests = [RunningGuest("rt", 100, THREADS), RunningGuest("plain", 200, ORDINARY)]
    found = other_programs([*THREADS, *ORDINARY, PMD, PROGRAM], guests, [PMD], PARTITION, findings)
    assert [one.tid for one in found] == left
