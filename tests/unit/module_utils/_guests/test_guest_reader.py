# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed look-ups: what is not given, what has another type, what is no path."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import GuestError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_reader import Reader

KEYS = {"a": (str,), "b": (int,), "c": (bool,)}


def test_null_counts_as_not_given():
    read = Reader({"a": None, "b": 0}, "x", KEYS)
    assert (read.has("a"), read.has("b"), read.optional("a", ("1",)), read.get("b")) == (False, True, None, 0)


@pytest.mark.parametrize("item", [{"a": 1}, {"b": "1"}, {"b": True}, {"c": 1}])
def test_another_type_is_refused_by_key(item):
    with pytest.raises(GuestError, match=r"^x: [abc] .* must be of type"):
        Reader(item, "x", KEYS)


@pytest.mark.parametrize("path", ["", "a", "/", "//a", "/a/", "/a/../b", "/./a", "/a\nb", "/" + "a" * 4095])
def test_what_is_no_absolute_path_is_refused(path):
    with pytest.raises(GuestError):
        Reader({"a": path}, "x", KEYS).path("a")


@pytest.mark.parametrize(
    ("key", "value", "kinds", "words"),
    [
        ("memory_mib", "2G", (int,), "memory_mib '2G' must be of type int, a number of MiB without a unit: 2048"),
        ("memory_mib", "512 MiB", (int,), "without a unit: 512"),
        ("memory_mib", "much", (int,), "a number of MiB without a unit: 4096"),
        ("size_gib", "20G", (int,), "a number of GiB without a unit: 20"),
        ("size_gib", "1T", (int,), "a number of GiB without a unit: 1024"),
        ("size_gib", [2], (int,), "a number of GiB without a unit: 64"),
        ("disks", {"path": "/x"}, (list,), "give a list, also of one item"),
        ("cloud_init", "x", (dict,), "give a mapping"),
        ("vcpus", "9" * 400, (int,), f"vcpus '{'9' * 99}... must be of type int"),
    ],
)
def test_a_wrong_type_says_what_would_work(key, value, kinds, words):
    with pytest.raises(GuestError) as error:
        Reader({key: value}, "realtime_guests: plc1", {key: kinds})
    assert words in str(error.value)


def test_a_number_with_very_many_digits_does_not_fill_the_line():
    with pytest.raises(GuestError, match=r"vcpus 9{100}\.\.\. is not in 1-512"):
        Reader({"vcpus": 10**400 - 1}, "x", {"vcpus": (int,)}).number("vcpus", 1, 1, 512)
