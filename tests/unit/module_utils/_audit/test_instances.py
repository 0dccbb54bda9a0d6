# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances of Nova against the partition, by their live XML."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.guests import check_guests
from ansible_collections.realtime.kvm.plugins.module_utils._audit.instances import instance_findings, power_finding
from ansible_collections.realtime.kvm.plugins.module_utils._audit.running import Actor, RunningGuest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import Cpu, Topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import describe, read_schedulers
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import instance_cpus, read_instance
from unit.instances import UUID, instance_tree, partition_of

ALL = frozenset(range(12))
#: Two nodes: 0-5 and 6-11. Ordinary CPUs 0-1 and 6-7, realtime 2-4 and 8-10, dataplane 5, shared 11.
PARTITION = replace(
    partition_of(housekeeping="0-1,6-7", realtime="2-4,8-10", dataplane="5", shared="11"),
    nodes={0: frozenset(range(6)), 1: frozenset(range(6, 12))},
)
TOPOLOGY = Topology(
    cpus={
        n: Cpu(number=n, package=0, die=0, cluster=0, node=n // 6, siblings=frozenset({n}), l3=n // 6, efficiency=0) for n in ALL
    },
    possible=ALL,
    present=ALL,
    online=ALL,
    nodes={0: frozenset(range(6)), 1: frozenset(range(6, 12))},
    cores=tuple(frozenset({n}) for n in ALL),
)


def running(number, *arguments, actual=None, **options):
    """A running instance whose threads are as its XML says, but for ``actual``."""
    tree = instance_tree(number, *arguments, **options)
    cpus = instance_cpus(tree)
    where = {**cpus.pins, **{role: frozenset(found) for role, found in (actual or {}).items()}}
    actors = tuple(
        Actor(
            100 * number,
            100 * number + place,
            role,
            found,
            policy=1 if role.startswith("vcpu") and int(role[4:]) in cpus.schedulers else 0,
            priority=1 if role.startswith("vcpu") and int(role[4:]) in cpus.schedulers else 0,
            role=role,
        )
        for place, (role, found) in enumerate(where.items())
    )
    return RunningGuest(
        f"instance-{number:08x}",
        100 * number,
        actors,
        defined=describe(tree),
        schedulers=read_schedulers(tree),
        instance=read_instance(tree),
        xml=cpus,
    )


def found(*guests, partition=PARTITION, **options):
    items = [
        *check_guests(guests, partition, TOPOLOGY, {}),
        *instance_findings(guests, partition, TOPOLOGY, **options),
    ]
    return [(item.rule, item.resource.split("): ")[-1] if "): " in item.resource else item.resource) for item in items]


RIGHT = {
    "share": running(1, ["2"], "0-1", "0"),
    "isolate": running(1, ["2", "3"], "4", "0-1"),
    "isolate with an I/O thread": running(1, ["2", "3"], "4", "0-1", io="4"),
    "mixed": running(1, ["0-1", "2", "3"], "0-1", "1-2"),
    "on shared CPUs": running(1, ["11", "8"], "6-7,11", "1", node="1"),
    "floating": running(1, [], "", floating="0-1,6-7,11"),
    "floating with cells": running(1, ["0-1", "0-1"], "0-1"),
    "plainly pinned": running(1, ["2", "3"], "2-3"),
    "plainly pinned, isolate": running(1, ["2", "3"], "4"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_novas_policies_give_is_no_finding(name):
    assert found(RIGHT[name]) == []


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        (running(1, ["0"], "1", "0"), ["vcpu0"]),  # a real-time vCPU on a housekeeping CPU
        (running(1, ["5"], "0-1", "0"), ["vcpu0"]),  # on the switch's
        (running(1, ["2-3"], "0-1", "0"), ["vcpu0"]),  # not on one
        (running(1, ["5"], "0-1"), ["vcpu0"]),
        (running(1, ["0-2", "3"], "0-1", "1"), ["vcpu0"]),  # it floats over a realtime CPU
        (running(1, ["2"], "0-1,5", "0"), ["emulator"]),
        (running(1, ["2", "3"], "3", "0"), ["emulator"]),  # no policy, with a mask
        (running(1, ["2", "3"], "0-1", "0-1", io="3"), ["iothread1"]),
        (running(1, ["2"], "3-5", "0"), ["emulator"]),
    ],
)
def test_threads_outside_the_sets_are_found_once_by_role(guest, expected):
    assert found(guest) == [("instance-cpus", role) for role in expected]


def test_the_finding_names_instance_and_uuid_and_nova_mends_it():
    (item,) = instance_findings([running(1, ["0"], "1", "0")], PARTITION, TOPOLOGY)
    assert item.resource == f"instance instance-00000001 (web, {UUID.format(1)}): vcpu0"
    assert item.actual == "CPUs 0 in its live XML"
    assert f"openstack server migrate {UUID.format(1)}" in item.remedy
    assert "virsh" not in item.remedy


def test_a_node_that_is_isolated_at_run_time_has_moved_the_emulator():
    runtime = replace(PARTITION, isolation="runtime")
    moved = running(1, ["2", "3"], "3", "0", actual={"emulator": {0, 1}})
    assert found(moved, partition=runtime) == []
    assert found(running(1, ["2", "3"], "3", "0"), partition=runtime) == [("instance-cpus", "emulator")]
    assert found(moved) != []


def test_threads_that_differ_from_the_live_xml_are_found_by_that_rule():
    guest = running(1, ["2"], "0-1", "0", actual={"vcpu0": {3}})
    assert found(guest) == [("guest-live", "domain instance-00000001: vcpu0")]


@pytest.mark.parametrize(
    ("old", "priority", "expected"),
    [
        ("fifo' priority='1", 1, []),
        ("fifo' priority='1", None, []),
        ("fifo' priority='2", 1, ["fifo 2"]),
        ("rr' priority='1", 1, ["rr 1"]),
        ("rr' priority='1", None, ["rr 1"]),
        ("batch", 1, ["batch"]),
    ],
)
def test_policy_and_priority_are_novas(old, priority, expected):
    guest = running(1, ["2"], "0-1", "0")
    scheduler, _quote, number = old.replace("' priority='", " ").partition(" ")
    xml = replace(guest.xml, schedulers={0: f"{scheduler} {number}".strip()})
    items = instance_findings([replace(guest, xml=xml)], PARTITION, TOPOLOGY, priority=priority)
    assert [item.actual for item in items if item.rule == "instance-policy"] == expected


def test_memory_is_of_locked_huge_pages():
    (item,) = instance_findings([running(1, ["2"], "0-1", "0", backing="")], PARTITION, TOPOLOGY)
    assert (item.rule, item.actual) == ("instance-memory", "no huge pages, no locked memory in its live XML")
    (item,) = instance_findings(
        [running(1, ["2"], "0-1", "0", backing="<memoryBacking><locked/></memoryBacking>")], PARTITION, TOPOLOGY
    )
    assert item.actual == "no huge pages in its live XML"
    assert instance_findings([running(1, ["2"], "2", backing="")], PARTITION, TOPOLOGY) == []


def test_one_fault_of_memory_is_one_finding():
    guest = replace(running(1, ["2"], "0-1", "0", backing=""), locked_kib=0)
    assert found(guest) == [("instance-memory", f"instance instance-00000001 (web, {UUID.format(1)})")]
    locked = replace(running(1, ["2"], "0-1", "0"), locked_kib=0)
    assert found(locked) == [("guest-memory-unlocked", "domain instance-00000001")]


def test_an_emulator_that_may_leave_the_node_is_remarked_once_with_its_io_threads():
    (item,) = instance_findings([running(1, ["2"], "0-1,6-7", "0", io="0-1,6-7")], PARTITION, TOPOLOGY)
    assert (item.rule, item.severity) == ("instance-emulator-node", "info")
    assert item.resource.endswith(": emulator, iothread1")
    assert "hw:cpu_policy=mixed" in item.remedy
    both = running(1, ["2", "8"], "0-1,6-7", "0-1")  # its own CPUs are on both nodes
    assert instance_findings([both], PARTITION, TOPOLOGY) == []


def test_a_plainly_pinned_instance_is_remarked_only_beside_real_time_guests():
    plain, other = running(1, ["2", "3"], "2-3"), running(2, ["4"], "0-1", "0")
    floating = running(3, [], "", floating="0-1")
    assert found(plain, floating) == []
    (item,) = instance_findings([plain, other, floating], PARTITION, TOPOLOGY)
    assert (item.rule, item.severity) == ("instance-plain-pinned", "info")
    assert "CPUs 2-3" in item.actual
    assert "instance-00000002" in item.actual
    assert instance_findings([plain, other], PARTITION, TOPOLOGY, plain_pinned=True) == []


def test_two_instances_on_one_cpu_are_found_with_novas_remedy():
    items = check_guests([running(1, ["2"], "0-1", "0"), running(2, ["2"], "0-1", "0")], PARTITION, TOPOLOGY, {})
    assert [(item.rule, item.resource) for item in items] == [("vcpu-overlap", "CPU 2")]
    assert f"openstack server migrate {UUID.format(2)}" in items[0].remedy


def test_an_emulators_own_cpu_that_is_another_guests_is_found():
    first, second = running(1, ["2"], "4", "0"), running(2, ["4"], "0-1", "0")
    (item,) = instance_findings([first, second], PARTITION, TOPOLOGY)
    assert (item.rule, item.resource.split("): ")[1]) == ("instance-cpus", "emulator")


def test_a_priority_above_the_kernels_threads_is_found():
    (item,) = check_guests([running(1, ["2"], "0-1", "0")], PARTITION, TOPOLOGY, {2: 1})
    assert item.rule == "vcpu-priority"
    assert "realtime_scheduler_priority" in item.remedy


def test_cpus_that_nova_has_switched_off_have_their_cause():
    item = power_finding(frozenset({3, 4}), "/etc/nova/nova.conf")
    assert (item.rule, item.resource) == ("nova-power", "CPUs 3-4")
    assert "cpu_power_management in /etc/nova/nova.conf" in item.actual
    assert "echo 1 > /sys/devices/system/cpu/cpu4/online" in item.remedy
