# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vhost's threads, as tasks of QEMU and as kernel threads: found, and put beside a thread of their guest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._guests import vhost_threads
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest, GuestError, Scheduler
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement
from ansible_collections.realtime.kvm.plugins.module_utils._guests.threads import (
    kernel_vhosts,
    process_threads,
    thread_differences,
)
from ansible_collections.realtime.kvm.plugins.module_utils._guests.vhost_threads import check_vhost, place_vhost, settle_vhost
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.trees import fill, plan, task, writable

SCOPE = "/machine.slice/machine-qemu.scope/libvirt"
KERNEL = 0x00200000
QEMU = 'qemu\0-netdev\0{"type":"tap","vhost":true}'
GUEST = {
    "/proc/50/cmdline": QEMU,
    f"/sys/fs/cgroup{SCOPE}/vcpu0/cgroup.threads": "60\n",
    f"/sys/fs/cgroup{SCOPE}/emulator/cgroup.threads": "50\n",
    "/proc/50/task/50/cgroup": f"0::{SCOPE}/emulator\n",
    "/proc/50/task/60/cgroup": f"0::{SCOPE}/vcpu0\n",
    **task("/proc/50/task/50", "qemu-system-x86", allowed="0-1"),
    **task("/proc/50/task/60", "CPU 0/KVM", allowed="4"),
    **task("/proc/50/task/61", "CPU 1/KVM", allowed="5", policy=1, priority=1),
}
TASKS = {
    number: {
        **task(f"/proc/50/task/{number}", "vhost-50", allowed="0-1"),
        f"/proc/50/task/{number}/cgroup": f"0::{SCOPE}/emulator\n",
    }
    for number in (70, 71)
}
#: Of a kernel before 6.4; another guest's, and a program that has taken the name.
KTHREADS = {
    **task("/proc/80", "vhost-50", allowed="0-7", flags=KERNEL),
    "/proc/80/comm": "vhost-50\n",
    "/proc/80/cgroup": "0::/\n",
    **task("/proc/81", "vhost-51", allowed="0-7", flags=KERNEL),
    "/proc/81/comm": "vhost-51\n",
    **task("/proc/82", "vhost-50", allowed="0-7"),
    "/proc/82/comm": "vhost-50\n",
}
PLC = Guest(
    "plc1",
    vcpus=2,
    realtime_vcpus=frozenset({1}),
    schedulers={1: Scheduler("fifo", 1)},
    vhost="vcpu",
    vhost_scheduler=Scheduler("fifo", 1),
)
PLACEMENT = Placement("plc1", (0,), {0: frozenset({4}), 1: frozenset({5})}, frozenset({0, 1}))


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    calls = []
    monkeypatch.setattr(vhost_threads, "set_affinity", lambda tid, cpus: calls.append((tid, cpus)))
    monkeypatch.setattr(vhost_threads, "set_priority", lambda tid, text: calls.append((tid, text)))
    return calls


def members(root, group):
    return Path(f"{root}/sys/fs/cgroup{SCOPE}/{group}/cgroup.threads").read_text()


def differences(host, guest):
    return [
        (item.role, item.tid, item.aspect, item.before, item.after)
        for item in thread_differences(process_threads(host, 50), guest, PLACEMENT)
    ]


def test_tasks_of_qemu_move_to_the_vcpus_cgroup_and_cpu(tmp_path, calls):
    root = fill(tmp_path, {**GUEST, **TASKS[70], **TASKS[71]})
    settle_vhost(writable(root), 50, "vcpu0", "fifo 1")
    assert calls == [(70, "4"), (70, "SCHED_FIFO 1"), (71, "4"), (71, "SCHED_FIFO 1")]
    assert members(root, "vcpu0") == "71", "each was written, after which the kernel lists them all"


def test_those_that_are_right_stay(tmp_path, calls):
    root = fill(tmp_path, {**GUEST, **TASKS[70]})
    settle_vhost(writable(root), 50, "emulator", "other")
    assert (calls, members(root, "emulator")) == ([], "50\n")


def test_a_kernel_thread_keeps_its_cgroup(tmp_path, calls):
    root = fill(tmp_path, {**GUEST, **KTHREADS})
    settle_vhost(writable(root), 50, "vcpu0", "rr 2")
    assert calls == [(80, "4"), (80, "SCHED_RR 2")]
    assert members(root, "vcpu0") == "60\n"


def test_a_kernel_thread_in_the_guests_cgroups_moves_within_them(tmp_path, calls):
    root = fill(tmp_path, {**GUEST, **KTHREADS, "/proc/80/cgroup": f"0::{SCOPE}/emulator\n"})
    place_vhost(writable(root), 50, 80, "vcpu0")
    assert (calls, members(root, "vcpu0")) == ([(80, "4")], "80")


@pytest.mark.parametrize("ended", [True, False])
def test_one_that_ends_while_it_is_moved_keeps_no_other_from_its_place(tmp_path, calls, monkeypatch, ended):
    root = fill(tmp_path, {**GUEST, **TASKS[70], **TASKS[71]})
    host, write = writable(root), Host.write_value

    def refuse(self, path, value):
        if value != "70":
            return write(self, path, value)
        if ended:
            shutil.rmtree(f"{root}/proc/50/task/70")
        raise HostError("cgroup.threads: the kernel refused '70': No such process")

    monkeypatch.setattr(Host, "write_value", refuse)
    if ended:
        settle_vhost(host, 50, "vcpu0", "other")
        assert calls == [(71, "4")]
        return
    with pytest.raises(HostError, match="No such process"):
        settle_vhost(host, 50, "vcpu0", "other")


@pytest.mark.parametrize("cmdline", ["", "qemu\0-chardev\0socket,path=/run/x\0-netdev\0vhost-user,chardev=c"])
def test_the_machine_is_not_searched_for_a_guest_without_vhost(tmp_path, cmdline):
    assert kernel_vhosts(writable(fill(tmp_path, {**KTHREADS, "/proc/50/cmdline": cmdline})), 50) == []


def test_what_is_gone_is_left_alone(tmp_path, calls):
    host = writable(fill(tmp_path, {**GUEST, **TASKS[70]}))
    place_vhost(host, 50, 99, "vcpu0")
    place_vhost(host, 50, 70, "vcpu7")
    settle_vhost(host, 50, "vcpu7", "fifo 1")
    settle_vhost(host, 51, "vcpu0", "fifo 1")
    assert calls == []


@pytest.mark.parametrize("threads", [TASKS[70], KTHREADS])
def test_the_plan_compares_them_last(tmp_path, threads):
    host = writable(fill(tmp_path, {**GUEST, **threads, **task("/proc/50/task/60", "CPU 0/KVM", allowed="6")}))
    number, before = (70, "0-1") if threads is TASKS[70] else (80, "0-7")
    assert differences(host, PLC) == [
        ("vcpu0", 60, "cpus", "6", "4"),
        ("vhost", number, "cpus", before, "4"),
        ("vhost", number, "scheduler", "other", "fifo 1"),
    ]


@pytest.mark.parametrize(
    ("allowed", "policy", "found"),
    [
        ("3", 0, []),  # somebody's choice
        ("0-7", 0, []),
        ("4", 0, [("vhost", 70, "cpus", "4", "0-1")]),  # its place until the list named it no more
        ("4", 1, [("vhost", 70, "cpus", "4", "0-1"), ("vhost", 70, "scheduler", "fifo 9", "other")]),
        ("0-1", 1, [("vhost", 70, "scheduler", "fifo 9", "other")]),
    ],
)
def test_those_of_a_guest_that_does_not_place_them_are_left_alone_unless_they_are_beside_a_vcpu(tmp_path, allowed, policy, found):
    thread = task("/proc/50/task/70", "vhost-50", allowed=allowed, policy=policy, priority=9 * policy)
    host = writable(fill(tmp_path, {**GUEST, **TASKS[70], **thread}))
    assert differences(host, replace(PLC, vhost=None, vhost_scheduler=None)) == found


def test_those_of_a_guest_that_has_them_beside_its_emulator(tmp_path):
    host = writable(
        fill(tmp_path, {**GUEST, **TASKS[70], **task("/proc/50/task/70", "vhost-50", allowed="3", policy=1, priority=9)})
    )
    assert differences(host, replace(PLC, vhost="emulator", vhost_scheduler=None)) == [
        ("vhost", 70, "cpus", "3", "0-1"), ("vhost", 70, "scheduler", "fifo 9", "other"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("release", "isolation", "guest", "refused"),
    [
        ("6.1.0-28-rt-amd64", "runtime", PLC, True),
        ("6.3.9", "runtime", PLC, True),
        ("6.4.0", "runtime", PLC, False),
        ("6.12.57-rt", "runtime", PLC, False),
        ("6.1.0-28-rt-amd64", "boot", PLC, False),
        ("6.1.0-28-rt-amd64", "runtime", replace(PLC, vhost="emulator"), False),
        ("6.1.0-28-rt-amd64", "runtime", replace(PLC, vhost=None), False),
        ("6.1.0-28-rt-amd64", "runtime", replace(PLC, name="other"), False),
    ],
)
def test_a_place_that_is_not_given(tmp_path, release, isolation, guest, refused):
    partition = plan(Intent(smt="together", isolation=isolation), cores=8)
    placements = {"plc1": replace(PLACEMENT, emulator=partition.housekeeping)}
    root = fill(tmp_path, {"/proc/sys/kernel/osrelease": f"{release}\n"})
    if not refused:
        check_vhost(writable(root), partition, [guest], placements)
        return
    with pytest.raises(
        GuestError,
        match=r"^realtime_guests: plc1: its vhost threads would run on CPU 4, .* kernel 6\.[13].* or run Linux 6\.4 or newer",
    ):
        check_vhost(writable(root), partition, [guest], placements)
    host = writable(root, check_mode=True)
    check_vhost(host, partition, [guest], placements)
    assert len(host.notes) == 1


@pytest.mark.parametrize(("told", "refused"), [("N\n", True), ("Y\n", False)])
def test_a_newer_kernel_that_is_told_to_make_kernel_threads(tmp_path, told, refused):
    partition = plan(Intent(smt="together", isolation="runtime"), cores=8)
    files = {"/proc/sys/kernel/osrelease": "6.18.3\n", "/sys/module/vhost/parameters/fork_from_owner_default": told}
    host = writable(fill(tmp_path, files), check_mode=True)
    check_vhost(host, partition, [PLC], {"plc1": replace(PLACEMENT, emulator=partition.housekeeping)})
    assert ["load the module vhost with fork_from_owner_default=1" in note for note in host.notes] == [True] * refused
