# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs on isolated CPUs: guests, poll-mode threads, other programs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.guests import (
    Actor,
    RunningGuest,
    check_guests,
    check_polling,
    check_programs,
)
from ansible_collections.realtime.kvm.plugins.module_utils._audit.kernel import presumed_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cells import Cell
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import Instance
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
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


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ((), []),
        ([actor("vcpu0", "2,4")], [("vcpu-pin", "domain plc: vcpu0")]),
        ([actor("vcpu0", "3")], [("vcpu-pin", "domain plc: vcpu0")]),
        ([actor("vcpu0", "1")], [("vcpu-pin", "domain plc: vcpu0")]),  # a poll-mode thread's
        ([actor("vcpu1", "8", priority=2)], [("vcpu-priority", "domain plc: vcpu1")]),
        ([actor("emulator", "0,2")], [("emulator-pin", "domain plc: emulator")]),
        ([actor("emulator", "2")], [("emulator-pin", "domain plc: emulator")]),  # below its own vCPU
        ([actor("emulator", "5")], []),  # one of its own
        ([actor("iothread1", "0-11")], [("emulator-pin", "domain plc: iothread1")]),
        ([actor("other", "0-11")], []),  # workers come and go
        ([actor("worker", "2", name="kvm-nx-lpage-re")], [("nx-recovery", "plc: kvm-nx-lpage-re (thread 108)")]),
        ([actor("worker", "8", priority=1, name="kvm-nx-lpage-re")], [("nx-recovery", "plc: kvm-nx-lpage-re (thread 108)")]),
        ([actor("worker", "0,6", priority=1, name="kvm-nx-lpage-re")], [("nx-recovery", "plc: kvm-nx-lpage-re (thread 108)")]),
        ([actor("worker", "0,6", name="kvm-nx-lpage-re")], []),  # beside the emulator
        ([actor("other", "8", name="vnc_worker")], [("guest-worker", "plc: vnc_worker (thread 101)")]),
        ([actor("other", "0,6", priority=1, name="vnc_worker")], [("guest-worker", "plc: vnc_worker (thread 101)")]),
        ([actor("emulator", "5"), actor("other", "5")], []),  # as the emulator, which has a CPU of its own
        ([actor("vcpu2", "2")], [("vcpu-overlap", "CPU 2")]),
    ],
)
def test_a_real_time_guest(changed, found):
    actors = {item.role: item for item in (*VCPUS, *changed)}
    assert seen(checked([guest(*actors.values())], PARTITION, TOPOLOGY, PRIORITIES)) == found


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"memory": {0: 64}}, []),
        ({"memory": {0: 60, 1: 4}}, ["guest-memory-node"]),
        ({"memory": {0: 64, 1: 0}}, []),
        ({"locked_kib": 0}, ["guest-memory-unlocked"]),
        ({"locked_kib": 4}, []),
        ({"vhost_user": ("52:54:00:00:00:01",), "shared": False}, ["vhost-user-memory"]),
        ({"vhost_user": ("52:54:00:00:00:01",), "shared": True}, []),
        ({"vhost_user": ("52:54:00:00:00:01",), "shared": None}, []),
    ],
)
def test_its_memory(more, found):
    assert [item.rule for item in checked([replace(PLC, **more)], PARTITION, TOPOLOGY, PRIORITIES)] == found


CELL = Cell(frozenset({0, 1}), 64, (1,))


@pytest.mark.parametrize(
    ("defined", "found"),
    [
        ({"nodes": (0,)}, []),
        ({"nodes": (0, 1)}, ["memory from node 1 at its next start (numatune of its definition)"]),
        ({"nodes": (0,), "cells": {0: CELL}}, ["memory from node 1 at its next start (numatune of its definition)"]),
        ({"nodes": (1,), "cells": {0: replace(CELL, nodes=(0,))}}, []),  # its cell decides for all of its memory
        ({}, []),
    ],
)
def test_a_definition_that_takes_memory_elsewhere_is_found_before_the_guest_starts_again(defined, found):
    """field/05: libvirt accepts a memnode that contradicts memory and vCPUs."""
    plc = replace(PLC, memory={0: 32}, defined=Existing("plc", ours=False, memory_mib=64, **defined))
    findings = check_guests([plc], PARTITION, TOPOLOGY, PRIORITIES)
    assert [item.actual for item in findings if item.rule == "guest-memory-node"] == found
    assert all(
        "memory and each memnode to nodeset 0 (virsh edit plc)" in item.remedy for item in findings if item.actual in found
    )
    now = check_guests([replace(plc, memory={1: 32})], PARTITION, TOPOLOGY, PRIORITIES)
    assert [item.actual for item in now if item.rule == "guest-memory-node"] == ["32 of 32 pages on node 1"], "one cause"
    listed = check_guests([replace(plc, listed=True)], PARTITION, TOPOLOGY, PRIORITIES)
    assert "guest-memory-node" not in [item.rule for item in listed], "the inventory is compared with its definition"


def test_beside_cpus_of_a_node_without_memory_there_is_none():
    """field/13: a guest with numa: spread has CPUs there, and its memory elsewhere."""
    bare = replace(TOPOLOGY, without_memory=frozenset({0}))
    both = guest(actor("vcpu0", "2"), actor("vcpu1", "4", priority=1), VCPUS[2], memory={1: 64})
    for plc in (replace(PLC, memory={1: 64}), both):
        assert "guest-memory-node" not in [item.rule for item in check_guests([plc], PARTITION, bare, PRIORITIES)]


def test_two_guests_and_poll_mode_threads_on_one_cpu():
    other = guest(actor("vcpu0", "8", process=200, priority=1), name="other", process=200)
    (overlap,) = checked([PLC, other], PARTITION, TOPOLOGY, PRIORITIES)
    assert (overlap.resource, overlap.actual) == ("CPU 8", "plc vcpu1, other vcpu0")
    presumed = presumed_partition(TOPOLOGY, PARTITION.isolated)
    polled = guest(actor("vcpu0", "7", priority=1))
    pmds = [Actor(900, 901, "pmd-c07", frozenset({7}))]
    assert [item.actual for item in checked([polled], presumed, TOPOLOGY, PRIORITIES, pmds=pmds)] == ["pmd-c07, plc vcpu0"]
    # with a partition file it is known that CPU 7 is no realtime CPU, and that is reported once
    assert seen(checked([polled], PARTITION, TOPOLOGY, PRIORITIES, pmds=pmds)) == [("vcpu-pin", "domain plc: vcpu0")]


def test_a_thread_that_is_named_already_has_no_second_finding():
    moved = guest(actor("vcpu0", "4"), VCPUS[1], VCPUS[2], listed=True)
    other = guest(actor("vcpu0", "4", process=200, priority=1), name="other", process=200, listed=True)
    assert checked([moved, other], PARTITION, TOPOLOGY, PRIORITIES, named={("plc", "vcpu0")}) == []
    assert seen(checked([moved, other], PARTITION, TOPOLOGY, PRIORITIES)) == [("vcpu-overlap", "CPU 4")]


DEFINED = Existing("plc", ours=False, vcpus={0: frozenset({2}), 1: frozenset({8})}, emulator=frozenset({0, 6}))


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ((), []),
        ([actor("vcpu1", "5", priority=1)], [("guest-live", "domain plc: vcpu1")]),
        ([actor("vcpu1", "8")], [("guest-live", "domain plc: vcpu1")]),
        ([actor("emulator", "0")], [("guest-live", "domain plc: emulator")]),
        ([actor("vcpu1", "5,11", priority=1)], [("vcpu-pin", "domain plc: vcpu1")]),  # the worse of two
    ],
)
def test_what_runs_is_held_against_the_definition(changed, found):
    actors = {
        item.role: item
        for item in (VCPUS[0], actor("vcpu1", "8", priority=1), VCPUS[2], actor("vcpu0", "2", priority=1), *changed)
    }
    running = guest(*actors.values(), defined=DEFINED, schedulers={0: "fifo 1", 1: "fifo 1"})
    assert seen(checked([running], PARTITION, TOPOLOGY, PRIORITIES)) == found


def test_an_ordinary_guest_may_float_and_is_held_against_its_definition_alone():
    floating = guest(actor("vcpu0", "0,3,6,9"), actor("emulator", "0-11"), locked_kib=0, memory={1: 5})
    assert checked([floating], PARTITION, TOPOLOGY, PRIORITIES) == []
    defined = replace(floating, defined=Existing("plc", ours=False, floating=frozenset({0, 6}), emulator=frozenset()))
    assert seen(checked([defined], PARTITION, TOPOLOGY, PRIORITIES)) == [("guest-live", "domain plc: vcpu0")]


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


@pytest.mark.parametrize(
    ("actors", "listed", "found"),
    [
        (VCPUS, False, ["vcpu0 of the same guest"]),  # its own ordinary vCPU is beside it
        (VCPUS, True, []),  # the inventory decides
        ([actor("vcpu0", "5"), VCPUS[1], VCPUS[2]], False, []),
        ([actor("vcpu0", "5"), VCPUS[1], actor("emulator", "2")], False, ["emulator of the same guest"]),
        ([actor("vcpu0", "2", priority=1), VCPUS[1], VCPUS[2]], False, ["vcpu1 of the same guest", "vcpu0 of the same guest"]),
        ([VCPUS[0], actor("vcpu1", "8"), VCPUS[2]], False, []),  # no real-time vCPU
    ],
)
def test_the_other_thread_of_a_real_time_vcpus_core_is_idle_within_its_guest_too(actors, listed, found):
    findings = check_guests([guest(*actors, listed=listed)], PARTITION, TOPOLOGY, PRIORITIES)
    assert [item.actual for item in findings if item.rule == "smt-sibling"] == found


@pytest.mark.parametrize(
    ("more", "shares"),
    [
        ({}, False),
        ({"wish": True}, True),
        ({"defined": replace(DEFINED, ours=True, threads=2)}, True),  # made with siblings: any
        ({"defined": replace(DEFINED, ours=True)}, False),
        ({"defined": replace(DEFINED, threads=2)}, False),  # of another maker: whose wish is it?
    ],
)
def test_unless_it_shares_cores_by_wish(more, shares):
    findings = check_guests([replace(PLC, **more)], PARTITION, TOPOLOGY, PRIORITIES)
    assert [item.rule for item in findings if item.rule == "smt-sibling"] == ["smt-sibling"] * (not shares)


@pytest.mark.parametrize(
    ("specs", "found"),
    [
        ({}, ["instance-sibling"]),  # Nova 31 does not say what the flavor wants
        ({"hw:cpu_thread_policy": "prefer"}, ["instance-sibling"]),
        ({"hw:cpu_thread_policy": "require"}, []),
    ],
)
def test_an_instance_may_have_whole_cores(specs, found):
    plc = replace(PLC, instance=Instance("instance-1", "u", specs=specs))
    findings = check_guests([plc], PARTITION, TOPOLOGY, PRIORITIES)
    assert [item.rule for item in findings if "sibling" in item.rule] == found
    assert all("cpu_partition_smt: single" in item.remedy for item in findings if "sibling" in item.rule)


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ({}, "run python3 -I /usr/local/lib/realtime-kvm/realtime-kvm.pyz worker 100; "),
        ({"defined": DEFINED}, "run python3 -I /usr/local/lib/realtime-kvm/realtime-kvm.pyz worker 100; "),
        ({"defined": replace(DEFINED, ours=True)}, "run the guests playbook, which moves it; "),
    ],
)
def test_kvms_worker_is_moved_by_who_can(more, remedy):
    plc = replace(guest(*VCPUS, actor("worker", "2", name="kvm-nx-lpage-re")), **more)
    (finding,) = [item for item in check_guests([plc], PARTITION, TOPOLOGY, PRIORITIES) if item.rule == "nx-recovery"]
    assert finding.remedy.startswith(remedy)


VHOST = ("vcpu0", "fifo 1")


@pytest.mark.parametrize(
    ("place", "thread", "found"),
    [
        (VHOST, actor("vhost", "2", priority=1, name="vhost-100"), ""),
        (VHOST, actor("vhost", "0,6", priority=1, name="vhost-100"), "CPUs 2 of its vcpu0, fifo 1"),
        (VHOST, actor("vhost", "2", name="vhost-100"), "CPUs 2 of its vcpu0, fifo 1"),
        (VHOST, actor("vhost", "8", priority=1, name="vhost-100"), "CPUs 2 of its vcpu0, fifo 1"),  # below its real-time vCPU
        (("emulator", "other"), actor("vhost", "0,6", name="vhost-100"), ""),
        (("emulator", "other"), actor("vhost", "0-11", name="vhost-100"), "CPUs 0,6 of its emulator, other"),
        (None, actor("vhost", "0,6", name="vhost-100"), ""),  # a guest whose definition does not tell
        (None, actor("vhost", "3,9", name="vhost-100"), ""),
        (None, actor("vhost", "8", name="vhost-100"), "CPUs 0,6 of its emulator, other"),
        (None, actor("vhost", "0,6", priority=5, name="vhost-100"), "CPUs 0,6 of its emulator, other"),
        (("vcpu9", "other"), actor("vhost", "8", name="vhost-100"), ""),  # without that thread nothing is known
    ],
)
def test_vhost_threads_are_where_the_definition_has_them(place, thread, found):
    plc = guest(*VCPUS, thread, vhost=place)
    findings = [item for item in checked([plc], PARTITION, TOPOLOGY, PRIORITIES) if item.rule != "emulator-pin"]
    assert seen(findings) == ([("vhost-thread", "plc: vhost-100 (thread 109)")] if found else [])
    assert [item.expected for item in findings] == ([found] if found else [])
    assert checked([plc], PARTITION, TOPOLOGY, PRIORITIES, named={("plc", "vhost")}) == []


def test_a_vhost_thread_is_no_owner_of_a_cpu():
    plc = guest(*VCPUS, actor("vhost", "2", priority=1, name="vhost-100"))
    assert {cpu: item.role for cpu, item in plc.owned(PARTITION).items()} == {2: "vcpu0", 8: "vcpu1"}
