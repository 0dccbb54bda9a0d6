# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition at run time: the settings of every partition, and what mode runtime adds in its order."""

from __future__ import annotations

import errno
import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host import threads as _threads
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpus import ALL_MADE, CPUS
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.undo import undo_partition
from unit.features import KNOBS, OPTIONS, PARTITION, apply, run, text
from unit.trees import fill, plan, refuse_writes, task, writable

RUNTIME = plan(Intent(smt="together", isolation="runtime"))
SWITCH = "/sys/devices/system/cpu/cpu{}/online"
CGROUPS = {
    f"{ROOT}/cgroup.controllers": "cpuset cpu memory\n",
    f"{ROOT}/cgroup.subtree_control": "cpuset cpu memory\n",
    f"{ROOT}/cpuset.cpus.effective": "0-3\n",
}


def planned(root, partition, **options):
    host = writable(root, "cpu_partition", check_mode=True)
    CPUS.plan(host, partition, {**OPTIONS["cpu_partition"], **options})
    return [change.resource for change in host.changes]


def test_a_partition_from_the_boot_touches_neither_cgroups_nor_cpus(root):
    fill(root, {**CGROUPS, **{SWITCH.format(cpu): "1\n" for cpu in (1, 2, 3)}})
    found = planned(root, PARTITION, cycle_cpus=True)
    assert "/proc/sys/kernel/timer_migration" in found
    assert not [path for path in found if path.startswith((ROOT, "/sys/devices/system/cpu/cpu"))]


def test_in_mode_runtime_cpus_are_cycled_then_isolated_then_set(root):
    fill(root, {**CGROUPS, **{SWITCH.format(cpu): "1\n" for cpu in (1, 2, 3)}})
    found = planned(root, RUNTIME, cycle_cpus=True)
    cycles = [found.index(SWITCH.format(cpu)) for cpu in (1, 2, 3)]
    assert max(cycles) < found.index("cpuset:realtime") < found.index("/proc/sys/kernel/timer_migration")


def test_cpus_are_cycled_only_when_asked_for(root):
    fill(root, {**CGROUPS, **{SWITCH.format(cpu): "1\n" for cpu in (1, 2, 3)}})
    assert not [path for path in planned(root, RUNTIME, cycle_cpus=False) if path.endswith("/online")]


@pytest.mark.parametrize(("throttling", "lifted"), [("budget", True), ("unlimited", True), ("kernel", False)])
def test_throttling_follows_its_option(root, throttling, lifted):
    assert ("/proc/sys/kernel/sched_rt_runtime_us" in planned(root, PARTITION, rt_throttling=throttling)) is lifted


SERVER = "/sys/kernel/debug/sched/fair_server/cpu{}/{}"


@pytest.mark.parametrize(
    ("policies", "runtime", "period"),
    [
        (["budget"], "10000", "10000000"),
        (["unlimited", "budget"], "10000", "10000000"),
        (["budget", "unlimited"], "0", "1000000000"),
        (["budget", "kernel"], "50000000", "1000000000"),
        (["unlimited", "kernel", "budget"], "10000", "10000000"),
    ],
)
def test_another_policy_takes_back_what_it_does_not_set(root, policies, runtime, period):
    fill(root, {SERVER.format(1, "period"): "1000000000\n"})
    for policy in policies:
        apply(root, "cpu_partition", rt_throttling=policy)
        assert apply(root, "cpu_partition", rt_throttling=policy).changes == []
    assert [text(root, SERVER.format(1, name)) for name in ("runtime", "period")] == [runtime, period]


@pytest.mark.parametrize("ends", ["undo", "kernel"])
def test_no_runtime_is_ever_above_its_period(root, monkeypatch, ends):
    """The kernel refuses that."""
    server = {name: SERVER.format(1, name) for name in ("runtime", "period")}
    fill(root, {server["period"]: "1000000000\n"})
    write, seen = Host.write_value, []

    def checked(host, path, value):
        write(host, path, value)
        if path in server.values():
            runtime, period = (int(text(root, file)) for file in server.values())
            seen.append((runtime, period))
            assert runtime <= period

    monkeypatch.setattr(Host, "write_value", checked)
    apply(root, "cpu_partition")
    if ends == "undo":
        run(root, lambda host: undo_partition(host, None, lambda _command: (0, "", "")))
    else:
        apply(root, "cpu_partition", rt_throttling=ends)
    assert len(seen) == 4
    assert seen[-1] == (50_000_000, 1_000_000_000)


def test_a_cpu_that_is_no_longer_realtime_has_its_server_back(root):
    apply(root, "cpu_partition", rt_throttling="unlimited")
    assert text(root, SERVER.format(1, "runtime")) == "0"
    apply(
        root, "cpu_partition", plan(Intent(smt="together", cpus={"dataplane": "1", "realtime": "2-3"})), rt_throttling="unlimited"
    )
    assert text(root, SERVER.format(1, "runtime")) == "50000000"


NOTHING = plan(Intent(realtime="0"))


def test_a_partition_without_isolated_cpus_has_the_kernels_own_values_again(root, monkeypatch):
    made = []
    monkeypatch.setattr(_threads.os, "sched_setscheduler", lambda pid, policy, _param: made.append((pid, policy)))
    monkeypatch.setattr(_threads.os, "sched_setaffinity", lambda pid, cpus: made.append((pid, sorted(cpus))))
    files = {**task("/proc/9", "ksoftirqd/1", flags=0x04200000, allowed="1"), **task("/proc/10", "kswapd0", flags=0x00200000)}
    before = {path: text(fill(root, files), path) for path in KNOBS if path.startswith(("/proc/sys/", "/sys/devices/virtual/"))}
    apply(root, "cpu_partition")
    assert {path for path in before if text(root, path) == before[path]} == set()
    assert sorted(made) == [(9, 1), (10, [0])]
    fill(root, {**task("/proc/9", "ksoftirqd/1", flags=0x04200000, allowed="1", policy=1, priority=2)})
    fill(root, task("/proc/10", "kswapd0", flags=0x00200000, allowed="0"))
    predicted = planned(root, NOTHING)
    host = apply(root, "cpu_partition", NOTHING)
    assert [change.resource for change in host.changes] == predicted
    assert {path: text(root, path) for path in before} == before
    assert sorted(made[2:]) == [(9, 0), (10, [0, 1, 2, 3])]
    fill(root, files)
    assert apply(root, "cpu_partition", NOTHING).changes == []


@pytest.mark.parametrize("undo", [True, False])
def test_a_run_that_failed_is_in_the_journal_until_the_next_or_undo(root, monkeypatch, undo):
    with monkeypatch.context() as patched:
        refuse_writes(patched, [f"{root}/sys/devices/virtual/workqueue/cpumask"], errno.EINVAL)
        with pytest.raises(HostError):
            apply(root, "cpu_partition")
    mark = f"after:{ALL_MADE}"
    assert mark in json.loads(text(root, JOURNAL))["entries"]
    if undo:
        host = run(root, lambda host: undo_partition(host, None, lambda _command: (0, "", "")))
        assert not (root / JOURNAL[1:]).exists()
    else:
        host = apply(root, "cpu_partition")
        assert mark not in json.loads(text(root, JOURNAL))["entries"]
    assert ALL_MADE not in [change.resource for change in host.changes]


def test_the_switch_of_a_cpu_is_left_to_the_recovery(root):
    """A killed run has left CPU 2 off; other code switches it on, and says so."""
    entry = {"owner": "cpu_partition", "kind": "value", "before": "1", "boot_id": "aaaa"}
    fill(root, {JOURNAL: json.dumps({"schema": 1, "directories": [], "kernels": [], "entries": {SWITCH.format(2): entry}})})
    fill(root, {SWITCH.format(2): "0\n"})
    assert SWITCH.format(2) not in planned(root, NOTHING)


@pytest.mark.parametrize(("limit", "priority"), [(1, 2), (7, 8)])
def test_kernel_threads_stand_above_the_limit(root, limit, priority):
    fill(root, task("/proc/9", "ksoftirqd/1", flags=0x04200000, allowed="1"))
    host = writable(root, "cpu_partition", check_mode=True)
    CPUS.plan(host, PARTITION, {**OPTIONS["cpu_partition"], "priority_limit": limit})
    assert [change.after for change in host.changes if "ksoftirqd" in change.resource] == [f"SCHED_FIFO {priority}"]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("rt_throttling", ["budget", "unlimited", "kernel"], ["what", [], None]),
        ("priority_limit", [1, 40], [0, 41, "1", None]),
        ("cycle_cpus", [True, False], ["yes", None]),
    ],
)
def test_which_options_the_boot_service_takes(name, good, bad):
    check = CPUS.options[name]
    assert [check(value) for value in good] == [""] * len(good)
    assert all(check(value).startswith("not one of ") for value in bad)
