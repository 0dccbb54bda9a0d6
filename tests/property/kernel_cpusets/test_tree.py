# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node writes into cpusets, foreseen: holders, guests' vCPU threads, CPUs that go and come back."""

from __future__ import annotations

import pytest
from property.kernel_cpusets.group import (
    CPUS,
    EXCLUSIVE,
    PARTITION,
)
from property.kernel_cpusets.nodes import (
    DP,
    EMULATOR,
    EVERY,
    REMOTE,
    RT,
    SCOPE,
    VCPU0,
    VCPU1,
    cpus,
    down,
    guest,
    holder,
    node,
    texts,
)
from property.kernel_cpusets.tree import Write, predict


@pytest.mark.parametrize("release", EVERY)
def test_two_holders(release):
    tree = node(release)
    before = texts(tree)
    prediction = predict(tree, [*holder(tree, RT, "4-5"), *holder(tree, DP, "6-7")])
    assert prediction.problems == ()
    after = prediction.tree
    assert texts(after)[RT] == ("4-5", "isolated")
    assert texts(after)[DP] == ("6-7", "isolated")
    assert texts(after)["system.slice"] == ("0-3", "member")
    assert after.isolated == cpus("4-7")
    assert [after.owner_of(cpu) for cpu in (0, 4, 7)] == [None, RT, DP]
    assert {path: text for path, text in texts(tree).items() if path in before} == before


@pytest.mark.parametrize("release", EVERY)
def test_holder_over_all_cpus(release):
    """Tasks of the root need a CPU."""
    tree = node(release)
    (problem,) = predict(tree, holder(tree, RT, "0-7")).problems
    assert problem == f"{RT}/{PARTITION}: isolated invalid (Parent unable to distribute cpu downstream)"
    # since 6.7 fewer CPUs alone do not mend it
    fewer = predict(tree, [*holder(tree, RT, "0-7"), Write(RT, CPUS, "4-5")])
    assert bool(fewer.problems) == (release != (6, 1))
    assert predict(fewer.tree, [Write(RT, PARTITION, "isolated")]).problems == ()


@pytest.mark.parametrize(
    ("release", "problem"),
    [
        ((6, 1), "isolated invalid (Cpu list in cpuset.cpus not exclusive); system.slice has CPU 4"),
        ((6, 12), "isolated invalid (Cpu list in cpuset.cpus not exclusive); system.slice has CPU 4"),
        ((7, 3), None),
    ],
)
def test_slice_in_the_way(release, problem):
    """``AllowedCPUs=`` of a slice that holds CPUs of the partition matters up to 6.x."""
    tree = node(release)
    tree.write("system.slice", CPUS, "0-4")
    assert predict(tree, holder(tree, RT, "4-5")).problems == ((f"{RT}/{PARTITION}: {problem}",) if problem else ())


@pytest.mark.parametrize("release", REMOTE)
def test_remote_partition_of_each_vcpu(release):
    tree = node(release)
    guest(tree)
    writes = [*down(VCPU0, "2", "2-3"), *down(VCPU1, "3", "2-3")]
    prediction = predict(tree, writes)
    assert prediction.problems == ()
    after = prediction.tree
    assert texts(after)[VCPU0] == ("2", "isolated")
    assert texts(after)[VCPU1] == ("3", "isolated")
    assert texts(after)[EMULATOR] == ("0-1", "member")
    assert texts(after)["system.slice"] == ("0-1,4-7", "member")
    assert after.isolated == cpus("2-3")
    assert after.owner_of(3) == VCPU1
    assert after.claimed_by(3) == ("machine.slice", SCOPE, f"{SCOPE}/libvirt", VCPU1)
    assert after[VCPU0].remote


@pytest.mark.parametrize("release", REMOTE)
def test_gap_in_the_path(release):
    """Without exclusive CPUs all the way down there is nothing to take."""
    tree = node(release)
    guest(tree)
    writes = [write for write in down(VCPU0, "2") if write.path != SCOPE]
    (problem,) = predict(tree, writes).problems
    assert problem == f"{VCPU0}/{PARTITION}: isolated invalid (Invalid cpu list in cpuset.cpus.exclusive)"


def test_no_remote_partition_on_old_kernels():
    tree = node((6, 1))
    guest(tree)
    assert tree.write(VCPU0, EXCLUSIVE, "2").error == "ENOENT"
    tree.write(VCPU0, CPUS, "2")
    assert tree.write(VCPU0, PARTITION, "isolated").partition == "isolated invalid (Parent is not a partition root)"


@pytest.mark.parametrize("release", REMOTE)
def test_cpu_moves_from_the_holder_to_a_vcpu_and_back(release):
    """A holder gives a CPU up, before a guest's thread takes it; when the guest has gone, the holder takes it back."""
    tree = node(release)
    guest(tree)
    for write in holder(tree, RT, "2-5"):
        assert tree.write(*write).error is None
    taken = predict(tree, down(VCPU0, "2"))
    assert f"machine.slice/{EXCLUSIVE}: writing '2' is refused with EINVAL; {RT} has CPU 2" in taken.problems

    given = predict(tree, [Write(RT, CPUS, "3-5"), *down(VCPU0, "2")])
    assert given.problems == ()
    after = given.tree
    assert texts(after)[RT] == ("3-5", "isolated")
    assert texts(after)[VCPU0] == ("2", "isolated")
    assert after.isolated == cpus("2-5")

    ending = [Write(VCPU0, PARTITION, "member"), *(Write(step.path, EXCLUSIVE, "") for step in reversed(down(VCPU0, "2")[:-1]))]
    back = predict(after, [*ending, Write(RT, CPUS, "2-5")])
    assert back.problems == ()
    assert texts(back.tree) == texts(tree)


@pytest.mark.parametrize(
    ("release", "state"),
    [
        ((6, 12), "isolated invalid (Parent is not a partition root)"),
        ((7, 3), "isolated"),
    ],
)
def test_less_exclusive_cpus_above_a_vcpu(release, state):
    """6.12 ends a remote partition whose CPUs go above it, newer kernels make it smaller."""
    tree = node(release)
    guest(tree)
    for write in down(VCPU0, "2-3"):
        assert tree.write(*write).error is None
    outcome = tree.write("machine.slice", EXCLUSIVE, "2")
    assert outcome.error is None
    assert tree[VCPU0].partition == state
    assert (VCPU0 in outcome.invalidated) == (release == (6, 12))
    assert tree.owner_of(3) is None


@pytest.mark.parametrize("release", EVERY)
def test_holder_gives_a_cpu_and_gets_it_back(release):
    tree = node(release)
    for write in holder(tree, RT, "4-7"):
        tree.write(*write)
    whole = texts(tree)
    assert predict(tree, [Write(RT, CPUS, "4-6")]).problems == ()
    tree.write(RT, CPUS, "4-6")
    assert texts(tree)["user.slice"] == ("0-3,7", "member")
    assert tree.owner_of(7) is None
    tree.write(RT, CPUS, "4-7")
    assert texts(tree) == whole
