# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that are given as text become what a module wants, and infinity becomes no traceback."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._module._converted import converted, finite

OPTIONS = {
    "name": {"type": "str"},
    "vcpus": {"type": "int"},
    "autostart": {"type": "bool"},
    "disks": {"type": "list", "options": {"size_gib": {"type": "int"}}},
}


def test_what_can_be_converted_is_and_the_rest_stays():
    given = {"vcpus": "4", "autostart": "yes", "disks": [{"size_gib": "20", "odd": 1}], "odd": "1"}
    assert converted(given, OPTIONS) == {"vcpus": 4, "autostart": True, "disks": [{"size_gib": 20, "odd": 1}], "odd": "1"}
    assert converted({"vcpus": "four", "disks": "/a"}, OPTIONS) == {"vcpus": "four", "disks": "/a"}
    assert converted("plc1", OPTIONS) == "plc1"


@pytest.mark.parametrize("infinite", [float("inf"), float("-inf")])
def test_infinity_is_a_text_that_no_reader_takes_for_a_number(infinite):
    shown = f"{infinite} (no number)"
    assert finite({"vcpus": infinite, "name": "a"}, OPTIONS) == {"vcpus": shown, "name": "a"}
    assert finite({"disks": [{"size_gib": infinite}]}, OPTIONS) == {"disks": [{"size_gib": shown}]}
    assert converted({"vcpus": infinite}, OPTIONS) == {"vcpus": infinite}
