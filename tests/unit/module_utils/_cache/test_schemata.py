# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What resctrl shows, read and written; the texts are of real machines."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache.masks import CacheError
from ansible_collections.realtime.kvm.plugins.module_utils._cache.schemata import format_line, parse_info, parse_schemata

INTEL = {
    "L3/cbm_mask": "7fff",
    "L3/min_cbm_bits": "1",
    "L3/num_closids": "15",
    "L3/shareable_bits": "6000",
    "L3/sparse_masks": "0",
    "L3/bit_usage": "0=XXSSSSSSSSSEEPP;1=XXSSSSSSSSSSHS0",
    "MB/num_closids": "8",
    "MB/min_bandwidth": "10",
    "MB/bandwidth_gran": "10",
    "L3_MON/num_rmids": "128",
    "last_cmd_status": "ok",
}
AMD = {"L3/cbm_mask": "ffff", "L3/min_cbm_bits": "0", "L3/num_closids": "16", "L3/shareable_bits": "0", "L3/sparse_masks": "1"}


def test_intel():
    info = parse_info({path: text for path, text in INTEL.items() if "/" in path})
    cache = info.caches["L3"]
    assert (cache.full, cache.least, cache.closids, cache.sparse, info.closids, info.bandwidth) == (
        0x7FFF,
        1,
        15,
        False,
        8,
        (10, 10),
    )
    assert (cache.hardware(0), cache.taken(0)) == (0x6000, 0xF)
    assert (cache.hardware(1), cache.taken(1)) == (0x6004, 0), "io_alloc: devices fill a portion of one cache"
    assert info.code_data == frozenset()


def test_devices_that_fill_a_cache_by_io_alloc_have_a_closid():
    assert parse_info({**AMD, "L3/io_alloc": "enabled", "L3/io_alloc_cbm": "0=ffff"}).closids == 15
    assert parse_info({**AMD, "L3/io_alloc": "disabled"}).closids == 16
    assert parse_info({**AMD, "L3/io_alloc": "not supported"}).closids == 16


def test_amd_has_no_least_so_one_bit_is_it():
    cache = parse_info(AMD).caches["L3"]
    assert (cache.least, cache.sparse) == (1, True)


def test_code_and_data():
    info = parse_info(
        {f"L3{kind}/{name}": text for kind in ("CODE", "DATA") for name, text in (("cbm_mask", "fffff"), ("num_closids", "8"))}
    )
    assert [cache.name for cache in info.of_level("L3")] == ["L3CODE", "L3DATA"]
    assert info.code_data == {"L3"}


def test_what_another_group_has_for_itself_is_taken_for_code_and_for_data():
    """Linux, rdtgroup_cbm_overlaps: with code and data apart, an exclusive group's portions of the one are closed for the other."""
    files = {"cbm_mask": "ff", "num_closids": "8"}
    usage = {"L3CODE/bit_usage": "0=SSSSSSEE", "L3DATA/bit_usage": "0=SSSSEESS"}
    info = parse_info({**usage, **{f"L3{kind}/{name}": text for kind in ("CODE", "DATA") for name, text in files.items()}})
    assert [cache.taken(0) for cache in info.of_level("L3")] == [0x0F, 0x0F]


def test_monitoring_alone_offers_nothing():
    info = parse_info({"L3_MON/num_rmids": "176"})
    assert (info.caches, info.closids, info.bandwidth) == ({}, 0, None)


@pytest.mark.parametrize(("path", "text"), [("L3/cbm_mask", "xyz"), ("L3/num_closids", ""), ("MB/min_bandwidth", "all")])
def test_a_file_with_something_else_is_named(path, text):
    with pytest.raises(CacheError, match=f"/sys/fs/resctrl/info/{path} holds '{text}', which is no number"):
        parse_info({**INTEL, path: text})


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("    L3:0=1ff00;1=1ff0f\n", {"L3": {0: 0x1FF00, 1: 0x1FF0F}}),
        ("    MB:0= 100;1=  10\n    L3:0=7ff;1=001\n", {"MB": {0: 100, 1: 10}, "L3": {0: 0x7FF, 1: 1}}),
        ("L3DATA:0=fffff\nL3CODE:0=ff003\n", {"L3DATA": {0: 0xFFFFF}, "L3CODE": {0: 0xFF003}}),
        ("MB:0=4294967295\nL2:64=ffff\n", {"MB": {0: 4294967295}, "L2": {64: 0xFFFF}}),
        ("", {}),
        ("L3:uninitialized\nL2:0=zz\n\n", {}),
    ],
)
def test_lines(text, lines):
    assert parse_schemata(text) == lines


def test_a_line_is_written_as_the_kernel_takes_it():
    assert format_line("L3", {1: 0xF, 0: 0x7F0}) == "L3:0=7f0;1=f"
    assert format_line("MB", {0: 50}) == "MB:0=50"
