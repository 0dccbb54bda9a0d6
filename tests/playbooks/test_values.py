# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong value is refused before the first change of a playbook, also one that only its last role reads."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("playbook", "name", "value"),
    [
        ("undo", "realtime_reboot_allowed", "maybe"),
        ("undo", "rt_kernel_reboot_with_guests", ""),
        ("undo", "rt_kernel_reboot_timeout", 0),
        ("undo", "rt_guest_force_off", ""),
        ("site", "rt_kernel_reboot_timeout", 0),
    ],
)
def test_a_wrong_value_is_refused_before_the_first_change(nodes, playbook, name, value):
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", {}, "--limit", "node1", **{name: value})
    assert code != 0
    assert name.removeprefix("realtime_") in said, "rt_kernel_reboot_allowed follows realtime_reboot_allowed"
    assert [call["module"] for call in calls if not call["check"]] == [], said[-500:]
