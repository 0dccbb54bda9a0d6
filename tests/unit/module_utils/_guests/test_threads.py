# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of guests and of the switch: found in /proc, named by their role, compared with what they should be."""

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import threads as _threads
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest, Scheduler
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement
from ansible_collections.realtime.kvm.plugins.module_utils._guests.threads import (
    ThreadDifference,
    guest_pid,
    polling_cpus,
    read_guest_threads,
    set_scheduler,
    thread_differences,
)
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import SWITCH_PID
from unit.trees import fill, task, writable

PLC = Guest("plc1", vcpus=2, schedulers={1: Scheduler("fifo", 1)}, io_threads=1, io_thread_ids=(1,))
PLACEMENT = Placement("plc1", (0,), {0: frozenset({4}), 1: frozenset({5})}, frozenset({0, 1}))
#: Its threads as they should be: number, name, CPUs, policy and priority.
GOOD = {
    50: ("qemu-system-x86", "0-1", 0, 0),
    60: ("CPU 0/KVM", "4", 0, 0),
    61: ("CPU 1/KVM", "5", 1, 1),
    62: ("IO iothread1", "0-1", 0, 0),
}


def guest(root, threads):
    for number, (name, allowed, policy, priority) in threads.items():
        fill(root, task(f"/proc/50/task/{number}", name, allowed=allowed, policy=policy, priority=priority))
    fill(root, {"/run/libvirt/qemu/plc1.pid": "50\n"})
    return writable(root)


def test_threads_of_a_running_guest(tmp_path):
    found = read_guest_threads(guest(tmp_path, GOOD), "plc1")
    assert {item.thread.pid: (item.role, item.scheduler) for item in found} == {
        50: ("emulator", "other"), 60: ("vcpu0", "other"), 61: ("vcpu1", "fifo 1"), 62: ("iothread1", "other"),
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "x", "51"])
def test_a_guest_that_does_not_run_has_no_threads(tmp_path, text):
    host = guest(tmp_path, GOOD)
    fill(tmp_path, {"/run/libvirt/qemu/plc1.pid": text})
    assert guest_pid(host, "plc1") is None
    assert read_guest_threads(host, "plc1") == read_guest_threads(host, "absent") == []


@pytest.mark.parametrize(
    ("number", "name", "allowed", "policy", "priority", "differences"),
    [
        (60, "CPU 0/KVM", "4", 0, 0, []),
        (60, "CPU 0/KVM", "0-7", 0, 0, [("vcpu0", "cpus", "0-7", "4")]),
        (60, "CPU 0/KVM", "4", 2, 3, [("vcpu0", "scheduler", "rr 3", "other")]),
        (61, "CPU 1/KVM", "5", 1, 2, [("vcpu1", "scheduler", "fifo 2", "fifo 1")]),
        (61, "CPU 1/KVM", "6", 0, 0, [("vcpu1", "cpus", "6", "5"), ("vcpu1", "scheduler", "other", "fifo 1")]),
        (62, "IO iothread1", "2", 0, 0, [("iothread1", "cpus", "2", "0-1")]),
        (50, "qemu-system-x86", "0-1", 1, 5, [("emulator", "scheduler", "fifo 5", "other")]),
        (63, "worker", "0-7", 1, 9, []),  # of no role: QEMU's own business
    ],
)
def test_what_a_thread_has_and_should_have(tmp_path, number, name, allowed, policy, priority, differences):
    host = guest(tmp_path, {**GOOD, number: (name, allowed, policy, priority)})
    found = list(thread_differences(read_guest_threads(host, "plc1"), PLC, PLACEMENT))
    assert [(item.role, item.aspect, item.before, item.after) for item in found] == differences
    assert {item.tid for item in found} <= {number}


def test_an_ordinary_vcpu_floats():
    floating = Placement("plc1", (), {}, frozenset({0}), frozenset({0, 1, 2}))
    assert _threads.wanted_threads(Guest("plc1"), floating) == (
        {"vcpu0": {0, 1, 2}, "emulator": {0}, "worker": {0}},
        {},
    )


def test_cpus_that_the_switch_polls(tmp_path):
    fill(tmp_path, task("/proc/90/task/91", "pmd-c02/id:9", allowed="2"))
    fill(tmp_path, task("/proc/90/task/92", "handler1", allowed="0"))
    assert polling_cpus(writable(tmp_path)) == {}
    fill(tmp_path, {SWITCH_PID: "90\n"})
    assert polling_cpus(writable(tmp_path)) == {2: "pmd-c02/id:9"}


def test_a_policy_is_set_by_number(monkeypatch):
    made = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda tid, policy, param: made.append((tid, policy, param.sched_priority)))
    for after in ("fifo 1", "rr 7", "other"):
        set_scheduler("plc1", ThreadDifference("vcpu1", 61, "scheduler", "x", after))
    assert made == [(61, os.SCHED_FIFO, 1), (61, os.SCHED_RR, 7), (61, os.SCHED_OTHER, 0)]


@pytest.mark.parametrize(("number", "refused"), [(errno.ESRCH, False), (errno.EPERM, True)])
def test_a_thread_that_has_ended_is_no_error_and_a_refusal_is(monkeypatch, number, refused):
    def fail(*_arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "sched_setscheduler", fail)
    difference = ThreadDifference("vcpu1", 61, "scheduler", "other", "fifo 1")
    if refused:
        with pytest.raises(HostError, match=r"^plc1: the kernel refused fifo 1 for thread vcpu1: Operation not permitted"):
            set_scheduler("plc1", difference)
    else:
        set_scheduler("plc1", difference)
