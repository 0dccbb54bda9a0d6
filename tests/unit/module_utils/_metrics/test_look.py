# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of this machine, and of one that is a folder."""

from __future__ import annotations

import os
import threading

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.look import Look
from unit.trees import fill
from unit.watched import look_at, node, task


def test_threads_of_this_machine():
    look = Look(Host(check_mode=True), lambda _words: (0, "", ""))
    mine, tid = os.getpid(), threading.get_native_id()
    assert mine in set(look.processes())
    assert tid in look.threads(mine)
    assert look.allowed(mine, tid) == frozenset(os.sched_getaffinity(0))
    assert look.name(mine, tid)
    assert (look.switches(mine, tid) or 0) >= 0
    assert not look.is_kernel(mine)
    assert look.isolated == frozenset()


def test_a_thread_that_has_ended_has_nothing():
    look = Look(Host(check_mode=True), lambda _words: (0, "", ""))
    gone = 2**22 + 1  # beyond the kernel's largest
    assert (look.threads(gone), look.allowed(gone, gone), look.switches(gone, gone), look.schedule(gone, gone)) == (
        [],
        frozenset(),
        None,
        None,
    )
    assert look.is_kernel(gone)


def test_what_the_kernel_counts_of_a_thread(tmp_path):
    look = node(tmp_path, task(70, 70, "CPU 0/KVM", "1-3", switches=9, run=2_000_000_000, waited=500_000_000))
    assert look.allowed(70, 70) == frozenset({1, 2, 3})
    assert look.switches(70, 70) == 9
    assert look.schedule(70, 70) == (2.0, 0.5)


@pytest.mark.parametrize("text", ["", "0", "x y 3\n", "-1 2 3\n", "\0\0"])
def test_a_damaged_count_is_none(tmp_path, text):
    node(tmp_path, task(70, 70, "CPU 0/KVM", "1"))
    (tmp_path / "proc/70/task/70/schedstat").write_text(text)
    (tmp_path / "proc/70/task/70/status").write_text(text)
    look = look_at(tmp_path)
    assert (look.schedule(70, 70), look.switches(70, 70), look.allowed(70, 70)) == (None, None, frozenset())


def test_a_service_serves_while_it_has_processes(tmp_path):
    look = node(
        tmp_path,
        {
            "/sys/fs/cgroup/system.slice/a.service/cgroup.procs": "12\n13\n",
            "/sys/fs/cgroup/system.slice/b.service/cgroup.procs": "",
        },
    )
    assert [look.serves(f"{unit}.service") for unit in "abc"] == [True, False, False]


@pytest.mark.parametrize(("policy", "name"), [(0, "other"), (1, "fifo"), (2, "rr"), (6, "other"), (0x40000001, "fifo")])
def test_the_policy_of_a_thread(tmp_path, policy, name):
    look = look_at(fill(tmp_path, task(70, 71, "CPU 0/KVM", "1", policy=policy)))
    assert look.policy(70, 71) == name
    assert look.policy(70, 99) == "", "it has ended"
