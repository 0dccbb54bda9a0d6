# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node writes into cpusets, foreseen: holders, guests' vCPU threads, CPUs that go and come back, refusals."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpuset import format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpuset_group import (
    CPUS,
    EXCLUSIVE,
    GRANTED,
    PARTITION,
    CpusetTreeError,
    Rules,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpuset_tree import CpusetTree, Write, predict

EVERY = [(6, 1), (6, 12), (7, 3)]
REMOTE = [(6, 12), (7, 3)]
RT, DP = "realtime-kvm.realtime", "realtime-kvm.dataplane"
SCOPE = "machine.slice/machine-qemu\\x2d1\\x2dplc.scope"
VCPU0, VCPU1, EMULATOR = f"{SCOPE}/libvirt/vcpu0", f"{SCOPE}/libvirt/vcpu1", f"{SCOPE}/libvirt/emulator"


def cpus(text):
    return parse_cpulist(text)


def node(release, online="0-7", **options):
    """A node with the slices of systemd, all with tasks and none restricted."""
    tree = CpusetTree(Rules.of_release(release), cpus(online), **options)
    for path in ("init.scope", "system.slice", "user.slice", "machine.slice"):
        tree.add(path)
        tree.attach(path)
    return tree


def holder(tree, path, cpulist):
    if path not in tree.groups:
        tree.add(path)
    return [Write(path, CPUS, cpulist), Write(path, PARTITION, "isolated")]


def guest(tree):
    """A running guest with two vCPU threads, as libvirt lays it out: the emulator's threads on housekeeping CPUs."""
    path = ""
    for name in (*SCOPE.split("/"), "libvirt"):
        path = f"{path}/{name}".lstrip("/")
        if path not in tree.groups:
            tree.add(path)
    tree["machine.slice"].tasks = False
    for leaf in (VCPU0, VCPU1, EMULATOR):
        tree.add(leaf)
        assert tree.attach(leaf).error is None
    tree.write(EMULATOR, CPUS, "0-1")


def down(leaf, cpulist, whole=None):
    """Writes that make a vCPU thread's cgroup a remote partition: exclusive CPUs down the path, then the partition."""
    above = leaf.split("/")
    paths = ["/".join(above[: depth + 1]) for depth in range(len(above) - 1)]
    return [
        *(Write(path, EXCLUSIVE, whole or cpulist) for path in paths),
        Write(leaf, EXCLUSIVE, cpulist),
        Write(leaf, PARTITION, "isolated"),
    ]


def texts(tree):
    return {group.path: (format_cpulist(group.effective), group.partition) for group in tree}


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


@pytest.mark.parametrize("release", EVERY)
def test_holders_overlap(release):
    tree = node(release)
    for write in [*holder(tree, RT, "4-5"), *holder(tree, DP, "6-7")]:
        tree.write(*write)
    outcome = tree.write(DP, CPUS, "5-7")
    assert outcome.error is None
    if release >= (7, 0):
        assert texts(tree)[DP] == ("6-7", "isolated")
        assert outcome.invalidated == ()
        assert tree.owner_of(5) == RT
    else:
        assert outcome.invalidated == (RT,)
        assert outcome.rivals == {RT: cpus("5")}
        assert tree[DP].partition.startswith("isolated invalid")
        assert tree.isolated == frozenset()


@pytest.mark.parametrize("release", EVERY)
def test_offline_and_online_again(release):
    """A CPU may be cycled while its partition keeps another one, or has no task."""
    tree = node(release)
    for write in holder(tree, RT, "4-5"):
        tree.write(*write)
    tree.attach(RT)
    whole = texts(tree)
    assert tree.plug(4, False).invalidated == ()
    assert texts(tree)[RT] == ("5", "isolated")
    assert tree.plug(5, False).invalidated == (RT,)
    reason = " (No cpu available due to hotplug)" if release == (6, 1) else ""
    assert tree[RT].partition == f"isolated invalid{reason}"
    tree.plug(4, True)
    tree.plug(5, True)
    assert texts(tree) == whole


@pytest.mark.parametrize("release", REMOTE)
def test_offline_cpu_of_a_running_vcpu(release):
    """A remote partition does not come back by itself."""
    tree = node(release)
    guest(tree)
    for write in down(VCPU0, "2"):
        tree.write(*write)
    tree.plug(2, False)
    assert tree[VCPU0].partition == "isolated invalid (No cpu available due to hotplug)"
    tree.plug(2, True)
    assert not tree[VCPU0].valid
    assert tree.write(VCPU0, PARTITION, "isolated").partition == "isolated"


@pytest.mark.parametrize("release", REMOTE)
def test_last_cpu_outside_partitions_goes(release):
    """Somebody must be able to run: all partitions end."""
    tree = node(release, "0-3")
    guest(tree)
    for write in [Write(EMULATOR, CPUS, "0"), *down(VCPU0, "1"), *holder(tree, RT, "2-3")]:
        assert tree.write(*write).error is None
    assert tree.plug(0, False).invalidated == (VCPU0, RT)
    assert texts(tree)["system.slice"][0] == "1-3"


@pytest.mark.parametrize("release", REMOTE)
def test_vcpu_that_would_take_the_last_cpu(release):
    tree = node(release, "0-3")
    guest(tree)
    for write in [Write(EMULATOR, CPUS, ""), *down(VCPU0, "1", "0-3")]:
        tree.attach(EMULATOR, tasks=False)
        assert tree.write(*write).error is None
    assert tree.write(VCPU0, EXCLUSIVE, "0-3").partition == "isolated invalid (Parent unable to distribute cpu downstream)"
    tree.write(VCPU0, PARTITION, "member")
    assert tree.write(VCPU0, PARTITION, "isolated").partition == "isolated invalid (Invalid cpu list in cpuset.cpus.exclusive)"


@pytest.mark.parametrize("release", EVERY)
def test_partition_below_a_smaller_holder(release):
    """Who loses a CPU to a change above is not valid until it is written again."""
    tree = node(release)
    below = f"{RT}/one"
    for write in [*holder(tree, RT, "4-7"), *holder(tree, below, "6-7")]:
        assert tree.write(*write).error is None
    assert tree.owner_of(7) == below
    assert tree.write(RT, CPUS, "4-6").invalidated == (below,)
    wording = "cpuset.cpus" if release == (6, 1) else "cpuset.cpus.exclusive"
    assert tree[below].partition == f"isolated invalid (Invalid cpu list in {wording})"
    assert predict(tree, [Write(below, CPUS, "6")]).problems == ()


@pytest.mark.parametrize(
    ("release", "kind", "state"),
    [
        ((6, 1), "isolated", "isolated"),
        ((6, 12), "isolated", "isolated invalid (partition config conflicts with housekeeping setup)"),
        ((7, 3), "isolated", "isolated"),
        ((7, 3), "root", "root invalid (partition config conflicts with housekeeping setup)"),
    ],
)
def test_cpus_isolated_at_boot(release, kind, state):
    tree = node(release, boot_isolated=cpus("6-7"))
    assert tree.isolated == cpus("6-7")
    tree.add(RT)
    tree.write(RT, CPUS, "5-6")
    assert tree.write(RT, PARTITION, kind).partition == state
    assert cpus("6-7") <= tree.isolated


def test_a_cpu_without_nohz_full_must_stay():
    tree = node((7, 3), nohz_full=cpus("4-7"))
    assert predict(tree, holder(tree, RT, "1-3")).problems == ()
    (problem,) = predict(tree, holder(tree, DP, "0-3")).problems
    assert problem == f"{DP}/{PARTITION}: isolated invalid (partition config conflicts with housekeeping setup)"


@pytest.mark.parametrize("release", REMOTE)
def test_holder_over_a_remote_partition(release):
    tree = node(release)
    guest(tree)
    for write in down(VCPU0, "2"):
        tree.write(*write)
    assert tree.write("machine.slice", PARTITION, "isolated").partition == "isolated invalid (Have remote partition underneath)"


@pytest.mark.parametrize("release", EVERY)
def test_empty_partition(release):
    tree = node(release)
    tree.add(RT)
    reason = "cpuset.cpus is empty" if release == (6, 1) else "cpuset.cpus and cpuset.cpus.exclusive are empty"
    assert tree.write(RT, PARTITION, "isolated").partition == f"isolated invalid ({reason})"


def test_old_kernels_try_anew_only_after_member():
    tree = node((6, 1))
    tree.add(RT)
    tree.write("system.slice", CPUS, "0-7")
    tree.write(RT, CPUS, "4")
    tree.write(RT, PARTITION, "isolated")
    tree.write("system.slice", CPUS, "0-3")
    assert not tree[RT].valid
    tree.write(RT, PARTITION, "isolated")
    assert not tree[RT].valid
    tree.write(RT, PARTITION, "member")
    assert tree.write(RT, PARTITION, "isolated").partition == "isolated"


@pytest.mark.parametrize(
    ("path", "file", "value", "error"),
    [
        ("", CPUS, "1", "EACCES"),
        ("system.slice", CPUS, "1,x", "EINVAL"),
        ("system.slice", CPUS, "8", "EINVAL"),
        ("system.slice", PARTITION, "isolate", "EINVAL"),
        ("system.slice", "cpuset.mems", "0", "ENOENT"),
    ],
)
def test_refused_writes(path, file, value, error):
    tree = node((7, 3))
    before = texts(tree)
    assert tree.write(path, file, value).error == error
    assert texts(tree) == before


@pytest.mark.parametrize(("release", "error"), [((6, 1), "ENOSPC"), ((6, 12), "ENOSPC"), ((7, 3), None)])
def test_emptied_with_tasks(release, error):
    tree = node(release)
    tree.write("system.slice", CPUS, "0-3")
    assert tree.write("system.slice", CPUS, "").error == error


@pytest.mark.parametrize("release", REMOTE)
def test_exclusive_cpus_of_siblings(release):
    tree = node(release)
    tree.write("user.slice", EXCLUSIVE, "2-3")
    outcome = tree.write("machine.slice", EXCLUSIVE, "3-4")
    assert (outcome.error, outcome.rivals) == ("EINVAL", {"user.slice": cpus("3")})
    tree.write("system.slice", CPUS, "5")
    outcome = tree.write("machine.slice", EXCLUSIVE, "4-6")
    assert (outcome.error, outcome.rivals) == ("EINVAL", {"system.slice": cpus("5")})


def test_nobody_enters_without_cpus():
    tree = node((7, 3))
    tree.add(RT)
    tree.add(f"{RT}/one")
    for path in (RT, f"{RT}/one"):
        tree.write(path, CPUS, "4")
        assert tree.write(path, PARTITION, "isolated").partition == "isolated"
    assert tree.attach(RT).error == "ENOSPC"
    assert tree.attach(f"{RT}/one").error is None


def test_removed():
    tree = node((7, 3))
    for write in holder(tree, RT, "4-5"):
        tree.write(*write)
    tree.attach(RT)
    assert tree.remove(RT).error == "EBUSY"
    tree.attach(RT, tasks=False)
    assert tree.remove(RT).error is None
    assert tree.isolated == frozenset()
    assert texts(tree)["system.slice"] == ("0-7", "member")
    with pytest.raises(CpusetTreeError, match=RT):
        tree.write(RT, CPUS, "1")


def test_last_cpu_stays():
    tree = CpusetTree(Rules.of_release((7, 3)), cpus("0-1"), possible=cpus("0-3"))
    assert tree.plug(1, False).error is None
    assert tree.plug(0, False).error == "EBUSY"
    assert tree.plug(4, True).error == "ENOENT"


def test_loaded_from_files():
    """What a node with a holder, a guest's vCPU and an invalid partition shows."""
    files = {
        RT: {CPUS: "4-5\n", EXCLUSIVE: "\n", GRANTED: "4-5\n", PARTITION: "isolated\n"},
        DP: {CPUS: "9\n", GRANTED: "\n", PARTITION: "isolated invalid (Invalid cpu list in cpuset.cpus.exclusive)\n"},
        "machine.slice": {CPUS: "\n", EXCLUSIVE: "2\n", GRANTED: "2\n", PARTITION: "member\n"},
        "machine.slice/one": {CPUS: "\n", EXCLUSIVE: "2\n", GRANTED: "2\n", PARTITION: "isolated\n"},
        "system.slice": {CPUS: "0-3\n", PARTITION: "member\n"},
    }
    tree = CpusetTree(Rules.of_release((6, 12)), cpus("0-7"), possible=cpus("0-9"))
    tree.load(files, populated={"system.slice"})
    assert texts(tree) == {
        RT: ("4-5", "isolated"),
        DP: ("0-1,3,6-7", "isolated invalid (Invalid cpu list in cpuset.cpus.exclusive)"),
        "machine.slice": ("0-1,3,6-7", "member"),
        "machine.slice/one": ("2", "isolated"),
        "system.slice": ("0-1,3", "member"),
    }
    assert tree["machine.slice/one"].remote
    assert tree["system.slice"].tasks
    assert tree.owner_of(2) == "machine.slice/one"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a/b": {}}, "'a'"),
        ({"a": {PARTITION: "exclusive"}}, "exclusive"),
        ({"a": {CPUS: "x"}}, "'x'"),
        ({"a": {CPUS: "9"}}, "CPU 9"),
        ({"": {}}, "no path"),
    ],
)
def test_not_loaded(files, message):
    tree = CpusetTree(Rules.of_release((7, 3)), cpus("0-7"))
    with pytest.raises(CpusetTreeError, match=message):
        tree.load(files)
