# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM's worker in a guest's process: found after a start, put beside the emulator."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests import workers
from ansible_collections.realtime.kvm.plugins.module_utils._guests.workers import await_worker, move_worker, settle_workers
from unit.trees import fill, task, writable

SCOPE = "/machine.slice/machine-qemu.scope/libvirt"
PARAMETER = "/sys/module/kvm/parameters/nx_huge_pages"
GUEST = {
    PARAMETER: "Y\n",
    f"/sys/fs/cgroup{SCOPE}/emulator/cgroup.threads": "50\n",
    "/proc/50/task/50/cgroup": f"0::{SCOPE}/emulator\n",
    **task("/proc/50/task/50", "qemu-system-x86", allowed="0-1"),
    **task("/proc/50/task/61", "CPU 1/KVM", allowed="5", policy=1, priority=1),
}
AS_VCPU = task("/proc/50/task/62", "kvm-nx-lpage-re", allowed="5", policy=1, priority=1)


@pytest.fixture(name="calls")
def _calls(monkeypatch):
    calls = []
    monkeypatch.setattr(workers, "set_affinity", lambda tid, cpus: calls.append((tid, cpus)))
    monkeypatch.setattr(workers, "set_priority", lambda tid, text: calls.append((tid, text)))
    return calls


@pytest.fixture(name="naps")
def _naps(monkeypatch):
    naps = []
    monkeypatch.setattr(workers.time, "sleep", naps.append)
    return naps


def group(root):
    return Path(f"{root}/sys/fs/cgroup{SCOPE}/emulator/cgroup.threads").read_text()


def test_a_worker_that_a_real_time_vcpu_made_gets_the_emulators_place(tmp_path, calls, naps):
    root = fill(tmp_path, {**GUEST, **AS_VCPU})
    settle_workers(writable(root), 50)
    assert group(root) == "62", "first its cgroup: in the vCPU's, the kernel refuses other CPUs"
    assert calls == [(62, "0-1"), (62, "SCHED_OTHER 0")]
    assert naps == []


def test_one_that_is_right_stays(tmp_path, calls, naps):
    root = fill(tmp_path, {**GUEST, **task("/proc/50/task/62", "kvm-nx-lpage-re", allowed="0-1")})
    settle_workers(writable(root), 50)
    assert (group(root), calls, naps) == ("50\n", [], [])


def test_one_that_appears_a_moment_later_is_waited_for(tmp_path, calls, monkeypatch):
    root = fill(tmp_path, GUEST)
    monkeypatch.setattr(workers.time, "sleep", lambda _seconds: fill(root, AS_VCPU))
    settle_workers(writable(root), 50)
    assert [number for number, _what in calls] == [62, 62]


@pytest.mark.parametrize(("parameter", "looks"), [("Y", 4), ("N", 4), ("never", 0)])
def test_none_is_waited_for_where_kvm_makes_none(tmp_path, calls, naps, parameter, looks):
    settle_workers(writable(fill(tmp_path, {**GUEST, PARAMETER: f"{parameter}\n"})), 50)
    assert (len(naps), calls) == (looks, [])


def test_a_guest_that_is_gone_is_none(tmp_path, calls, naps):
    host = writable(fill(tmp_path, {PARAMETER: "Y\n"}))
    settle_workers(host, 50)
    move_worker(host, 50, 62)
    assert (calls, naps) == ([], [])


def test_without_cgroup_v2_its_affinity_is_enough(tmp_path, calls):
    root = fill(tmp_path, {**GUEST, **AS_VCPU, "/proc/50/task/50/cgroup": "4:cpuset:/machine.slice\n"})
    move_worker(writable(root), 50, 62)
    assert group(root) == "50\n"
    assert calls[0] == (62, "0-1")


def test_a_paused_guest_is_waited_for_until_its_first_vcpu_runs(tmp_path, calls, monkeypatch):
    root, naps = fill(tmp_path, GUEST), []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 40:
            fill(root, AS_VCPU)

    monkeypatch.setattr(workers.time, "sleep", nap)
    assert settle_workers(writable(root), 50) is False, "it may be paused"
    await_worker(writable(root), 50)
    assert (len(naps), set(naps)) == (40, {0.1, 2})
    assert [number for number, _what in calls] == [62, 62]
    assert settle_workers(writable(root), 50) is True


@pytest.mark.parametrize(
    "another", [{}, task("/proc/50/task/50", "bash", allowed="5", started=99)], ids=["ended", "another process"]
)
def test_the_wait_ends_with_the_guest(tmp_path, calls, monkeypatch, another):
    root, naps = fill(tmp_path, GUEST), []

    def nap(seconds):
        naps.append(seconds)
        shutil.rmtree(f"{root}/proc/50")
        fill(root, {**another, **(AS_VCPU if another else {})})

    monkeypatch.setattr(workers.time, "sleep", nap)
    await_worker(writable(root), 50)
    assert (naps, calls) == ([2], [])
