# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds isolated CPUs; worked out by hand for one node: housekeeping 0, realtime 1-3."""

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import (
    HOLDERS,
    ROOT,
    Held,
    IsolationError,
    User,
    check_free,
    check_moves,
    check_owners,
    exclusive_paths,
    members,
    wanted_holders,
)
from unit.trees import plan

PARTITION = plan()
ONLINE = frozenset(range(4))
SCOPE = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2dplc1.scope"
VCPU = User("plc1 vcpu0", f"{SCOPE}/libvirt/vcpu0", frozenset({2}))


@pytest.mark.parametrize(
    ("users", "reserved", "online", "realtime"),
    [
        ([], (), ONLINE, {1, 2, 3}),
        ([VCPU], (), ONLINE, {1, 3}),
        ([VCPU], (3,), ONLINE, {1}),
        ([], (), frozenset({0, 1}), {1}),
        ([replace(VCPU, cpus=frozenset({1, 2, 3}))], (), ONLINE, ()),
    ],
)
def test_a_holder_has_the_free_cpus(users, reserved, online, realtime):
    wanted = wanted_holders(PARTITION, users, reserved, online)
    assert wanted == {"dataplane": Held(), "realtime": Held(frozenset(realtime), "isolated" if realtime else "")}


def test_idle_threads_are_held_with_the_realtime_cpus():
    partition = replace(PARTITION, sets={**PARTITION.sets, "realtime": frozenset({1})}, idle=frozenset({2, 3}))
    assert members(partition) == {"dataplane": frozenset(), "realtime": frozenset({1, 2, 3})}
    assert set(HOLDERS) == set(members(partition))


def test_cpus_in_use_are_refused_by_owner():
    with pytest.raises(IsolationError, match=r"^plc2 cannot start: in use: CPU 2 by plc1 vcpu0; stop or move it first$"):
        check_free(frozenset({2, 3}), [VCPU], "plc2 cannot start")
    check_free(frozenset({3}), [VCPU], "plc2 cannot start")


def test_a_cpu_in_use_stays_in_its_set():
    shrunk = replace(PARTITION, sets={**PARTITION.sets, "realtime": frozenset({1, 3}), "shared": frozenset({2})})
    check_moves([], PARTITION, shrunk)
    check_moves([replace(VCPU, cpus=frozenset({3}))], PARTITION, shrunk)
    with pytest.raises(IsolationError, match=r"CPUs 2 cannot leave the realtime set: in use: CPU 2 by plc1 vcpu0"):
        check_moves([VCPU], PARTITION, shrunk)
    polling = replace(PARTITION, sets={**PARTITION.sets, "realtime": frozenset({1, 3}), "dataplane": frozenset({2})})
    with pytest.raises(IsolationError, match="CPUs 2 cannot leave the realtime set"):
        check_moves([VCPU], PARTITION, polling)


def test_cpus_of_a_foreign_partition_are_refused_by_its_name():
    check_owners(PARTITION, {f"{ROOT}/theirs": frozenset({0})})
    with pytest.raises(IsolationError, match=rf"^CPUs 1-2 belong to the cpuset partition {ROOT}/theirs of another user"):
        check_owners(PARTITION, {f"{ROOT}/theirs": frozenset({0, 1, 2})})


def test_every_cgroup_above_a_user_marks_its_cpus():
    other = User("plc1 vcpu1", f"{SCOPE}/libvirt/vcpu1", frozenset({3}))
    assert exclusive_paths([VCPU, other]) == {
        f"{ROOT}/machine.slice": {2, 3},
        SCOPE: {2, 3},
        f"{SCOPE}/libvirt": {2, 3},
        f"{SCOPE}/libvirt/vcpu0": {2},
        f"{SCOPE}/libvirt/vcpu1": {3},
    }
    assert list(exclusive_paths([VCPU])) == [f"{ROOT}/machine.slice", SCOPE, f"{SCOPE}/libvirt", VCPU.path], "from above"


def test_a_holder_describes_itself():
    assert [
        str(held) for held in (Held(), Held(frozenset({1, 2}), "isolated"), Held(frozenset({1}), "isolated invalid (why)"))
    ] == [
        "absent",
        "isolated 1-2",
        "isolated invalid (why) 1",
    ]
