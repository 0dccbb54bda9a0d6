# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The groups of a partition: a table of machines and wishes, and what is refused before anything is touched."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import CacheError
from ansible_collections.realtime.kvm.plugins.module_utils._cache.schemata import Cache, Info
from ansible_collections.realtime.kvm.plugins.module_utils._cache.wanted import REST, describe_groups, plan_groups
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from unit.trees import plan

OFF = {"cache": False, "cache_l2": False, "memory_bandwidth": 0, "cache_code_data": False}
SKYLAKE = Cache("L3", 0x7FF, 1, 0x600, 16)
ROME = Cache("L3", 0xFFFF, 1, 0, 16, sparse=True)
HASWELL = Cache("L3", 0xFFFFF, 2, 0xC0000, 4)
THREE = plan(Intent(dataplane_cores_per_node=1), cores=8)  # 0, dataplane 1, realtime 2-7
ALL = frozenset(range(8))
ONE = {"L3": {0: ALL}}
TWO = {"L3": {0: frozenset(range(4)), 1: frozenset(range(4, 8))}}


def info(*caches, bandwidth=None):
    return Info({cache.name: cache for cache in caches}, min(cache.closids for cache in caches), bandwidth)


def found(kind, domains, partition=THREE, vendor="", **options):
    wanted = plan_groups(partition, ALL, domains, info(kind, bandwidth=(10, 10)), {**OFF, **options}, vendor)
    return {
        name.rpartition("-")[2]: {line: dict(values) for line, values in group.lines.items()}
        for name, group in wanted.groups.items()
    }, wanted.remarks


@pytest.mark.parametrize(
    ("cache", "domains", "options", "lines"),
    [
        (SKYLAKE, ONE, {"cache": True}, {"realtime": {0: 0x07F}, "dataplane": {0: 0x180}, "": {0: 0x600}}),
        (HASWELL, ONE, {"cache": True}, {"realtime": {0: 0x03FFF}, "dataplane": {0: 0x1C000}, "": {0: 0xE0000}}),
        (ROME, TWO, {"cache": True}, {"realtime": {0: 0x00FF, 1: 0xFFFF}, "dataplane": {0: 0x0F00}, "": {0: 0xF000}}),
        (
            ROME,
            TWO,
            {"cache": {"realtime": "f0f", "dataplane": "0f0"}},
            {"realtime": {0: 0xF0F, 1: 0xF0F}, "dataplane": {0: 0x0F0}, "": {0: 0xF000}},
        ),
    ],
)
def test_masks(cache, domains, options, lines):
    got, remarks = found(cache, domains, **options)
    assert {name: values["L3"] for name, values in got.items()} == lines
    assert remarks == ()


def test_portions_that_nobody_is_given_are_left_to_libvirt():
    got, _remarks = found(SKYLAKE, ONE, cache={"realtime": "003", "dataplane": "00c", "rest": "600"})
    assert {name: values["L3"][0] for name, values in got.items()} == {"realtime": 0x003, "dataplane": 0x00C, "": 0x600}
    with pytest.raises(CacheError, match="dataplane c and rest 60c share portions"):
        found(ROME, ONE, cache={"realtime": "003", "dataplane": "00c", "rest": "60c"})


CORES = [frozenset({cpu, cpu + 4}) for cpu in range(4)]
SINGLE = plan(cores=4, threads=2)


def test_an_idle_thread_is_in_the_group_of_its_core():
    domains = {"L3": {0: frozenset({0, 1, 4, 5}), 1: frozenset({2, 3, 6, 7})}, "MB": {0: frozenset(), 1: frozenset()}}
    options = {**OFF, "cache": True, "memory_bandwidth": 50}
    wanted = plan_groups(SINGLE, ALL, domains, info(ROME, bandwidth=(10, 10)), options, cores=CORES)
    assert {name: (group.cpus, group.lines["L3"]) for name, group in wanted.groups.items()} == {
        "realtime-kvm-realtime": ({1, 2, 3, 5, 6, 7}, {0: 0x00FF, 1: 0xFFFF}),
        REST: ({0, 4}, {0: 0xFF00}),
    }


def test_elsewhere_a_group_may_fill_the_whole_cache():
    wanted = plan_groups(THREE, ALL, TWO, info(ROME), {**OFF, "cache": True})
    assert wanted.groups["realtime-kvm-dataplane"].all_lines == {"L3": {0: 0x0F00, 1: 0xFFFF}}


def test_devices_everywhere_are_a_remark():
    _got, remarks = found(Cache("L3", 0x7FF, 1, 0x7FF, 16), ONE, cache=True)
    assert remarks == ("cpu_partition_cache: devices fill portions 7ff of L3 0 as well, also some of realtime and dataplane",)


@pytest.mark.parametrize(
    ("cache", "options", "refusal"),
    [
        (
            SKYLAKE,
            {"cache": {"realtime": "505", "dataplane": "0f0"}},
            "cpu_partition_cache.realtime: 505 has a hole, and this machine takes only portions in a row; use 1",
        ),
        (SKYLAKE, {"cache": {"realtime": "00f", "dataplane": "018"}}, "realtime f and dataplane 18 share portions"),
        (
            SKYLAKE,
            {"cache": {"realtime": "00f"}},
            "dataplane has CPUs on L3 0, but no mask; name masks of realtime and dataplane",
        ),
        (
            SKYLAKE,
            {"cache": {"realtime": "0f", "dataplane": "f000"}},
            "cpu_partition_cache.dataplane: f000 is beyond 7ff, the portions of L3 on this machine",
        ),
        (
            SKYLAKE,
            {"cache": {"realtime": "3ff", "dataplane": "400"}},
            r"the masks leave 0 portions in a row of L3 0 \(all: 7ff\) to the other CPUs, which need 1",
        ),
        (
            HASWELL,
            {"cache": {"realtime": "1", "dataplane": "f0"}},
            "cpu_partition_cache.realtime: 1 has 1 portion in a row, and L3 takes no less than 2",
        ),
        (
            Cache("L3", 0x7FF, 1, 0, 16, usage={0: "SSSSSSSEEEE"}),
            {"cache": {"realtime": "00f", "dataplane": "0f0"}},
            r"portions of L3 0 that another group has for itself \(f\)",
        ),
        (
            Cache("L3", 0x3, 1, 0, 16),
            {"cache": True},
            "L3 0 has 2 portions to divide, but realtime, dataplane, the rest need 1 each; set cpu_partition_cache: false",
        ),
        (SKYLAKE, {"memory_bandwidth": 101}, "takes 10 to 100 percent in steps of 10, not 101; use 100"),
        (SKYLAKE, {"memory_bandwidth": 33}, "use 30"),
        (SKYLAKE, {"memory_bandwidth": 3, "vendor": "AuthenticAMD"}, "no limit below 10, in units of 1/8 GB/s; 3 is too little"),
    ],
)
def test_refusals(cache, options, refusal):
    with pytest.raises(CacheError, match=refusal):
        found(cache, {**ONE, "MB": {0: ALL}}, **options)


def test_bandwidth_limits_the_rest_alone():
    got, _remarks = found(SKYLAKE, {**TWO, "MB": dict.fromkeys((0, 1))}, memory_bandwidth=40)
    assert got == {"realtime": {}, "dataplane": {}, "": {"MB": {0: 40, 1: 40}}}
    got, _remarks = found(ROME, {"MB": dict.fromkeys((0, 1))}, memory_bandwidth=1600, vendor="AuthenticAMD")
    assert got[""] == {"MB": {0: 1600, 1: 1600}}


def test_where_nothing_comes_of_it_there_is_no_group():
    assert found(SKYLAKE, {}, cache=True) == ({}, ())
    assert found(SKYLAKE, ONE) == ({}, ())


def test_an_offline_cpu_is_in_no_group():
    wanted = plan_groups(THREE, ALL - {7}, ONE, info(SKYLAKE), {**OFF, "cache": True})
    assert wanted.groups["realtime-kvm-realtime"].cpus == {2, 3, 4, 5, 6}


def test_people_see_groups_portions_and_their_number():
    wanted = plan_groups(
        THREE, ALL, {**ONE, "MB": {0: ALL}}, info(SKYLAKE, bandwidth=(10, 10)), {**OFF, "cache": True, "memory_bandwidth": 40}
    )
    assert describe_groups(wanted) == [
        ["realtime-kvm-realtime", "2-7", "L3", "0: 7f (7)"],
        ["realtime-kvm-dataplane", "1", "L3", "0: 180 (2)"],
        ["rest", "0", "L3", "0: 600 (2)"],
        ["rest", "0", "MB", "0: 40"],
    ]
    assert wanted.groups[REST].cpus == {0}


def test_of_a_mask_with_holes_the_lowest_row_has_the_least_portions():
    with pytest.raises(CacheError, match="379 has 1 portion in a row, and L3 takes no less than 2"):
        found(Cache("L3", 0xFFFF, 2, 0, 16, sparse=True), ONE, cache={"realtime": "379", "dataplane": "c00", "rest": "c000"})
