# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature cpu_cache: its options, its own owner in the journal, uncore frequency, and what people are told."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import CacheError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import Change
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import config_path
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cache import CACHE, cache_lines, plan_cache, undo_cache
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.options import read_options
from unit.features import PARTITION, run, text
from unit.resctrls import RESCTRL, Resctrl, cache_files, processor
from unit.trees import fill, snapshot, writable

REALTIME = "realtime-kvm-realtime"
UNCORE = "/sys/devices/system/cpu/intel_uncore_frequency"
FOLDER = f"{UNCORE}/package_00_die_00"


def frequencies(folder, least="800000", most="2400000"):
    return {f"{folder}/min_freq_khz": least, f"{folder}/max_freq_khz": most}


@pytest.fixture(name="kernel")
def _kernel(root, monkeypatch):
    fill(root, {**cache_files(L3={0: "0-3"}), **processor(), **frequencies(FOLDER)})
    kernel = Resctrl(root, monkeypatch)
    kernel.mount()
    return kernel


def options(**given):
    return {**CACHE.defaults, **given}


def apply(root, **given):
    return run(root, lambda host: plan_cache(host, PARTITION, options(**given)))


@pytest.mark.usefixtures("kernel")
def test_nothing_asked_changes_nothing(root):
    before = snapshot(root)
    assert apply(root).changes == []
    assert snapshot(root) == before


def test_its_values_are_its_own_in_the_journal_and_undone_with_the_partitions(root, kernel):
    before = snapshot(root)
    host = apply(root, cache=True, uncore_frequency="max")
    assert {entry["owner"] for entry in host.journal.entries.values()} == {"cpu_cache"}
    assert host.owner == "cpu_partition"
    assert text(root, f"{FOLDER}/min_freq_khz") == "2400000"
    assert REALTIME in kernel.groups
    assert apply(root, cache=True, uncore_frequency="max").changes == []
    run(root, undo_cache)
    assert snapshot(root) == before


def test_a_cpu_that_the_same_run_switches_off_and_on_is_in_its_group_again(root, kernel):
    """The kernel gives it to the default group, and the cache of a last CPU begins anew."""
    apply(root, cache=True)
    cpus, lines = kernel.groups[REALTIME].cpus, deepcopy(kernel.groups[REALTIME].lines)

    def cycle():
        kernel._cpus("", "0,3")
        kernel.groups[REALTIME].lines["L3"][0] = 0x7FF
        kernel._show()

    def both(host):
        host.change(Change("/sys/devices/system/cpu/cpu3/online", "1", "0, then 1"), cycle, kind="value")
        plan_cache(host, PARTITION, options(cache=True))

    assert [change.after for change in run(root, both).changes] == ["0, then 1"]
    assert (kernel.groups[REALTIME].cpus, kernel.groups[REALTIME].lines) == (cpus, lines)
    assert apply(root, cache=True).changes == []


def test_what_is_no_longer_asked_is_restored_with_its_options(root, kernel):
    before = snapshot(root)
    apply(root, cache=True, uncore_frequency="max")
    apply(root, cache=True)
    assert text(root, f"{FOLDER}/min_freq_khz") == "800000"
    assert REALTIME in kernel.groups
    apply(root)
    assert snapshot(root) == before


@pytest.mark.usefixtures("kernel")
def test_the_uncore_by_its_parts_where_the_kernel_shows_them(root):
    fill(root, {**frequencies(f"{UNCORE}/uncore00"), **frequencies(f"{UNCORE}/uncore01", "900000", "1800000")})
    host = apply(root, uncore_frequency="max")
    assert {change.resource: change.after for change in host.changes if UNCORE in change.resource} == {
        f"{UNCORE}/uncore00/min_freq_khz": "2400000",
        f"{UNCORE}/uncore01/min_freq_khz": "1800000",
    }


def test_a_kernel_without_uncore_files(root):
    host = apply(root, uncore_frequency="max")
    assert host.notes[0].startswith(f"cpu_partition_uncore_frequency: the kernel has no {UNCORE}")
    assert [change.resource for change in host.changes] == [config_path("cpu_cache")]


def test_values_wait_for_the_reboot_into_the_planned_kernel(root, kernel):
    fill(root, {"/sys/devices/system/cpu/isolated": "\n"})
    apply(root, cache=True)
    assert set(kernel.groups) == {""}
    assert read_options(writable(root), CACHE) == options(cache=True)


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"cache": "yes"}, "cpu_partition_cache: 'yes' is neither true, false, nor masks by set"),
        ({"cache_l2": {}}, "cpu_partition_cache_l2: '{}' is neither"),
        ({"cache": {"shared": "f"}}, "cpu_partition_cache: 'shared' has no group; masks are of dataplane, realtime and rest"),
        ({"cache": {"realtime": 10}}, "cpu_partition_cache.realtime: '10' is no mask; quote hexadecimal digits"),
        ({"cache": {"realtime": "0xzz"}}, "cpu_partition_cache.realtime: '0xzz' is no mask"),
        ({"cache": {"realtime": "0_f"}}, "cpu_partition_cache.realtime: '0_f' is no mask"),
        ({"cache": {"realtime": "\uff17\uff10\uff10"}}, "is no mask"),
        ({"cache": {"realtime": "-f"}}, "is no mask"),
        ({"cache": {"realtime": "0"}}, "cpu_partition_cache.realtime: the mask names no portion"),
        ({"cache": {"realtime": "f" * 99}}, "is no mask"),
        ({"memory_bandwidth": -1}, "cpu_partition_memory_bandwidth: -1 is negative"),
        ({"cache_code_data": True}, "cpu_partition_cache_code_data: true divides nothing by itself"),
    ],
)
def test_options_that_no_machine_can_have(root, given, refusal):
    before = snapshot(root)
    with pytest.raises(CacheError, match=refusal):
        apply(root, **given)
    assert snapshot(root) == before


@pytest.mark.parametrize(
    "given", [{"cache": "yes"}, {"memory_bandwidth": "much"}, {"cache_code_data": 7}, {"uncore_frequency": "min"}]
)
def test_a_damaged_options_file_is_named(root, given):
    fill(root, {config_path("cpu_cache"): json.dumps(options(**given))})
    with pytest.raises(HostError, match=r"cpu_cache\.json is damaged"):
        read_options(writable(root), CACHE)


def lines(root, **given):
    return cache_lines(writable(root), PARTITION, options(**given))


def test_people_see_the_groups(root, kernel):
    assert lines(root) == []
    table = lines(root, cache=True)
    assert table[0].split() == ["group", "CPUs", "resource", "portions", "(number)", "by", "domain"]
    assert [line.split() for line in table[2:]] == [
        [REALTIME, "1-3", "L3", "0:", "ff", "(8)"],
        ["rest", "0", "L3", "0:", "700", "(3)"],
    ]
    assert lines(root, cache=True, cache_l2=True)[-1].startswith("cpu_partition_cache_l2: as it is, since")
    kernel.unmount()
    assert lines(root, cache=True)[1:] == ["L3 0: realtime 1-3, rest 0"]
    assert "not mounted" in lines(root, cache=True)[0]


def test_people_see_what_the_machine_lacks(root):
    fill(root, {**processor("fpu"), f"{RESCTRL}/": None})
    assert [line.partition(":")[0] for line in lines(root, cache=True, memory_bandwidth=10, uncore_frequency="max")] == [
        "cpu_partition_cache",
        "cpu_partition_memory_bandwidth",
        "cpu_partition_uncore_frequency",
    ]
