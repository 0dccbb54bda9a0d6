# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads: what /proc says of them, and a real one that is moved and put back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host import threads as _threads
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import (
    PID_DIR,
    guest_pids,
    read_thread,
    read_threads,
    realtime_guests,
    restore_threads,
    running_guests,
    service_pids,
    set_affinity,
    set_priority,
    working_pids,
)
from unit.trees import fill, task, writable

KERNEL, BOUND = 0x00200000, 0x04000000


def kernel_thread(pid, name, **options):
    options["flags"] = options.get("flags", 0) | KERNEL
    return task(f"/proc/{pid}", name, **options)


# -- reading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kthreadd", "Web Content", "(sd-pam)", "a) S 1 (b", "x:y:z", "((", "))", ""])
def test_any_name_is_read(tmp_path, name):
    fill(tmp_path, task("/proc/7", name, flags=KERNEL | BOUND, policy=1, priority=49, allowed="0,2-3", started=12345))
    thread = read_thread(Host(str(tmp_path)), 7)
    assert (thread.pid, thread.name, thread.kernel, thread.bound) == (7, name, True, True)
    assert (thread.policy, thread.priority, thread.started) == (1, 49, 12345)
    assert thread.allowed == {0, 2, 3}
    assert thread.resource == f"thread:{name}:7:12345"


def test_the_fields_are_those_of_this_kernel():
    thread = read_thread(Host(), os.getpid())
    assert thread.allowed == os.sched_getaffinity(0)
    assert thread.policy == os.sched_getscheduler(0)
    assert thread.priority == os.sched_getparam(0).sched_priority
    assert not thread.kernel
    assert not thread.bound
    with open("/proc/uptime") as stream:
        uptime = float(stream.read().split()[0])
    assert 0 < thread.started / os.sysconf("SC_CLK_TCK") <= uptime


def test_a_thread_that_has_ended_is_none(tmp_path):
    assert read_thread(Host(str(tmp_path)), 7) is None
    fill(tmp_path, {"/proc/7/stat": "7 (x) S"})
    assert read_thread(Host(str(tmp_path)), 7) is None


def test_kernel_threads_and_programs_are_told_apart(tmp_path):
    fill(tmp_path, kernel_thread(2, "kthreadd"))
    fill(tmp_path, task("/proc/50", "qemu"))
    for number in (50, 51):
        fill(tmp_path, task(f"/proc/50/task/{number}", f"thread {number}"))
    fill(tmp_path, task("/proc/2/task/2", "kthreadd", flags=KERNEL))
    fill(tmp_path, {"/proc/self/stat": "", "/proc/99/": None})
    host = Host(str(tmp_path))
    assert [thread.pid for thread in read_threads(host, user=False)] == [2]
    assert [thread.pid for thread in read_threads(host, user=True)] == [50, 51]


# -- undo ------------------------------------------------------------------------------------------


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    made = []
    monkeypatch.setattr(
        _threads.os, "sched_setscheduler", lambda pid, policy, param: made.append((pid, policy, param.sched_priority))
    )
    monkeypatch.setattr(_threads.os, "sched_setaffinity", lambda pid, cpus: made.append((pid, format_cpulist(cpus))))
    return made


def run(root, planner):
    host = writable(root, "cpu_partition")
    with host.locked():
        planner(host)
        host.commit()
    return host


NOW = {"policy": 1, "priority": 2, "allowed": "0"}


@pytest.mark.parametrize(
    ("now", "made", "changes"),
    [
        (kernel_thread(9, "rcub/0:x", policy=1, priority=4, allowed="0"), [(9, 0, 0), (9, "0-3")], 2),
        (kernel_thread(9, "rcub/0:x", policy=0, allowed="0"), [(9, "0-3")], 1),
        (kernel_thread(9, "rcub/0:x"), [(9, "0-3")], 0),  # a partition that is dissolved just before may have spread it
        (kernel_thread(9, "rcub/0:x", started=101, **NOW), [], 0),
        (kernel_thread(9, "another", **NOW), [], 0),
        ({}, [], 0),
    ],
)
def test_undo_is_for_the_same_thread(tmp_path, calls, now, made, changes):
    fill(tmp_path, {"/proc/sys/kernel/random/boot_id": "b", "/var/lib/": None})

    def change(host):
        for aspect, before in (("priority", "SCHED_OTHER 0"), ("affinity", "0-3")):
            host.change(Change(f"thread:rcub/0:x:9:100:{aspect}", before, "other"), lambda: None, kind="thread")

    run(tmp_path, change)
    host = run(fill(tmp_path, now), restore_threads)
    assert sorted(calls, key=str) == sorted(made, key=str)
    assert len(host.changes) == changes
    assert not os.path.exists(f"{tmp_path}/var/lib/realtime-kvm")


def test_a_thread_whose_former_cpus_or_priority_the_kernel_refuses_does_not_stop_undo(tmp_path, monkeypatch):
    """A cpuset has lost the CPUs, or the kernel has bound the thread since."""
    fill(tmp_path, {"/var/lib/": None, **kernel_thread(9, "kswapd0", allowed="0")})
    resource = "thread:kswapd0:9:100"

    def change(host):
        host.change(Change(f"{resource}:affinity", "0-3", "0"), lambda: None, kind="thread")
        host.change(Change(f"{resource}:priority", "SCHED_FIFO 2", "SCHED_OTHER 0"), lambda: None, kind="thread")

    def refuse(*_args):
        raise OSError(22, "Invalid argument")

    run(tmp_path, change)
    monkeypatch.setattr(_threads.os, "sched_setscheduler", refuse)
    monkeypatch.setattr(_threads.os, "sched_setaffinity", refuse)
    host = run(tmp_path, restore_threads)
    assert host.notes == [
        "thread 9: the kernel refused CPUs 0-3: Invalid argument; it stays as it is until the next reboot",
        "thread 9: the kernel refused SCHED_FIFO 2: Invalid argument; it stays as it is until the next reboot",
    ]
    assert (host.changes, os.path.exists(f"{tmp_path}/var/lib/realtime-kvm")) == ([], False)


def test_a_thread_that_ends_meanwhile_is_no_error():
    ended = subprocess.Popen(["true"])
    ended.wait()
    set_priority(ended.pid, "SCHED_FIFO 2")
    set_affinity(ended.pid, "0")


def test_a_refusal_names_thread_and_wish(monkeypatch):
    def refuse(*_args):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(_threads.os, "sched_setscheduler", refuse)
    monkeypatch.setattr(_threads.os, "sched_setaffinity", refuse)
    with pytest.raises(HostError, match=r"^thread 9: the kernel refused SCHED_FIFO 2: Invalid argument$"):
        set_priority(9, "SCHED_FIFO 2")
    with pytest.raises(HostError, match=r"^thread 9: the kernel refused CPUs 0-3: Invalid argument$"):
        set_affinity(9, "0-3")


# -- a real thread of this machine -----------------------------------------------------------------


@pytest.fixture(name="child")
def _child():
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_real_thread_is_changed_and_put_back(child, tmp_path):
    cpus = sorted(os.sched_getaffinity(child))
    if len(cpus) < 2:
        pytest.skip("one CPU alone leaves no choice of affinity")
    try:
        os.sched_setscheduler(child, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(child, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        pytest.skip("real-time scheduling is not permitted here")
    fill(tmp_path, {"/proc/sys/kernel/random/boot_id": "b", "/var/lib/": None, f"/proc/{child}": ("link", f"/proc/{child}")})
    before = read_thread(Host(), child)

    def change(host):
        for aspect, now, make in (
            ("priority", "SCHED_OTHER 0", lambda: set_priority(child, "SCHED_FIFO 2")),
            ("affinity", format_cpulist(cpus), lambda: set_affinity(child, str(cpus[0]))),
        ):
            host.change(Change(f"{before.resource}:{aspect}", now, "other"), make, kind="thread")

    run(tmp_path, change)
    assert os.sched_getscheduler(child) == os.SCHED_FIFO
    assert os.sched_getparam(child).sched_priority == 2
    assert os.sched_getaffinity(child) == {cpus[0]}
    changed = read_thread(Host(), child)
    assert (changed.policy, changed.priority, changed.allowed) == (1, 2, {cpus[0]})

    host = run(tmp_path, restore_threads)
    assert {(item.resource.rsplit(":", 1)[1], item.before, item.after) for item in host.changes} == {
        ("priority", "SCHED_FIFO 2", "SCHED_OTHER 0"),
        ("affinity", str(cpus[0]), format_cpulist(cpus)),
    }
    assert replace(read_thread(Host(), child), cpu=before.cpu) == before  # where it ran last is nobody's setting


# -- guests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmdline", "comm", "policy", "guests"),
    [
        ("/usr/bin/qemu\0-name\0guest=rt1,debug-threads=on\0-m\0", "CPU 0/KVM", 1, ["rt1"]),
        ("qemu\0-name\0plain\0", "CPU 11/KVM", 2, ["plain"]),
        ("qemu\0-m\0" + "1\0", "CPU 0/KVM", 1, ["process 50"]),
        ("qemu\0-name", "CPU 0/KVM", 1, ["process 50"]),
        ("", "CPU 0/KVM", 1, ["process 50"]),
        ("qemu\0-name\0guest=x\0", "CPU 0/TCG", 1, ["x"]),
        ("qemu\0-name\0guest=x\0", "CPU 0/KVM", 0, []),
        ("qemu\0-name\0guest=x\0", "IO iothread1", 1, []),
    ],
)
def test_guests_with_realtime_vcpus(tmp_path, cmdline, comm, policy, guests):
    fill(tmp_path, {"/proc/50/cmdline": cmdline})
    for number in (51, 52):
        fill(tmp_path, task(f"/proc/50/task/{number}", comm, policy=policy, priority=1))
    assert realtime_guests(Host(str(tmp_path))) == guests


@pytest.mark.parametrize(
    ("cmdline", "comm", "guests"),
    [
        ("qemu-system-x86_64\0-name\0guest=x,debug-threads=on\0", "qemu-system-x86", ["x"]),
        ("/usr/libexec/qemu-kvm\0-name\0x\0-machine\0q35,accel=kvm\0", "qemu-kvm", ["x"]),
        ("/usr/bin/kvm\0-id\0" + "1\0", "kvm", ["process 50"]),
        ("qemu-system-x86_64\0-machine\0none,accel=kvm:tcg\0", "qemu-system-x86", []),  # libvirt asks what it can do
        ("qemu-system-x86_64\0-M\0none\0", "qemu-system-x86", []),
        ("/usr/sbin/qemu-ga\0", "qemu-ga", []),
        ("qemu-nbd\0", "qemu-nbd", []),
        ("", "kvm", []),  # a kernel thread
    ],
)
def test_every_running_guest(tmp_path, cmdline, comm, guests):
    fill(tmp_path, {"/proc/50/cmdline": cmdline, **task("/proc/50", comm), **task("/proc/50/task/51", "IO iothread1")})
    assert running_guests(Host(str(tmp_path))) == guests


def test_a_guest_is_also_known_by_its_vcpus(tmp_path):
    fill(tmp_path, {"/proc/50/cmdline": "x\0-name\0guest=renamed\0", **task("/proc/50", "renamed")})
    fill(tmp_path, task("/proc/50/task/51", "CPU 0/TCG"))
    assert running_guests(Host(str(tmp_path))) == ["renamed"]


@pytest.mark.parametrize(
    "name",
    ["plc,line 2", "end,", "-plc", "plc$(x)", "größe", "guest=x", "a[1]", ".plc", "x.pid", "debug-threads=on", "foo=1,bar=2"],
)
def test_a_guest_has_the_name_that_libvirt_gave_it(tmp_path, name):
    arguments = f"/usr/bin/qemu-system-x86_64\0-name\0guest={name.replace(',', ',,')},debug-threads=on\0-S\0-machine\0q35\0"
    process = {"/proc/77/comm": "qemu-system-x86\n", "/proc/77/cmdline": arguments, "/proc/77/task/77/comm": "qemu-system-x86\n"}
    host = writable(fill(tmp_path, {**process, f"{PID_DIR}/{name}.pid": "77"}))
    assert running_guests(host) == [name]
    assert guest_pids(host) == {name: 77}


def test_what_libvirt_keeps_of_itself_and_of_helpers_is_no_guest(tmp_path):
    files = {
        f"{PID_DIR}/{name}.pid": "77" for name in ("driver", "1-plc1-fs0-virtiofsd", "2-a-b-pr-helper0", "1-plc", "plc1", "3-x-y")
    }
    host = writable(fill(tmp_path, {**files, "/proc/77/task/": None, f"{PID_DIR}/3-x-y.xml": "<domstatus/>"}))
    assert set(guest_pids(host)) == {"1-plc", "plc1", "3-x-y"}


@pytest.mark.parametrize("place", ["", "/systemd", "/unified"])
def test_a_service_has_processes_with_either_version_of_cgroups(tmp_path, place):
    host = writable(fill(tmp_path, {f"/sys/fs/cgroup{place}/system.slice/a.service/cgroup.procs": "5\n6\n"}))
    assert (service_pids(host, "a.service"), service_pids(host, "b.service")) == ([5, 6], [])


@pytest.mark.parametrize(("state", "works"), [("S", True), ("R", True), ("D", True), ("T", False), ("t", False), ("Z", False)])
def test_a_process_that_was_stopped_or_has_ended_does_no_work(tmp_path, state, works):
    stat = f"5 (a) T) {state} 1 1\n"  # its name can look like a state
    host = writable(fill(tmp_path, {"/sys/fs/cgroup/system.slice/a.service/cgroup.procs": "5\n", "/proc/5/stat": stat}))
    assert working_pids(host, "a.service") == [5] * works
