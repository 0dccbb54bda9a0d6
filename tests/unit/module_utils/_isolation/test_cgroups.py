# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from a cgroup tree, planned and refused. The kernel's answers are the lab's to test: a file here takes every write."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, read_pins
from ansible_collections.realtime.kvm.plugins.module_utils._guests.kvm import slices_of
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.cgroups import (
    DROP_INS,
    RESERVED,
    check_layout,
    plan_partitions,
    plan_slice_values,
    plan_slices,
    read_holders,
    restore_partitions,
)
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS, ROOT, Held, IsolationError
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.moves import reserve
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.users import read_users
from ansible_collections.realtime.kvm.plugins.module_utils._node.hook import hook_text, pinned_cpus
from unit.loaders import field
from unit.trees import fill, machine_files, plan, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
DATAPLANE = replace(PARTITION, sets={**PARTITION.sets, "realtime": frozenset({2, 3}), "dataplane": frozenset({1})})
ONLINE = frozenset(range(4))
SCOPE = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2dplc1.scope/libvirt"
UNIT = f"{ROOT}/system.slice/ovs-vswitchd.service"


def cgroup(path, cpus="", state="member", **files):
    return {
        f"{path}/cpuset.cpus": f"{cpus}\n",
        f"{path}/cpuset.cpus.partition": f"{state}\n",
        f"{path}/cpuset.cpus.exclusive": "\n",
        f"{path}/cgroup.subtree_control": "cpuset\n",
        **{f"{path}/{name.replace('_', '.', 1)}": text for name, text in files.items()},
    }


@pytest.fixture(name="node")
def _node(tmp_path):
    files = {
        **machine_files(),
        f"{ROOT}/cgroup.controllers": "cpuset cpu io memory\n",
        f"{ROOT}/cgroup.subtree_control": "cpu memory\n",
        f"{ROOT}/cpuset.cpus.isolated": "\n",
        **{key: text for name in ("init.scope", "system.slice", "user.slice") for key, text in cgroup(f"{ROOT}/{name}").items()},
        **cgroup(f"{ROOT}/machine.slice"),
        "/var/lib/": None,
    }
    return fill(tmp_path, files)


def vcpu(number, cpus, state="member", threads="1234\n"):
    return cgroup(f"{SCOPE}/vcpu{number}", cpus, state, cgroup_threads=threads)


def switch(*pmds, state="member"):
    files = {"/run/openvswitch/ovs-vswitchd.pid": "70\n", "/proc/70/cgroup": "0::/system.slice/ovs-vswitchd.service\n"}
    files |= {f"/proc/70/task/{71 + cpu}/comm": f"pmd-c{cpu:02d}/id:9\n" for cpu in pmds}
    return {**files, "/proc/70/task/70/comm": "ovs-vswitchd\n"}


def planned(node, partition=PARTITION):
    host = writable(node, "cpu_partition", check_mode=True)
    plan_partitions(host, partition, ONLINE)
    return [(change.resource, change.before, change.after) for change in host.changes]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"/proc/self/mounts": "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpuset cgroup rw 0 0\n"},
            "cgroup on /sys/fs/cgroup/cpuset",
        ),
        ({"/proc/self/mounts": "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"}, "cgroup2 on /sys/fs/cgroup/unified"),
        ({}, "no cgroups"),
        ({f"{ROOT}/cgroup.controllers": "cpu memory\n"}, "needs the cpuset controller"),
        (
            {f"{ROOT}/cgroup.controllers": "cpuset\n", "/proc/sys/kernel/osrelease": "5.14.0-503.el9.x86_64\n"},
            r"needs Linux 6.1 or newer \(isolated cpuset partitions\); 5.14.0",
        ),
    ],
)
def test_a_machine_that_cannot_is_told_what_it_lacks(tmp_path, files, said):
    with pytest.raises(IsolationError, match=f"cpu_partition_isolation: runtime .*{said}"):
        check_layout(writable(fill(tmp_path, files)))


def test_a_machine_that_can_is_let_pass(node):
    check_layout(writable(node))


def test_an_idle_node_has_its_sets_held(node):
    assert planned(node) == [
        (f"{ROOT}/cgroup.subtree_control", "", "cpuset"),
        ("cpuset:realtime", "absent", "isolated 1-3"),
    ]
    assert [change[:3] for change in planned(node, DATAPLANE)[1:]] == [
        ("cpuset:dataplane", "absent", "isolated 1"),
        ("cpuset:realtime", "absent", "isolated 2-3"),
    ]


def test_what_is_as_it_should_be_is_left_alone(node):
    fill(node, cgroup(HOLDERS["realtime"], "1-3", "isolated"))
    assert planned(node) == []
    assert read_holders(writable(node))["realtime"] == Held(frozenset({1, 2, 3}), "isolated")


def test_a_running_vcpu_takes_its_cpu_from_the_holder(node):
    fill(node, {**cgroup(HOLDERS["realtime"], "1-3", "isolated"), **vcpu(0, "2"), f"{ROOT}/cgroup.subtree_control": "cpuset\n"})
    assert planned(node) == [
        ("cpuset:realtime", "isolated 1-3", "isolated 1,3"),
        ("cpuset:plc1 vcpu0", "member", "isolated 2"),
    ]


def test_kernels_without_remote_partitions_give_a_vcpu_its_cpu_alone(node):
    os.unlink(f"{node}{ROOT}/cpuset.cpus.isolated")
    fill(node, {**cgroup(HOLDERS["realtime"], "1-3", "isolated"), **vcpu(0, "2"), f"{ROOT}/cgroup.subtree_control": "cpuset\n"})
    assert planned(node) == [("cpuset:realtime", "isolated 1-3", "isolated 1,3")]


@pytest.mark.parametrize(("cpus", "threads"), [("0", "9\n"), ("0-3", "9\n"), ("", "9\n"), ("2", "")])
def test_floating_and_ended_vcpus_own_nothing(node, cpus, threads):
    fill(node, vcpu(0, cpus, threads=threads))
    assert read_users(writable(node), PARTITION) == []


def test_poll_mode_threads_own_the_cpus_in_their_names(node):
    fill(node, {**switch(0, 1), **cgroup(UNIT)})
    (user,) = read_users(writable(node), DATAPLANE)
    assert (user.owner, user.path, user.cpus, user.state, user.task) == ("pmd-c01/id:9", f"{UNIT}/pmd-c01", {1}, "member", 72)
    assert planned(node, DATAPLANE)[1:] == [
        ("cpuset:pmd-c01/id:9", "member", "isolated 1"),
        ("cpuset:realtime", "absent", "isolated 2-3"),
    ]
    fill(node, cgroup(f"{UNIT}/pmd-c01", "1", "isolated", cgroup_threads="72\n"))
    assert read_users(writable(node), DATAPLANE)[0].isolated


def guest(root, name, scope, pid, cpu, slices="machine.slice"):
    """A guest that runs: what libvirt records of it, and the cgroups of its process and vCPU."""
    path = f"{ROOT}/{slices}/{scope}/libvirt"
    fill(root, cgroup(f"{path}/vcpu0", cpu, cgroup_threads="7\n"))
    fill(root, {f"/run/libvirt/qemu/{name}.pid": f"{pid}\n", f"/proc/{pid}/task/": None})
    fill(root, {f"/proc/{pid}/cgroup": f"0::{path[len(ROOT) :]}/emulator\n"})


def test_a_guest_has_the_name_that_libvirt_records_not_that_of_its_cgroup(node):
    """systemd's name of a scope lacks characters, so two guests' scopes may have one name but for their number."""
    guest(node, "plc_1", "machine-qemu\\x2d1\\x2dplc1.scope", 70, "1")
    guest(node, "plc1", "machine-qemu\\x2d2\\x2dplc1.scope", 71, "2")
    users = {user.owner: user.cpus for user in read_users(writable(node), PARTITION)}
    assert users == {"plc_1 vcpu0": {1}, "plc1 vcpu0": {2}}


def test_a_guest_without_a_record_has_the_name_of_its_cgroup(node):
    fill(node, cgroup(f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2dplc1.scope/libvirt/vcpu0", "1", cgroup_threads="7\n"))
    fill(node, {"/run/libvirt/qemu/plc9.pid": "77\n", "/run/libvirt/qemu/plc8.pid": "x\n"})  # of guests that have ended
    assert [user.owner for user in read_users(writable(node), PARTITION)] == ["plc1 vcpu0"]


@pytest.mark.parametrize(
    "slices", ["machine.slice/machine-rt.slice", "machine.slice/machine-a.slice/machine-a-b.slice", "plant.slice"]
)
def test_a_guest_in_a_slice_of_its_own_is_found_isolated_and_given_back(node, slices):
    guest(node, "plc", "machine-qemu\\x2d1\\x2dplc.scope", 70, "2", slices)
    parts = f"{slices}/machine-qemu\\x2d1\\x2dplc.scope/libvirt/vcpu0".split("/")
    for depth in range(1, len(parts)):
        fill(node, {f"{ROOT}/{'/'.join(parts[:depth])}/cpuset.cpus.exclusive": "\n"})
    assert ("cpuset:plc vcpu0", "member", "isolated 2") in planned(node)
    host = writable(node, "cpu_partition")
    plan_partitions(host, PARTITION, ONLINE)
    host.commit()
    marks = [
        Path(f"{node}{ROOT}/{'/'.join(parts[:depth])}/cpuset.cpus.exclusive").read_text() for depth in range(1, len(parts) + 1)
    ]
    assert set(marks) == {"2\n"}


def test_20_the_vcpus_of_a_guest_in_a_slice_of_its_own_are_found(node):
    """field/20: the domain names the partition /machine/rt; in mode runtime its cgroups are below machine-rt.slice."""
    tree = parse(field("20")[""])
    (above, own) = slices_of([tree])
    assert (above, own) == ("machine.slice", "machine-rt.slice")
    pins = {vcpu: format_cpulist(cpus) for vcpu, cpus in read_pins(tree).items()}
    scope = "machine-qemu\\x2d1\\x2dplc.scope"
    guest(node, "plc", scope, 70, pins[0], f"{above}/{own}")
    fill(node, cgroup(f"{ROOT}/{above}/{own}/{scope}/libvirt/vcpu1", pins[1], cgroup_threads="8\n"))
    users = {user.owner: user.cpus for user in read_users(writable(node), plan(nodes=1, cores=10, threads=1))}
    assert users == {"plc vcpu0": {4}, "plc vcpu1": {5}}


def test_reserved_cpus_are_not_taken_back(node):
    host = writable(node)
    reserve(host, "guest plc1", frozenset({3}))
    assert planned(node)[1:] == [("cpuset:realtime", "absent", "isolated 1-2")]
    reserve(host, "guest plc1", frozenset())
    reserve(host, "guest plc1", frozenset())
    assert not os.path.exists(f"{node}{RESERVED}")


def test_a_foreign_partition_is_named(node):
    fill(node, {**cgroup(f"{ROOT}/theirs", "2", "isolated"), f"{ROOT}/theirs/cpuset.cpus.effective": "2\n"})
    with pytest.raises(IsolationError, match=f"CPUs 2 belong to the cpuset partition {ROOT}/theirs"):
        planned(node)


def test_a_slice_that_lists_isolated_cpus_is_named_before_anything_is_written(node):
    fill(node, {f"{ROOT}/plant.slice/cpuset.cpus": "0-3\n"})
    with pytest.raises(
        IsolationError, match=r"^CPUs 1-3 cannot be isolated for the realtime set: /sys/fs/cgroup/plant.slice lists them"
    ):
        planned(node)
    fill(node, {"/proc/sys/kernel/osrelease": "7.2.0-rt-amd64\n"})
    assert planned(node)[-1] == ("cpuset:realtime", "absent", "isolated 1-3"), "newer kernels give such CPUs to the partition"


def test_a_partition_that_the_kernel_calls_invalid_is_planned_anew_and_its_reason_is_told(node):
    reason = "isolated invalid (Cpu list in cpuset.cpus not exclusive)"
    fill(node, cgroup(HOLDERS["realtime"], "1-3", reason))
    assert planned(node)[-1] == ("cpuset:realtime", f"{reason} 1-3", "isolated 1-3")
    host = writable(node, "cpu_partition")
    plan_partitions(host, PARTITION, ONLINE)
    partition_file = f"{node}{HOLDERS['realtime']}/cpuset.cpus.partition"
    os.unlink(partition_file)
    os.symlink("/dev/null", partition_file)  # whatever is written, nothing is isolated
    with pytest.raises(HostError, match=r"realtime: the kernel does not isolate CPUs 1-3"), host.locked():
        host.commit()


def test_programs_are_kept_off_now_and_at_every_boot(node):
    host = writable(node, "cpu_partition", check_mode=True)
    plan_slices(host, PARTITION)
    plan_slice_values(host, PARTITION, first=True)
    assert len(host.changes) == len(DROP_INS), "none has a list yet"
    plan_slice_values(host, PARTITION, first=False)
    assert [change.resource for change in host.changes] == [
        *DROP_INS.values(),
        *(f"{ROOT}/{name}/cpuset.cpus" for name in ("init.scope", "system.slice", "user.slice")),
    ]
    assert {change.after for change in host.changes[3:]} == {"0"}


@pytest.mark.parametrize(
    ("listed", "first", "last"),
    [("0-1", "0", None), ("", None, "0"), ("0", None, None), ("1", "0", None), ("2-3", "0", None)],
)
def test_a_list_narrows_before_the_partitions_and_widens_after_them(node, listed, first, last):
    fill(node, {f"{ROOT}/system.slice/cpuset.cpus": f"{listed}\n"})
    fill(node, {f"{ROOT}/{name}/cpuset.cpus": "0\n" for name in ("init.scope", "user.slice")})
    for step, after in ((True, first), (False, last)):
        host = writable(node, "cpu_partition", check_mode=True)
        plan_slice_values(host, PARTITION, first=step)
        assert [change.after for change in host.changes] == ([] if after is None else [after])


def test_undo_plans_slices_threads_and_holders(node):
    fill(node, {**cgroup(HOLDERS["realtime"], "1,3", "isolated"), **vcpu(0, "2", "isolated")})
    host = writable(node, "cpu_partition", check_mode=True)
    restore_partitions(host, PARTITION)
    assert [(change.resource, change.after) for change in host.changes] == [
        ("cpuset:plc1 vcpu0", "member"),
        ("cpuset:realtime", "absent"),
    ]


def test_the_hook_reads_pins_and_does_nothing_without_the_archive(tmp_path):
    xml = "<domain><cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='5,^6'/><emulatorpin cpuset='0'/></cputune></domain>"
    assert pinned_cpus(xml, frozenset({4, 5, 6})) == {4, 5}
    assert pinned_cpus("<domain/>", frozenset({4})) == frozenset()
    script = fill(tmp_path, {"/hook": hook_text(f"{tmp_path}/absent.pyz")})
    assert os.system(f"sh {script}/hook plc1 prepare begin - < /dev/null") == 0
