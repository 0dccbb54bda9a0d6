# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of guests: where they run, under which policy, and beside what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.guests import check_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import Instance
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from unit.actors import PARTITION, PLC, PRIORITIES, TOPOLOGY, VCPUS, actor, checked, guest, seen

VHOST = ("vcpu0", "fifo 1")


DEFINED = Existing("plc", ours=False, vcpus={0: frozenset({2}), 1: frozenset({8})}, emulator=frozenset({0, 6}))


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
