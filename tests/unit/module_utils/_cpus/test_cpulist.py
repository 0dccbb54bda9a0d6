# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU lists: what is accepted, what is refused by name, what is printed."""

from __future__ import annotations

import time

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import (
    MAX_CPU,
    CpuListError,
    format_cpulist,
    parse_cpulist,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.masks import parse_mask


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("", []),
        (" \n", []),
        ("0", [0]),
        ("007", [7]),
        ("1,3", [1, 3]),
        ("3,1,3", [1, 3]),
        ("4-7", [4, 5, 6, 7]),
        ("4-4", [4]),
        ("0-2,1-4", [0, 1, 2, 3, 4]),
        (" 1 - 3 , 5\n", [1, 2, 3, 5]),
        (",,1,,2,", [1, 2]),
        ("0-31:2/4", [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29]),
        ("0-9:1/3", [0, 3, 6, 9]),
        ("1-9:2/4", [1, 2, 5, 6, 9]),
        ("5-8:4/4", [5, 6, 7, 8]),
        (" 0 - 7 : 1 / 2 ", [0, 2, 4, 6]),
        ("0-3,^2", [0, 1, 3]),
        ("^2,0-3", [0, 1, 3]),
        ("0-7,^ 2-3", [0, 1, 4, 5, 6, 7]),
        ("0-7,^0-7:1/2", [1, 3, 5, 7]),
        ("^0-3", []),
        ("2,^2", []),
        (str(MAX_CPU), [MAX_CPU]),
    ],
)
def test_a_cpulist_is_read(text, cpus):
    assert parse_cpulist(text) == frozenset(cpus)


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("3-1", "'3-1'"),
        ("a", "'a'"),
        ("0-", "'0-'"),
        ("-1", "'-1'"),
        ("0-3,x,9", "'x'"),
        ("0--3", "'0--3'"),
        ("1 2", "'1 2'"),
        ("1.5", "'1.5'"),
        ("0x3", "'0x3'"),
        ("^", "'^'"),
        ("^^5", "'^^5'"),
        ("5^", "'5^'"),
        ("0-3,^3-2", "'^3-2'"),
        ("4:1/2", "'4:1/2'"),
        ("0-7:2", "'0-7:2'"),
        ("0-7:0/4", "'0-7:0/4'"),
        ("0-7:1/0", "'0-7:1/0'"),
        ("0-7:5/4", "'0-7:5/4'"),
        ("0-7:1/2/3", "'0-7:1/2/3'"),
        ("all", "'all'"),
        ("\u0664", "'\u0664'"),  # a digit for Python, not for the kernel
        ("0-65536", "65536"),
        ("99999999999999999999", "99999999999999999999"),
        ("0-" + "9" * 5000, "99999"),
    ],
)
def test_a_wrong_cpulist_is_refused_by_its_token(text, token):
    with pytest.raises(CpuListError) as error:
        parse_cpulist(text)
    assert token in str(error.value)


def test_the_message_says_what_would_work():
    with pytest.raises(CpuListError, match="write 1-3"):
        parse_cpulist("3-1")
    with pytest.raises(CpuListError, match=r"CPU number \(4\), a range \(4-7\)"):
        parse_cpulist("a")


@pytest.mark.parametrize("value", [2, (1, 3), [1, 3], None, True, 1.3, b"1"])
@pytest.mark.parametrize("parse", [parse_cpulist, parse_mask])
def test_yaml_that_lost_its_quotes_is_named(parse, value):
    with pytest.raises(CpuListError, match="quote") as error:
        parse(value)
    assert repr(value) in str(error.value)


def test_a_huge_number_is_refused_without_reading_it():
    with pytest.raises(CpuListError) as error:
        parse_cpulist("9" * 60_000)
    assert "beyond 65535" in str(error.value)


@pytest.mark.parametrize(
    ("cpus", "text"),
    [
        ([], ""),
        ([5], "5"),
        ([0, 1], "0-1"),
        ([1, 3], "1,3"),
        ([7, 6, 1, 0, 6], "0-1,6-7"),
        (range(128), "0-127"),
    ],
)
def test_a_set_is_printed_as_the_kernel_does(cpus, text):
    assert format_cpulist(cpus) == text


@pytest.mark.parametrize("text", ["0-65535," * 3000, "^0-65535," * 3000, "0-65535:1/1," * 2000, "1," * 40_000])
def test_a_list_that_would_take_for_ever_is_refused_at_once(text):
    started = time.process_time()  # the CPU's time: a busy machine does not count
    with pytest.raises(CpuListError) as error:
        parse_cpulist(text)
    assert time.process_time() - started < 2
    assert len(str(error.value)) < 200


def test_the_longest_list_of_a_real_machine_is_read():
    every_second = ",".join(str(cpu) for cpu in range(0, 8192, 2))
    assert len(parse_cpulist(every_second)) == 4096
    assert parse_cpulist("0-65535,^0-65535") == frozenset()
