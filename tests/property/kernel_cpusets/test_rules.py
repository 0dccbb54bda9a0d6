# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's rules for cpusets: who must not overlap, what hotplug and boot options do, what is refused."""

from __future__ import annotations

import pytest
from property.kernel_cpusets.group import (
    CPUS,
    EXCLUSIVE,
    GRANTED,
    PARTITION,
    CpusetTreeError,
    Rules,
)
from property.kernel_cpusets.nodes import DP, EMULATOR, EVERY, REMOTE, RT, VCPU0, VCPU1, cpus, down, guest, holder, node, texts
from property.kernel_cpusets.tree import CpusetTree, Write, predict


@pytest.mark.parametrize("release", EVERY)
def test_holders_overlap(release):
    tree = node(release)
    for write in [*holder(tree, RT, "4-5"), *holder(tree, DP, "6-7"), *holder(tree, f"{RT}/one", "4")]:
        tree.write(*write)
    outcome = tree.write(DP, CPUS, "5-7")
    assert outcome.error is None
    if release >= (7, 0):
        assert texts(tree)[DP] == ("6-7", "isolated")
        assert outcome.invalidated == ()
        assert tree.owner_of(5) == RT
    else:
        assert outcome.invalidated == (RT, f"{RT}/one")
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
    """Some task must be able to run: all partitions end."""
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
    for write in (Write(VCPU0, PARTITION, "member"), Write(VCPU0, EXCLUSIVE, "1"), Write(VCPU0, PARTITION, "isolated")):
        tree.write(*write)
    tree.attach(VCPU1, tasks=False)
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
    for write in (Write("machine.slice", PARTITION, "isolated"), Write("machine.slice", EXCLUSIVE, "2-3")):
        assert tree.write(*write).partition == "isolated invalid (Have remote partition underneath)"
    assert tree.owner_of(2) == VCPU0


@pytest.mark.parametrize("release", REMOTE)
@pytest.mark.parametrize("emulator", ["2", "2-3"])
def test_an_emulator_on_its_own_vcpus_cpus_keeps_them_from_being_partitions(release, emulator):
    """As OpenStack pins it without hw:emulator_threads_policy; so it is moved first."""
    tree = node(release)
    guest(tree)
    tree.write(EMULATOR, CPUS, emulator)
    tree.write(VCPU0, CPUS, "2")
    tree.write(VCPU1, CPUS, "3")
    outcomes = [tree.write(*write) for write in [*down(VCPU0, "2", "2-3"), *down(VCPU1, "3", "2-3")]]
    made = [tree[path].partition for path in (VCPU0, VCPU1)]
    if release < (7, 0) or emulator == "2":
        assert made != ["isolated", "isolated"] or any(outcome.error for outcome in outcomes)
    tree = node(release)
    guest(tree)
    tree.write(EMULATOR, CPUS, "0-1")
    for write in [*down(VCPU0, "2", "2-3"), *down(VCPU1, "3", "2-3")]:
        assert tree.write(*write).error is None
    assert [tree[path].partition for path in (VCPU0, VCPU1)] == ["isolated", "isolated"]


@pytest.mark.parametrize("release", REMOTE)
def test_emulator_and_io_thread_may_share_a_cpu_beside_partitions(release):
    """As hw:emulator_threads_policy=isolate pins them: the CPU is in no partition, so both may have it."""
    tree = node(release)
    guest(tree)
    for write in [*holder(tree, RT, "4-7"), *down(VCPU0, "2"), Write(EMULATOR, CPUS, "3")]:
        assert tree.write(*write).error is None
    assert (tree[VCPU0].partition, texts(tree)[EMULATOR]) == ("isolated", ("3", "member"))


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


def test_no_task_enters_without_cpus():
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
