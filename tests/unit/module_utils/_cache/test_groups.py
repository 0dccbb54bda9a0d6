# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of resctrl on a kernel that refuses what the real one refuses: made, kept, mounted again, taken back."""

from __future__ import annotations

import errno
import os
import random
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache import groups, mounting
from ansible_collections.realtime.kvm.plugins.module_utils._cache.groups import TrespassError, plan_resctrl, undo_resctrl
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import CacheError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from unit.resctrls import RESCTRL, Bandwidth, Cat, Resctrl, cache_files, processor
from unit.trees import fill, machine_files, plan, writable

REALTIME, DATAPLANE = "realtime-kvm-realtime", "realtime-kvm-dataplane"
OFF = {"cache": False, "cache_l2": False, "memory_bandwidth": 0, "cache_code_data": False}
PARTITION = plan()  # housekeeping 0, realtime 1-3
THREE = plan(Intent(dataplane_cores_per_node=1))  # and dataplane 1
FILES = {**machine_files(isolated="1-3"), **cache_files(L3={0: "0-3"}), **processor(), "/var/lib/": None, f"{RESCTRL}/": None}


@pytest.fixture(name="root")
def _root(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no power cut is tried here
    return fill(tmp_path, FILES)


@pytest.fixture(name="kernel")
def _kernel(root, monkeypatch):
    return Resctrl(root, monkeypatch, bandwidth=Bandwidth())


@pytest.fixture(name="mounted")
def _mounted(kernel):
    kernel.mount()
    kernel.commands.clear()
    return kernel


def run(root, plan_it, check_mode=False):
    host = writable(root, "cpu_cache", check_mode=check_mode)
    with host.locked():
        plan_it(host)
        host.commit()
    return host


def apply(root, partition=PARTITION, check_mode=False, **options):
    return run(root, lambda host: plan_resctrl(host, partition, {**OFF, **options}), check_mode)


def undo(root):
    return run(root, undo_resctrl)


def shown(kernel):
    """What the kernel shows now; later writes leave it as it is."""
    return {name: (group.cpus, deepcopy(group.lines)) for name, group in kernel.groups.items()}


def check_predicts(root, kernel, **options):
    """Check mode, a run and a second run: the first two plan the same, the third nothing."""
    before = shown(kernel)
    predicted = apply(root, check_mode=True, **options).changes
    assert shown(kernel) == before
    assert apply(root, **options).changes == predicted
    kernel.commands.clear()
    assert apply(root, **options).changes == []
    assert kernel.commands == []
    return predicted


# -- a mounted resctrl -----------------------------------------------------------------------------


def test_realtime_cpus_get_their_portions_and_the_rest_keeps_those_that_devices_fill(root, mounted):
    changes = check_predicts(root, mounted, cache=True)
    assert [(change.resource, change.before, change.after, change.disruption) for change in changes] == [
        (f"{RESCTRL}/{REALTIME}", None, "CPUs 1-3\nL3:0=ff", "stall"),
        (f"{RESCTRL}/schemata:L3", "L3:0=7ff", "L3:0=700", "stall"),
    ]
    assert shown(mounted) == {
        "": ({0}, {"L3": {0: 0x700}, "MB": {0: 100}}),
        REALTIME: ({1, 2, 3}, {"L3": {0: 0xFF}, "MB": {0: 100}}),
    }


def test_a_group_has_its_portions_before_its_cpus_come(root, mounted):
    apply(root, cache=True)
    assert mounted.commands == [
        f"mkdir {REALTIME}",
        f"{REALTIME}/schemata: L3:0=ff",
        f"{REALTIME}/cpus_list: 1-3",
        "./schemata: L3:0=700",
    ]


def test_three_groups_are_disjoint(root, mounted):
    apply(root, THREE, cache=True)
    assert {name: (group.cpus, group.lines["L3"][0]) for name, group in mounted.groups.items()} == {
        "": ({0}, 0x700),
        REALTIME: ({2, 3}, 0x1F),
        DATAPLANE: ({1}, 0xE0),
    }


def test_undo_leaves_resctrl_as_it_was(root, mounted):
    mounted.groups[""].lines["L3"][0] = 0x3FF  # somebody's choice
    mounted._show()
    before = shown(mounted)
    apply(root, THREE, cache=True, memory_bandwidth=50)
    assert mounted.groups[""].lines["MB"] == {0: 50}
    undo(root)
    assert shown(mounted) == before
    assert not (root / "var/lib/realtime-kvm").exists()
    assert undo(root).changes == []


def test_without_a_wish_the_former_state_is_back(root, mounted):
    before = shown(mounted)
    apply(root, cache=True)
    apply(root)
    assert shown(mounted) == before


def test_what_is_no_longer_asked_is_restored_and_the_rest_stays(root, mounted):
    apply(root, cache=True, memory_bandwidth=30)
    apply(root, cache=True)
    assert mounted.groups[""].lines == {"L3": {0: 0x700}, "MB": {0: 100}}
    apply(root, memory_bandwidth=30)
    assert mounted.groups[""].lines == {"L3": {0: 0x7FF}, "MB": {0: 30}}
    assert mounted.groups[REALTIME].lines == {"L3": {0: 0x7FF}, "MB": {0: 100}}


# -- caches that a later run divides, and what others do to our groups ------------------------------


@pytest.fixture(name="two")
def _two(root, monkeypatch):
    """Two L3 caches, of CPUs 0 and 1, and 2 and 3; somebody has already cut the portions of the default group."""
    fill(root, cache_files(L3={0: "0,1", 1: "2,3"}))
    kernel = Resctrl(root, monkeypatch, caches={"L3": Cat(domains=(0, 1))}, bandwidth=Bandwidth(domains=(0, 1)))
    kernel.mount()
    kernel.groups[""].lines["L3"] = {0: 0x3FF, 1: 0x1FF}
    kernel._show()
    return kernel


def with_realtime(*cpus):
    sets = {**PARTITION.sets, "realtime": frozenset(cpus), "housekeeping": frozenset(range(4)) - frozenset(cpus)}
    return replace(PARTITION, sets=sets)


@pytest.mark.parametrize("way", [[(1,), (1, 3)], [(1,), (3,)], [(1,), (3,), (1, 3)]])
def test_undo_restores_the_caches_that_only_a_later_run_has_divided(root, two, way):
    before = shown(two)
    for cpus in way:
        apply(root, with_realtime(*cpus), cache=True)
        assert apply(root, with_realtime(*cpus), cache=True).changes == []
    undo(root)
    assert shown(two) == before
    assert not (root / "var/lib/realtime-kvm").exists()


def test_a_cache_that_is_no_longer_divided_is_its_owners_again(root, two):
    apply(root, with_realtime(1), cache=True)
    apply(root, with_realtime(3), cache=True)
    assert two.groups[""].lines["L3"][0] == 0x3FF
    two.groups[""].lines["L3"][0] = 0xFF
    two._show()
    assert apply(root, with_realtime(3), cache=True).changes == []
    undo(root)
    assert two.groups[""].lines["L3"] == {0: 0xFF, 1: 0x1FF}


@pytest.mark.parametrize("of", [REALTIME, ""])
def test_a_group_that_somebody_has_made_exclusive_keeps_its_portions(root, mounted, of):
    apply(root, cache=True)
    good = shown(mounted)
    mounted.groups[of].mode = "exclusive"
    mounted._show()
    found = apply(root, cache=True).changes
    assert [(item.resource, item.before, item.after) for item in found] == [
        (f"{RESCTRL}/{REALTIME}/mode", "exclusive", "shareable")
    ] * bool(of)
    assert shown(mounted) == good
    assert apply(root, cache=True).changes == []


@pytest.mark.parametrize(("vendor", "found"), [("GenuineIntel", ["MB:0=100"]), ("AuthenticAMD", [])])
def test_a_limit_that_somebody_gave_an_isolated_set_goes_where_the_most_is_known(root, mounted, vendor, found):
    fill(root, processor(vendor=vendor))
    apply(root, cache=True, memory_bandwidth=50)
    mounted.groups[REALTIME].lines["MB"][0] = 10
    mounted._show()
    assert [item.after for item in apply(root, cache=True, memory_bandwidth=50).changes] == found


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
        with pytest.raises(CacheError, match="3 groups are needed, and with code and data apart this machine has 2 CLOSIDs"):
            apply(root, THREE, check_mode, cache=True, cache_code_data=True)
    assert shown(kernel) == before
    apply(root, PARTITION, cache=True, cache_code_data=True)
    assert kernel.apart == {"L3"}


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


CHOICES = (
    {"cache": True},
    {"memory_bandwidth": 30},
    {"cache": True, "memory_bandwidth": 50},
    {"cache": {"realtime": "00f", "rest": "600"}},
)


@pytest.mark.parametrize("before", CHOICES)
@pytest.mark.parametrize("after", CHOICES)
@pytest.mark.parametrize("ours", [False, True])
def test_what_was_asked_before_leaves_nothing_behind(root, kernel, before, after, ours):
    if not ours:
        kernel.mount()
    apply(root, **after)
    fresh = shown(kernel)
    undo(root)
    apply(root, **before)
    apply(root, **after)
    assert shown(kernel) == fresh


def test_a_new_partition_moves_cpus_and_removes_a_group(root, mounted):
    apply(root, THREE, cache=True)
    apply(root, PARTITION, cache=True)
    assert set(mounted.groups) == {"", REALTIME}
    assert mounted.groups[REALTIME].cpus == {1, 2, 3}
    apply(root, plan(Intent(realtime="0")), cache=True)
    assert shown(mounted) == {"": ({0, 1, 2, 3}, {"L3": {0: 0x7FF}, "MB": {0: 100}})}


def test_what_another_program_changed_is_set_again(root, mounted):
    apply(root, cache=True)
    mounted.groups[REALTIME].lines["L3"][0] = 0x7FF
    mounted._cpus("", "0,2")
    mounted._show()
    changes = apply(root, cache=True).changes
    assert [(change.resource, change.before, change.after) for change in changes] == [
        (f"{RESCTRL}/{REALTIME}/schemata:L3", "L3:0=7ff", "L3:0=ff"),
        (f"{RESCTRL}/{REALTIME}/cpus_list", "1,3", "1-3"),
    ]


def test_the_operators_masks(root, mounted):
    check_predicts(root, mounted, cache={"realtime": "0f0"})
    assert mounted.groups[REALTIME].lines["L3"] == {0: 0x0F0}
    assert mounted.groups[""].lines["L3"] == {0: 0x00F}, "the longest row that is left, the lowest of equal ones"


def test_code_and_data_of_a_mount_with_both_are_alike_unless_asked(root, kernel):
    kernel.mount(frozenset({"L3"}))
    apply(root, cache=True)
    assert kernel.groups[REALTIME].lines == {"L3DATA": {0: 0xFF}, "L3CODE": {0: 0xFF}, "MB": {0: 100}}
    apply(root, cache=True, cache_code_data=True)
    assert kernel.groups[REALTIME].lines == {"L3DATA": {0: 0xF0}, "L3CODE": {0: 0x0F}, "MB": {0: 100}}
    assert kernel.groups[""].lines == {"L3DATA": {0: 0x700}, "L3CODE": {0: 0x700}, "MB": {0: 100}}


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (
            {"cache": {"realtime": "505"}},
            "cpu_partition_cache.realtime: 505 has a hole, and this machine takes only portions in a row",
        ),
        ({"cache": {"realtime": "fff"}}, "cpu_partition_cache.realtime: fff is beyond 7ff"),
        ({"cache": {"realtime": "7ff"}}, "leave 0 portions in a row of L3 0"),
        ({"cache": {"dataplane": "00f"}}, "realtime has CPUs on L3 0, but no mask"),
        ({"memory_bandwidth": 55}, "takes 10 to 100 percent in steps of 10, not 55; use 50"),
        ({"memory_bandwidth": 5}, "takes 10 to 100 percent in steps of 10, not 5; use 10"),
    ],
)
def test_what_the_kernel_would_refuse_is_refused_before_anything_is_touched(root, mounted, options, refusal):
    with pytest.raises(CacheError, match=refusal):
        apply(root, **options)
    assert mounted.commands == []


def test_out_of_closids_is_known_before_anything_is_touched(root, mounted):
    for number in range(7):
        mounted.foreign(f"COS{number}", L3={0: 0x600})
    with pytest.raises(CacheError, match=f"{REALTIME} cannot be made: out of CLOSIDs, since this machine has 8.*COS0, COS1"):
        apply(root, cache=True)
    assert mounted.commands == []


def test_out_of_closids_only_the_kernel_knows(root, mounted, monkeypatch):
    monkeypatch.setattr(Resctrl, "closids", 1)
    with pytest.raises(
        HostError, match=r"the kernel refused the group: No space left on device \(resctrl says: Out of CLOSIDs\)"
    ):
        apply(root, cache=True)
    assert set(mounted.groups) == {""}


def test_a_refusal_of_the_kernel_is_told_in_its_words_and_leaves_no_group(root, mounted, monkeypatch):
    real = groups.format_line
    monkeypatch.setattr(groups, "format_line", lambda name, values: real(name, dict.fromkeys(values, 1285)))
    with pytest.raises(
        HostError, match=r"refused 'L3:0=505': Invalid argument \(resctrl says: The mask 505 has non-consecutive 1-bits\)"
    ):
        apply(root, cache=True)
    assert set(mounted.groups) == {""}


def test_a_value_that_the_kernel_rounds_is_an_error(root, mounted, monkeypatch):
    mounted.bandwidth.step = 20  # info/ still says 10
    with pytest.raises(HostError, match="MB:0=30 was written, but the kernel shows MB:0=40"):
        apply(root, memory_bandwidth=30)


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ({"cpus": "2"}, "of another program has CPUs 2; realtime-kvm-realtime needs them"),
        ({"L3": {0: 0x003}}, "of another program has portions 3 of 0 of L3; realtime-kvm-realtime needs them alone"),
    ],
)
def test_a_group_of_another_program_in_the_way_is_named(root, mounted, group, told):
    mounted.foreign("COS1", **{"L3": {0: 0x600}, **group})
    with pytest.raises(TrespassError, match=f"{RESCTRL}/COS1 {told}.*rmdir {RESCTRL}/COS1"):
        apply(root, cache=True)
    assert mounted.commands == []


def test_groups_of_other_programs_stay_as_they_are(root, mounted):
    mounted.foreign("COS1", L3={0: 0x600})
    before = shown(mounted)["COS1"]
    check_predicts(root, mounted, cache=True)
    undo(root)
    assert shown(mounted)["COS1"] == before
    assert set(mounted.groups) == {"", "COS1"}


def test_a_name_that_another_program_chose_is_only_shown(root, mounted):
    mounted.foreign("CO\x1b[2JS", L3={0: 0x003})
    with pytest.raises(TrespassError, match=r"/CO\\x1b\[2JS of another program"):
        apply(root, cache=True)
    mounted.bandwidth.closids = 2
    mounted._show()
    with pytest.raises(CacheError, match=r"other groups have theirs \(CO\\x1b\[2JS\)"):
        apply(root, cache=True)


@pytest.mark.parametrize("name", ["qemu-1-plc1-vcpus_1-3", "qemu-12-plc-b-vcpus_0,2"])
def test_libvirts_groups_are_guests_own(root, mounted, name):
    mounted.foreign(name, L3={0: 0x00F})
    check_predicts(root, mounted, cache=True)


def test_portions_that_another_group_has_for_itself_are_left_to_it(root, mounted):
    mounted.groups[""].lines["L3"][0] = 0x7F0
    mounted.foreign("locked", mode="exclusive", L3={0: 0x00F})
    check_predicts(root, mounted, cache=True)
    assert {name: group.lines["L3"][0] for name, group in mounted.groups.items()} == {"": 0x600, "locked": 0x00F, REALTIME: 0x1F0}


def test_bandwidth_in_megabytes_is_somebody_elses_choice(root, mounted):
    fill(root, {"/proc/self/mounts": f"resctrl {RESCTRL} resctrl rw,relatime,mba_MBps 0 0\n"})
    with pytest.raises(CacheError, match="mounted with mba_MBps"):
        apply(root, memory_bandwidth=50)
    apply(root, cache=True)


# -- mounting --------------------------------------------------------------------------------------


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


def test_a_line_that_another_program_chose_after_our_mount_stays(root, kernel):
    kernel.caches["L2"] = Cat(0xFF, domains=(0, 1))
    apply(root, cache=True)
    kernel.foreign("COS1", L3={0: 0x600})
    kernel.groups[""].lines["L2"][1] = 0x0F
    kernel._show()
    undo(root)
    assert kernel.groups[""].lines == {"L3": {0: 0x7FF}, "L2": {0: 0xFF, 1: 0x0F}, "MB": {0: 100}}


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


# -- machines that lack it -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "options", "note"),
    [
        (
            processor("fpu"),
            {"cache": True},
            "cpu_partition_cache: the processor does not offer it (no flag cat_l3 in /proc/cpuinfo)",
        ),
        (
            processor("fpu cat_l2"),
            {"memory_bandwidth": 50},
            "cpu_partition_memory_bandwidth: the processor does not offer it (no flag mba",
        ),
        (processor("cat_l3"), {"cache_l2": True}, "cpu_partition_cache_l2: the processor does not offer it (no flag cat_l2"),
        ({"/proc/cmdline": "ro rdt=cmt,!l3cat"}, {"cache": True}, "rdt=!l3cat on the kernel command line switches it off"),
        (processor(model=85), {"cache": True}, "unless its command line has rdt=l3cat"),
    ],
)
def test_what_a_machine_lacks_is_a_note_and_changes_nothing(root, kernel, files, options, note):
    fill(root, files)
    host = apply(root, **options)
    assert host.changes == kernel.commands == []
    assert note in host.notes[0]
    assert host.notes[0].endswith("so it stays as it is")


@pytest.mark.parametrize("arguments", ["rdt=l3cat", "rdt=!l3cat,l3cat", "rdt=cmt,mbmtotal,l3cat"])
def test_a_processor_whose_l3_the_kernel_divides_only_when_told_so(root, kernel, arguments):
    fill(root, {**processor(model=85), "/proc/cmdline": f"ro {arguments}"})
    apply(root, cache=True)
    assert REALTIME in kernel.groups


def test_such_a_processor_still_limits_bandwidth(root, kernel):
    fill(root, processor(model=85))
    del kernel.caches["L3"]
    check_predicts(root, kernel, cache=True, cache_code_data=True, memory_bandwidth=50)
    assert kernel.groups[""].lines == {"MB": {0: 50}}


def test_a_kernel_without_resctrl(root):
    os.rmdir(f"{root}{RESCTRL}")
    host = apply(root, cache=True)
    assert host.changes == []
    assert "CONFIG_X86_CPU_RESCTRL" in host.notes[0]


def test_a_mounted_resctrl_that_lacks_a_part_still_gives_the_others(root, mounted):
    fill(root, processor("cat_l3 mba"))
    host = apply(root, cache=True, cache_l2=True, cache_code_data=True)
    assert [note.split(":")[0] for note in host.notes] == ["cpu_partition_cache_l2", "cpu_partition_cache_code_data"]
    assert REALTIME in mounted.groups


# -- killed runs -----------------------------------------------------------------------------------


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


def test_an_unmount_is_the_real_one_elsewhere():
    assert mounting.unmount.__module__ == mounting.__name__


def test_a_group_that_cannot_be_removed(root, mounted, monkeypatch):
    apply(root, cache=True)

    def refuse(path):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(HostError, match=f"{REALTIME}: the kernel does not remove the group"):
        undo(root)
