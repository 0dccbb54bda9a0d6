# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of resctrl and of caches; trees of real machines are in tests/conformance/test_resctrl.py."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache.read import (
    Found,
    code_data_levels,
    read_domains,
    read_tree,
    why_not,
)
from unit.dividing import OFF, REALTIME, apply, check_predicts
from unit.resctrls import RESCTRL, Resctrl, cache_files, processor
from unit.trees import fill, writable


@pytest.mark.parametrize(
    ("name", "ours", "libvirt"),
    [
        ("realtime-kvm-realtime", True, False),
        ("qemu-1-plc1-vcpus_1-3", False, True),
        ("qemu-20-a-b-vcpus_0,2-3", False, True),
        ("COS1", False, False),
        ("qemu-plc1", False, False),
        ("vcpus_1-3", False, False),
    ],
)
def test_whose_a_group_is(name, ours, libvirt):
    group = Found(name, frozenset(), {})
    assert (group.ours, group.libvirt) == (ours, libvirt)


def test_caches_by_their_ids(tmp_path):
    fill(tmp_path, cache_files(L3={0: "0-3", 2: "4-7"}, L2={0: "0-1", 1: "2-3"}))
    fill(
        tmp_path,
        {
            "/sys/devices/system/cpu/cpu8/cache/index3/level": "3\n",
            "/sys/devices/system/cpu/cpu8/cache/index3/shared_cpu_list": "8\n",
        },
    )
    instructions = cache_files(L2={7: "0"})
    fill(
        tmp_path,
        {
            path.replace("index2", "index1"): "Instruction\n" if path.endswith("type") else text
            for path, text in instructions.items()
        },
    )
    assert read_domains(writable(tmp_path)) == {
        "L3": {0: frozenset({0, 1, 2, 3}), 2: frozenset({4, 5, 6, 7})},
        "L2": {0: frozenset({0, 1}), 1: frozenset({2, 3})},
    }


def test_a_mounted_tree(tmp_path, monkeypatch):
    kernel = Resctrl(tmp_path, monkeypatch)
    kernel.mount()
    kernel.foreign("COS1", cpus="3", L3={0: 0x600})
    fill(tmp_path, {"/proc/self/mounts": f"sysfs /sys sysfs rw 0 0\nresctrl {RESCTRL} resctrl rw,mba_MBps 0 0\n"})
    tree = read_tree(writable(tmp_path))
    assert set(tree.groups) == {"", "COS1"}
    assert [(group.name, group.cpus, group.lines) for group in tree.foreign] == [("COS1", {3}, {"L3": {0: 0x600}})]
    assert "mba_MBps" in tree.options


@pytest.mark.parametrize(
    ("flags", "options", "lacking", "apart"),
    [
        ("cat_l3 cdp_l3 mba", {"cache": True, "cache_code_data": True, "memory_bandwidth": 50}, set(), {"L3"}),
        ("cat_l3 cat_l2 cdp_l3", {"cache": True, "cache_l2": True, "cache_code_data": True}, set(), {"L3"}),
        ("cat_l3", {"cache": True, "cache_code_data": True}, {"cpu_partition_cache_code_data"}, set()),
        ("cat_l2", {"cache": True, "memory_bandwidth": 5}, {"cpu_partition_cache", "cpu_partition_memory_bandwidth"}, set()),
    ],
)
def test_what_is_known_before_it_is_mounted(tmp_path, flags, options, lacking, apart):
    host = writable(fill(tmp_path, {**processor(flags), f"{RESCTRL}/": None}))
    assert set(why_not(host, {**OFF, **options})) == lacking
    assert code_data_levels(host, {**OFF, **options}) == apart


# -- machines that lack a part ---------------------------------------------------------------------


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
