# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads and guests that run on a node of twelve CPUs, for the tests of the audit."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._audit.guests import check_guests
from ansible_collections.realtime.kvm.plugins.module_utils._audit.running import Actor, RunningGuest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from unit.trees import machine_files, plan

SHAPE = {"nodes": 2, "cores": 3, "threads": 2}  # siblings six apart
TOPOLOGY = build_topology(machine_files(**SHAPE))
PARTITION = plan(Intent(smt="together", cpus={"dataplane": "1,7"}), **SHAPE)  # housekeeping 0,3,6,9; realtime 2,4-5,8,10-11
PRIORITIES = dict.fromkeys(range(12), 2)


def actor(role, cpus, process=100, priority=0, name=""):
    numbers = {"": 7, "emulator": 0, "other": 1, "worker": 8, "vhost": 9}
    number = numbers[role] if role in numbers else 10 + int(role[-1])
    title = name or (f"CPU {role[4:]}/KVM" if role.startswith("vcpu") else role)
    return Actor(process, process + number, title, frozenset(parse_cpulist(cpus)), 1 if priority else 0, priority, role=role)


def guest(*actors, name="plc", process=100, **more):
    return RunningGuest(name, process, actors, **more)


VCPUS = (actor("vcpu0", "2"), actor("vcpu1", "8", priority=1), actor("emulator", "0,6"))
PLC = guest(*VCPUS)


def checked(*arguments, **more):
    """PLC's vCPUs share a core, which a test of its own is about."""
    return [item for item in check_guests(*arguments, **more) if item.rule != "smt-sibling"]


def seen(findings):
    return [(finding.rule, finding.resource) for finding in findings]
