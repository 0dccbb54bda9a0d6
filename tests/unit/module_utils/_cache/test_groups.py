# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of resctrl on a kernel that behaves like the real one: what is made, what is refused, what other programs have stays."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache import groups
from ansible_collections.realtime.kvm.plugins.module_utils._cache.groups import TrespassError
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import CacheError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from unit.dividing import DATAPLANE, PARTITION, REALTIME, THREE, apply, check_predicts, shown, undo
from unit.resctrls import RESCTRL, Bandwidth, Cat, Resctrl, cache_files, processor
from unit.trees import fill, plan


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


def test_a_group_that_cannot_be_removed(root, mounted, monkeypatch):
    apply(root, cache=True)

    def refuse(path):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "rmdir", refuse)
    with pytest.raises(HostError, match=f"{REALTIME}: the kernel does not remove the group"):
        undo(root)


# -- what the default group was before --------------------------------------------------------------


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


def test_a_line_that_another_program_chose_after_our_mount_stays(root, kernel):
    kernel.caches["L2"] = Cat(0xFF, domains=(0, 1))
    apply(root, cache=True)
    kernel.foreign("COS1", L3={0: 0x600})
    kernel.groups[""].lines["L2"][1] = 0x0F
    kernel._show()
    undo(root)
    assert kernel.groups[""].lines == {"L3": {0: 0x7FF}, "L2": {0: 0xFF, 1: 0x0F}, "MB": {0: 100}}
