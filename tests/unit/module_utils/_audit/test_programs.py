# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs beside guests and switch: who of them is looked at."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import Finding
from ansible_collections.realtime.kvm.plugins.module_utils._audit.guests import Actor, RunningGuest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.programs import other_programs
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from unit.trees import plan

PARTITION = plan(
    Intent(smt="together", cpus={"dataplane": "1,7"}), nodes=2, cores=3, threads=2
)  # housekeeping 0,3,6,9; realtime 2,4-5,8,10-11


def actor(tid, role="", cpus=(0,), priority=0):
    return Actor(100 if role else tid, tid, role or "program", frozenset(cpus), 1 if priority else 0, priority, role=role)


THREADS = (actor(100, "emulator"), actor(101, "vcpu0", (2,), 1), actor(102, "other"), actor(103, "vhost"))
ORDINARY = (actor(200, "emulator"), actor(201, "vcpu0", (0, 3)), actor(202, "worker"))
PMD, PROGRAM = actor(300), actor(400)


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
