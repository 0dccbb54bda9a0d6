# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's instances, and the CPUs that they would lose."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse
from ansible_collections.realtime.kvm.plugins.module_utils._guests.nova import instance_of
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.instances import (
    InstanceError,
    Sets,
    astray,
    check_instances,
)
from unit.clouds import instance

BEFORE = Sets(frozenset({2, 3, 5, 6, 7}), frozenset({0, 4}))
UUID = "6a1e7f4e-0000-4000-8000-000000000001"


def sets(dedicated, shared=(0, 4)):
    return Sets(frozenset(dedicated), frozenset(shared))


def found(running=True, **more):
    return instance_of(parse(instance(**more)), running=running)


def refusal(one, before, after):
    with pytest.raises(InstanceError) as caught:
        check_instances([one], before, after)
    return str(caught.value)


def test_domains_of_others_are_none():
    assert instance_of(parse("<domain><name>plc1</name></domain>"), running=True) is None


def test_an_instance():
    one = found(pins={0: 2, 1: 3}, shared="0,4", emulator="0,4")
    assert (one.instance.domain, one.instance.uuid, one.running) == ("instance-00000001", UUID, True)
    assert one.cpus.pins == {"vcpu0": {2}, "vcpu1": {3}, "vcpu2": {0, 4}, "emulator": {0, 4}}


@pytest.mark.parametrize("after", [BEFORE, sets({2, 3}), sets({2, 3, 9}, {0, 1, 4})])
def test_sets_that_keep_its_cpus(after):
    check_instances([found(pins={0: 2, 1: 3}, shared="0,4", emulator="0,4")], BEFORE, after)


@pytest.mark.parametrize(
    ("one", "after", "said"),
    [
        ({"pins": {0: 2, 1: 3}}, sets({3, 5}), "runs with vcpu0 on CPU 2, which cpu_dedicated_set (3,5) would not have"),
        ({"pins": {0: 2, 1: 3}}, sets({5}), "vcpu0 on CPU 2, which cpu_dedicated_set (5) would not have"),
        ({"pins": {0: 2}}, sets({3}, {0, 2, 4}), "vcpu0 on CPU 2, which cpu_dedicated_set (3) would not have"),
        ({"shared": "0,4"}, sets({4, 5}, {0}), "vcpu0 on CPU 4, which cpu_shared_set (0) would not have"),
        ({"pins": {0: 2}, "emulator": "7"}, sets({2}), "emulator on CPU 7, which cpu_dedicated_set (2) would not have"),
        ({"pins": {0: 2}}, Sets(), "which cpu_dedicated_set (empty) would not have"),
    ],
    ids=["shrinks", "shrinks more", "becomes shared", "shared becomes dedicated", "emulator of its own", "nothing left"],
)
def test_a_set_that_loses_a_cpu_is_refused_by_instance_and_cpu(one, after, said):
    text = refusal(found(**one), BEFORE, after)
    assert f"instance-00000001 (x, {UUID}) " in text
    assert said in text
    assert "Nothing was changed. Migrate, shelve or delete" in text


def test_an_instance_that_is_shut_off_keeps_its_cpus_too():
    assert "is shut off with vcpu0 on CPU 2" in refusal(found(running=False, pins={0: 2}), BEFORE, sets({3}))


@pytest.mark.parametrize(("pins", "shared", "name"), [({0: 9}, None, "cpu_dedicated_set"), (None, "8-9", "cpu_shared_set")])
def test_without_sets_of_before_one_cpu_is_a_dedicated_one(pins, shared, name):
    assert f"which {name} " in refusal(found(pins=pins, shared=shared), Sets(), BEFORE)


def test_a_shared_set_of_one_cpu_is_shared():
    check_instances([found(shared="0", emulator="0")], sets({2}, {0}), sets({3}, {0}))


def test_an_emulator_on_its_vcpus_loses_nothing_of_its_own():
    text = refusal(found(pins={0: 2, 1: 3}, emulator="2-3"), BEFORE, sets({5}))
    assert "emulator" not in text


def test_many_instances_are_counted():
    many = [found(name=f"instance-{number:08x}", pins={0: 2}) for number in range(12)]
    with pytest.raises(InstanceError, match="; and 2 more"):
        check_instances(many, BEFORE, sets({3}))


def test_a_name_cannot_write_to_the_terminal():
    one = found(name="a&#x85;b", pins={0: 2})
    assert "\x85" not in refusal(one, BEFORE, sets({3}))


def test_an_instance_without_pins_loses_nothing():
    check_instances([found()], BEFORE, sets({3}, ()))


def test_a_cpu_that_no_set_gave_is_not_taken_away():
    stale = found(pins={0: 2}, emulator="9")
    check_instances([stale], BEFORE, BEFORE)
    assert [text.rpartition(": ")[2] for text in astray([stale], BEFORE, BEFORE)] == ["emulator"]
    floats = found(shared="0-1")
    check_instances([floats], BEFORE, BEFORE)
    assert len(astray([floats], BEFORE, BEFORE)) == 1
    assert astray([found(pins={0: 2})], BEFORE, BEFORE) == []


def test_a_cpu_that_no_set_gave_must_not_go_to_the_other_kind():
    stale = found(pins={0: 2}, emulator="9")
    assert "CPU 9, which cpu_dedicated_set" in refusal(stale, BEFORE, sets({2, 3, 5, 6, 7}, {0, 4, 9}))
