# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts of resctrl: the commands and their failures, mounts with groups of ours and of others, runs that are killed anywhere."""

from __future__ import annotations

import os
import random
import subprocess
from contextlib import suppress
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache import mounting
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import CacheError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from unit.dividing import FILES, PARTITION, REALTIME, THREE, apply, check_predicts, shown, undo
from unit.resctrls import RESCTRL, Bandwidth, Cat, Resctrl, cache_files
from unit.trees import fill, machine_files


@pytest.fixture(name="ran")
def _ran(monkeypatch):
    ran = []

    def run(command, **_options):
        ran.append(" ".join(command))
        if "gone" in command[-1]:
            raise FileNotFoundError(2, "No such file or directory", command[0])
        return subprocess.CompletedProcess(command, 32 if "busy" in command[-1] else 0, "", "target is busy\n")

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_commands(ran):
    mounting.mount("", frozenset())
    mounting.mount("/root", frozenset({"L2", "L3"}))
    mounting.unmount("")
    assert ran == [
        "mount -t resctrl resctrl /sys/fs/resctrl",
        "mount -t resctrl -o cdp,cdpl2 resctrl /root/sys/fs/resctrl",
        "umount /sys/fs/resctrl",
    ]


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(("root", "told"), [("/busy", "failed with exit code 32: target is busy"), ("/gone", "No such file")])
def test_a_failure_is_told(root, told):
    with pytest.raises(HostError, match=told):
        mounting.unmount(root)


# -- with groups -----------------------------------------------------------------------------------


def test_after_a_refused_mount_a_mount_of_somebody_else_stays(root, kernel):
    kernel.caches["L3"].closids = 1
    with pytest.raises(CacheError, match="out of CLOSIDs"):
        apply(root, cache=True)
    kernel.mount()
    assert undo(root).changes == []
    assert "" in kernel.groups


def test_a_mount_that_the_kernel_refuses_leaves_nothing_to_undo(root, kernel, monkeypatch):
    def refuse(_root, _levels):
        raise HostError("mount failed with exit code 32")

    monkeypatch.setattr(mounting, "mount", refuse)
    with pytest.raises(HostError, match="exit code 32"):
        apply(root, cache=True)
    kernel.mount()
    assert undo(root).changes == []


def test_groups_stay_where_code_and_data_apart_leave_too_few_closids(root, kernel):
    kernel.caches["L3"].closids = 4
    apply(root, THREE, cache=True)
    before = shown(kernel)
    for check_mode in (True, False):
        with pytest.raises(CacheError, match="3 groups are needed, and with code and data apart this machine has CLOSIDs for 2"):
            apply(root, THREE, check_mode, cache=True, cache_code_data=True)
    assert shown(kernel) == before
    apply(root, PARTITION, cache=True, cache_code_data=True)
    assert kernel.apart == {"L3"}


def test_resctrl_is_mounted_and_its_plan_tells_what_is_known_before(root, kernel):
    changes = check_predicts(root, kernel, cache=True)
    (change,) = changes
    assert (change.resource, change.before, change.disruption) == (RESCTRL, "not mounted", "stall")
    assert change.after.splitlines()[:2] == ["mounted", f"{REALTIME}: CPUs 1-3"]
    assert "which the kernel shows once it is mounted" in change.after
    assert kernel.groups[REALTIME].lines["L3"] == {0: 0xFF}
    undo(root)
    assert (kernel.groups, kernel.commands) == ({}, ["umount"])
    assert not (root / "var/lib/realtime-kvm").exists()


def test_what_cannot_be_met_once_it_is_mounted_unmounts_it_again(root, kernel):
    kernel.bandwidth.closids = 1
    with pytest.raises(CacheError, match="out of CLOSIDs"):
        apply(root, cache=True)
    assert kernel.commands == ["mount", "umount"]
    with pytest.raises(CacheError, match="505 has a hole"):
        apply(root, cache={"realtime": "505"})
    assert kernel.groups == {}
    kernel.caches, kernel.bandwidth.closids = {}, 8
    with pytest.raises(CacheError, match=r"info/L3 is missing.*although the processor has the flag"):
        apply(root, cache=True)
    assert kernel.groups == {}


def test_a_mount_that_fails_is_told(root, kernel):
    kernel.cdp = ()
    with pytest.raises(HostError, match="bad option"):
        apply(root, cache=True, cache_code_data=True)
    assert kernel.groups == {}


def test_a_mount_of_ours_is_made_again_with_code_and_data_apart_and_back(root, kernel):
    apply(root, cache=True)
    (change,) = apply(root, cache=True, cache_code_data=True).changes
    assert (change.before, change.after.splitlines()[0]) == ("mounted", "mounted, code and data of L3 apart")
    assert kernel.groups[REALTIME].lines["L3CODE"] == {0: 0x0F}
    assert apply(root, cache=True, cache_code_data=True).changes == []
    apply(root, cache=True)
    assert kernel.groups[REALTIME].lines["L3"] == {0: 0xFF}
    undo(root)
    assert kernel.groups == {}


def test_a_mount_of_another_program_is_not_made_again(root, mounted):
    with pytest.raises(CacheError, match="another program has mounted it, so it is not mounted again"):
        apply(root, cache=True, cache_code_data=True)
    mounted.foreign("COS1", L3={0: 0x600})
    with pytest.raises(CacheError, match="groups COS1 are in it"):
        apply(root, cache=True, cache_code_data=True)
    assert mounted.commands == []


def test_a_mount_of_ours_with_a_group_of_another_program_stays(root, kernel):
    apply(root, cache=True)
    apply(root, cache=True, memory_bandwidth=50)
    kernel.foreign("COS1", L3={0: 0x600})
    host = undo(root)
    assert "stays mounted, since groups of other programs are in it (COS1)" in host.notes[0]
    assert set(kernel.groups) == {"", "COS1"}
    assert kernel.groups[""].lines == {"L3": {0: 0x7FF}, "MB": {0: 100}}
    assert not (root / "var/lib/realtime-kvm").exists()


@pytest.mark.parametrize("where", ["mon_groups/telegraf", f"{REALTIME}/mon_groups/telegraf"])
def test_a_mount_of_ours_stays_while_another_program_measures_in_it(root, kernel, where):
    apply(root, cache=True)
    kernel.measure(where)
    with pytest.raises(CacheError, match=f"groups {where} are in it"):
        apply(root, cache=True, cache_code_data=True)
    host = undo(root)
    assert f"groups of other programs are in it ({where})" in host.notes[0]
    assert set(kernel.groups) == {""}
    assert kernel.groups[""].lines["L3"] == {0: 0x7FF}


def test_a_resctrl_that_somebody_unmounted_needs_no_undo(root, kernel):
    apply(root, cache=True)
    kernel.unmount()
    assert undo(root).changes == []
    assert not (root / "var/lib/realtime-kvm").exists()


def test_a_mount_that_is_busy_is_told_and_undone_by_the_next_run(root, kernel):
    apply(root, cache=True)
    kernel.busy = True
    with pytest.raises(HostError, match="target is busy"):
        undo(root)
    kernel.busy = False
    undo(root)
    assert kernel.groups == {}


def test_an_unmount_is_the_real_one_elsewhere():
    assert mounting.unmount.__module__ == mounting.__name__


# -- runs that are killed --------------------------------------------------------------------------


class Killed(BaseException):
    """Ends a run between two writes."""


@pytest.mark.parametrize("seed", range(8))
def test_after_any_runs_and_kills_check_mode_is_right_a_second_run_has_nothing_to_do_and_undo_is_exact(
    tmp_path, monkeypatch, seed
):
    chance = random.Random(seed)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    caches = cache_files(L3={0: "0-3", 1: "4-7"}, L2={0: "0,1", 1: "2,3", 2: "4,5", 3: "6,7"})
    root = fill(tmp_path, {**FILES, **machine_files(cores=8), **caches})
    divided = {"L3": Cat(domains=(0, 1), closids=chance.choice([6, 8])), "L2": Cat(full=0xFF, shared=0xC0, domains=(0, 1, 2, 3))}
    kernel = Resctrl(root, monkeypatch, online="0-7", caches=divided, bandwidth=Bandwidth(domains=(0, 1)))
    if seed % 2:  # mounted by somebody who has cut the portions of the default group
        kernel.mount()
        kernel.groups[""].lines |= {"L3": {0: 0x3FF, 1: 0xFF}, "L2": {0: 0x7F, 1: 0xFF, 2: 0x3F, 3: 0xFF}}
        kernel._show()
    before, writes, make = shown(kernel), 0, kernel._done

    def done():
        nonlocal writes
        make()
        writes -= 1
        if not writes:
            raise Killed

    kernel._done = done
    for _run in range(4):
        cpus = chance.sample(range(1, 8), 5)
        sets = {"realtime": frozenset(cpus[: chance.randint(0, 3)]), "dataplane": frozenset(cpus[3 : chance.randint(3, 5)])}
        rest = frozenset(range(8)).difference(*sets.values())
        asked = {
            "partition": replace(PARTITION, sets={**PARTITION.sets, **sets, "housekeeping": rest}),
            "cache": chance.random() < 0.7,
            "cache_l2": chance.random() < 0.5,
            "memory_bandwidth": chance.choice([0, 0, 30]),
            "cache_code_data": chance.random() < 0.3 and not seed % 2,
        }
        writes = chance.randint(1, 12)
        with suppress(Killed):
            apply(root, **asked)
        writes = 0
        predicted = apply(root, check_mode=True, **asked).changes
        assert apply(root, **asked).changes == predicted
        assert not kernel.groups or apply(root, **asked).changes == []
    undo(root)
    assert shown(kernel) == before
    assert not (root / "var/lib/realtime-kvm").exists()


@pytest.mark.parametrize("unmounted", [False, True])
def test_a_run_killed_anywhere_can_be_run_again_and_undone(root, kernel, unmounted):
    """Each command of the kernel in turn is the last that a run makes."""
    if not unmounted:
        kernel.mount()
    before, step = shown(kernel), 0
    while True:
        killed = _killed_after(step, kernel, lambda: apply(root, THREE, cache=True, memory_bandwidth=50))
        if step % 2:
            apply(root, THREE, cache=True, memory_bandwidth=50)
            assert apply(root, THREE, cache=True, memory_bandwidth=50).changes == []
        undo(root)
        assert shown(kernel) == before, f"killed after {step} commands"
        if not killed:
            break
        step += 1
    assert step > 7


class _Kill(BaseException):
    """The process ends here."""


def _killed_after(count, kernel, work):
    """Let the work end after so many commands; return whether it did so."""

    class Commands(list):
        def append(self, item):
            if len(self) >= count:
                raise _Kill
            super().append(item)

    kernel.commands = Commands()
    try:
        work()
    except _Kill:
        return True
    finally:
        kernel.commands = []
    return False
