# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU masks: what is read, what is refused by name, what is printed for kernel and switch."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import (
    MAX_CPU,
    CpuListError,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.masks import format_hex, format_mask, mask_number, parse_mask


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", []),
        ("1", [0]),
        ("0x1", [0]),
        ("0XC3", [0, 1, 6, 7]),
        ("c3\n", [0, 1, 6, 7]),
        ("000000c3", [0, 1, 6, 7]),
        ("00000001,0000002e", [1, 2, 3, 5, 32]),
        ("1,2e", [1, 5, 2, 3, 32]),
        ("ff,00000000,00000000", list(range(64, 72))),
        ("1, 00000000", [32]),
        ("80000000", [31]),
        ("100000000", [32]),
        ("ffffffffffffffff", list(range(64))),
    ],
)
def test_a_mask_is_read(text, cpus):
    assert parse_mask(text) == frozenset(cpus)


@pytest.mark.parametrize("text", ["", "0x", "xyz", "1,,2", ",1", "1,", "0-3", "-1", "1,100000000", "0x0x1", "1_0"])
def test_a_wrong_mask_is_refused_by_name(text):
    with pytest.raises(CpuListError) as error:
        parse_mask(text)
    assert repr(text) in str(error.value)


def test_a_mask_beyond_the_largest_cpu_is_refused():
    assert parse_mask(format_mask([MAX_CPU])) == {MAX_CPU}
    with pytest.raises(CpuListError, match="beyond 65535"):
        parse_mask(format_hex([MAX_CPU + 1]))


@pytest.mark.parametrize(
    ("cpus", "mask", "plain"),
    [
        ([], "00000000", "0x0"),
        ([0, 1, 6, 7], "000000c3", "0xc3"),
        ([31], "80000000", "0x80000000"),
        ([32], "00000001,00000000", "0x100000000"),
        ([1, 2, 3, 5, 32], "00000001,0000002e", "0x10000002e"),
    ],
)
def test_masks_are_printed_for_the_kernel_and_for_the_switch(cpus, mask, plain):
    assert format_mask(cpus) == mask
    assert format_hex(cpus) == plain
    assert mask_number(cpus) == int(plain, 16)
