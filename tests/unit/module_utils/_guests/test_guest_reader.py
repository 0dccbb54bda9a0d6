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
