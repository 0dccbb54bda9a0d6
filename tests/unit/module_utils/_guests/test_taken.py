# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which CPUs a change of the partition takes from instances of Nova."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import Instance, instance_cpus
from ansible_collections.realtime.kvm.plugins.module_utils._guests.taken import Taken, narrowed_cpus, refusal, taken_cpus
from unit.instances import instance_tree, partition_of

OLD = partition_of(housekeeping="0-1", realtime="4-7", shared="2-3")


def cpus_of(*arguments, **options):
    return instance_cpus(instance_tree(1, *arguments, **options))


PINNED = cpus_of(["4", "5"], "4-5")
SHARE = cpus_of(["4"], "0-3", sched="0")
ISOLATE = cpus_of(["4"], "5", sched="0", io="5")
MIXED = cpus_of(["2-3", "4"], "2-3", sched="1")
FLOATING = cpus_of([], "", floating="2-3")
ONE_SHARED = cpus_of(["2", "2"], "2")


@pytest.mark.parametrize("cpus", [PINNED, SHARE, ISOLATE, MIXED, FLOATING, ONE_SHARED])
def test_what_stays_takes_nothing(cpus):
    assert taken_cpus(cpus, OLD, OLD) == {}
    assert taken_cpus(cpus, OLD, partition_of(housekeeping="0-3", realtime="4-6", shared="7")) == {}


@pytest.mark.parametrize(
    ("cpus", "taken"),
    [
        (PINNED, {"vcpu0": {4}}),
        (SHARE, {"vcpu0": {4}}),
        (ISOLATE, {"vcpu0": {4}}),
        (MIXED, {"vcpu1": {4}}),
        (FLOATING, {}),
        (ONE_SHARED, {}),
    ],
)
@pytest.mark.parametrize("name", ["housekeeping", "dataplane", "shared"])
def test_a_cpu_that_leaves_the_realtime_set_is_taken_from_its_vcpu(cpus, taken, name):
    sets = {"housekeeping": "0-1", "shared": "2-3", "realtime": "5-7"}
    sets[name] = f"{sets[name]},4" if name in sets else "4"
    assert taken_cpus(cpus, OLD, partition_of(**sets)) == taken


def test_the_emulators_own_cpu_counts():
    new = partition_of(housekeeping="0-1,5", realtime="4,6-7", shared="2-3")
    assert taken_cpus(ISOLATE, OLD, new) == {"emulator": {5}, "iothread1": {5}}


@pytest.mark.parametrize(
    ("cpus", "taken"),
    [(FLOATING, {"vcpu0", "emulator"}), (MIXED, {"vcpu0", "emulator"}), (ONE_SHARED, {"vcpu0", "vcpu1", "emulator"})],
)
def test_threads_that_float_must_keep_an_ordinary_cpu(cpus, taken):
    assert set(taken_cpus(cpus, OLD, partition_of(housekeeping="0-1", realtime="2-7"))) == taken
    assert set(taken_cpus(cpus, OLD, partition_of(housekeeping="0-1", realtime="4-7", dataplane="2-3"))) == taken


@pytest.mark.parametrize(
    ("cpus", "taken"),
    [
        (PINNED, {"vcpu0", "vcpu1"}),
        (SHARE, {"vcpu0"}),
        (ISOLATE, {"vcpu0", "emulator", "iothread1"}),
        (MIXED, {"vcpu1"}),
        (FLOATING, set()),
    ],
)
def test_undo_ends_the_isolation_of_every_own_cpu(cpus, taken):
    assert set(taken_cpus(cpus, OLD, None)) == taken


@pytest.mark.parametrize(
    ("cpus", "shared", "taken"),
    [
        (cpus_of(["2", "5"], "2,5"), "", {"vcpu0"}),  # a plainly pinned one that was there before the first partition
        (cpus_of(["4", "5"], "4-5"), "", set()),
        (ONE_SHARED, "2", set()),
        (ONE_SHARED, "", {"vcpu0", "vcpu1"}),
        (cpus_of([], "", floating="0-7"), "", set()),
        (cpus_of([], "", floating="5-7"), "", {"vcpu0"}),
    ],
)
def test_the_first_partition_must_leave_instances_their_cpus(cpus, shared, taken):
    first = partition_of(housekeeping="0-3", realtime="4-7")
    assert set(taken_cpus(cpus, None, first, frozenset(map(int, shared)))) == taken


def test_an_instance_that_is_wrong_already_keeps_nobody_from_other_changes():
    wrong = cpus_of(["2"], "0", sched="0")  # on a shared CPU
    assert taken_cpus(wrong, OLD, partition_of(housekeeping="0-1", realtime="4-6", shared="2-3,7")) == {}


def test_fewer_cpus_for_threads_that_float_are_told():
    new = partition_of(housekeeping="0-1", realtime="3-7", shared="2")
    assert narrowed_cpus(FLOATING, OLD, new) == {3}
    assert narrowed_cpus(PINNED, OLD, new) == frozenset()
    assert narrowed_cpus(FLOATING, OLD, None) == frozenset()
    assert narrowed_cpus(cpus_of([], "", floating="0-7"), None, OLD) == {4, 5, 6, 7}


def test_the_message_names_instance_uuid_state_and_cpu():
    web = Instance("instance-00000001", "0b7c5f52-3f3c-4b7e-9d0a-6f4c5f1f0a01", name="web")
    taken = [
        Taken(web, "running", {"vcpu0": frozenset({4})}),
        Taken(Instance("instance-00000002"), "shut off", {"emulator": frozenset({5})}),
    ]
    text = refusal(taken, undo=False)
    assert text.startswith("cpu_partition: the planned sets would take CPUs 4-5 from instances of Nova")
    assert "instance-00000001 (web, 0b7c5f52-3f3c-4b7e-9d0a-6f4c5f1f0a01), running: CPU 4 of its vcpu0" in text
    assert "instance-00000002, shut off: CPU 5 of its emulator" in text
    assert "openstack server migrate 0b7c5f52" in text
    assert "undo would end the isolation of CPUs 4-5" in refusal(taken, undo=True)
    assert refusal([], undo=True) == ""
    many = refusal([taken[0]] * 12, undo=False)
    assert many.count("web") == 10
    assert "and 2 more" in many
