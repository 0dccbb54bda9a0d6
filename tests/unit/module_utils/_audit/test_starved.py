# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that waits behind a thread that never sleeps is found; what runs, sleeps or makes progress is not."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit import starved
from ansible_collections.realtime.kvm.plugins.module_utils._audit.starved import StarvationWatch
from unit.trees import fill, plan, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3


def thread(pid, name, *, cpu, state="R", ran=5, policy=0, priority=0):
    fields = [state, *["0"] * 35, str(cpu), str(priority), str(policy), "0"]
    base = f"/proc/{pid}/task/{pid}"
    return {f"{base}/stat": f"{pid} ({name}) {' '.join(fields)}\n", f"{base}/schedstat": f"{ran} 77 3\n"}


VCPU = thread(11, "CPU 1/KVM", cpu=2, policy=1, priority=1)
WORK = thread(22, "kworker/2:1-kvm-irqfd-cleanup", cpu=2)


@pytest.fixture(name="found")
def _found(tmp_path, monkeypatch):
    """What a watch finds when the machine has changed from one state to the other meanwhile."""

    def found(before, after=None):
        root = fill(tmp_path, {"/proc/": None, **before})
        naps = []
        monkeypatch.setattr(starved.time, "sleep", lambda seconds: (naps.append(seconds), fill(root, after or {})))
        watch = StarvationWatch(writable(root), PARTITION, 0)
        return [item.resource for item in watch.findings()], naps

    return found


def test_a_work_item_behind_a_vcpu_that_spins_is_found(found):
    resources, naps = found({**VCPU, **WORK}, thread(11, "CPU 1/KVM", cpu=2, policy=1, priority=1, ran=900))
    assert resources == ["kworker/2:1-kvm-irqfd-cleanup (thread 22)"]
    assert 0 < naps[0] <= starved.LEAST_S


@pytest.mark.parametrize(
    "after",
    [
        thread(22, "kworker/2:1-kvm-irqfd-cleanup", cpu=2, ran=6),  # it ran a little
        thread(22, "kworker/2:1-kvm-irqfd-cleanup", cpu=2, state="I"),  # it is done
        thread(22, "kworker/2:1-kvm-irqfd-cleanup", cpu=0),  # it went elsewhere
    ],
)
def test_work_that_had_its_turn_is_not(found, after):
    assert found({**VCPU, **WORK}, after)[0] == []


def test_the_thread_that_runs_is_not_though_a_tickless_cpu_shows_its_time_late(found):
    assert found(VCPU) == ([], []), "and nothing waits, so the audit does not"
    assert found({**VCPU, **WORK})[0] == ["kworker/2:1-kvm-irqfd-cleanup (thread 22)"]


def test_only_isolated_cpus_count(found):
    ordinary = {**thread(31, "stress", cpu=0), **thread(32, "make", cpu=0), **thread(33, "sleep", cpu=2, state="S")}
    assert found(ordinary) == ([], [])


def test_a_kernel_that_counts_no_time_gives_no_finding(found):
    assert found({**VCPU, **{path: text for path, text in WORK.items() if path.endswith("stat") and "sched" not in path}}) == (
        [],
        [],
    )


def test_a_thread_that_ends_meanwhile_is_none(found, tmp_path, monkeypatch):
    root = fill(tmp_path, {**VCPU, **WORK})
    watch = StarvationWatch(writable(root), PARTITION, 0)
    (tmp_path / "proc/22/task/22/stat").unlink()
    monkeypatch.setattr(starved.time, "sleep", lambda _seconds: None)
    assert watch.findings() == []
