# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cgroups keep CPUs from being isolated; worked out by hand. The kernel's model is asked in tests/property."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import CpuListError
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.rivals import rivals

OLD, EXCLUSIVE, YIELDING = (6, 1), (6, 12), (7, 0)
EVERY = [OLD, EXCLUSIVE, YIELDING]


def files(cpus="", exclusive="", partition="member", granted=None):
    shown = {"cpuset.cpus": cpus, "cpuset.cpus.exclusive": exclusive, "cpuset.cpus.partition": partition}
    return shown if granted is None else {**shown, "cpuset.cpus.exclusive.effective": granted}


@pytest.mark.parametrize("release", EVERY)
@pytest.mark.parametrize(
    ("sibling", "taken"),
    [
        (files(), ""),
        (files(cpus="0-1\n"), ""),
        (files(exclusive="3,7\n"), "3"),
        (files(cpus="2-3", partition="isolated", granted="2-3"), "2-3"),
        (files(cpus="2-3", partition="root", granted="2"), "2-3"),
        (files(cpus="0-7", exclusive="2-3", partition="isolated invalid (Parent is not a partition root)", granted="2-3"), "2-3"),
        ({"cpuset.cpus": "2-3", "cpuset.cpus.partition": "isolated"}, "2-3"),  # 6.1 shows no more
        ({"cpuset.cpus": "2-3", "cpuset.cpus.partition": "root\n"}, "2-3"),
    ],
)
def test_what_others_have_for_themselves(release, sibling, taken):
    expected = {"theirs": frozenset(map(int, taken.replace("-", ",").split(",")))} if taken else {}
    assert rivals(frozenset({2, 3}), {"theirs": sibling}, release) == expected


@pytest.mark.parametrize(
    ("release", "listed", "found"),
    [
        (OLD, "0-7", {2, 3}),
        (EXCLUSIVE, "0-7", {2, 3}),
        (YIELDING, "0-7", set()),  # keeps CPUs enough
        (YIELDING, "2", {2}),  # would have none left
        (EXCLUSIVE, "4-7", set()),
    ],
)
def test_what_others_only_list(release, listed, found):
    found = {"theirs": frozenset(found)} if found else {}
    assert rivals(frozenset({2, 3}), {"theirs": files(cpus=listed)}, release) == found


def test_a_file_without_a_list_is_an_error():
    with pytest.raises(CpuListError, match="x-y"):
        rivals(frozenset({2}), {"theirs": files(cpus="x-y")}, EXCLUSIVE)
