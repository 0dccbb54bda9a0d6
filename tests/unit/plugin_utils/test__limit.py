# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disruption limit of a host in a run; test_limit.py in tests/playbooks has it with Ansible's own variables."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._limit import lower


@pytest.mark.parametrize(
    ("limits", "binds"),
    [
        ((), "reboot"),
        ((None, None), "reboot"),
        (("", None), "reboot"),
        (("", "none"), "none"),
        (("none", ""), "none"),
        (("reboot", "none"), "none"),
        (("none", "reboot"), "none"),
        (("guest", "stall"), "stall"),
        (("guest", "guest"), "guest"),
    ],
)
def test_the_lower_limit_binds_and_an_empty_one_is_not_given(limits, binds):
    assert lower(*limits) == binds


@pytest.mark.parametrize("limits", [("sometimes", "none"), ("none", "NONE"), ("none", 3), (False, "none"), ([], None)])
def test_what_is_no_class_is_refused_also_beside_a_lower_one(limits):
    with pytest.raises(
        ValueError, match=r"^realtime_max_disruption: .* is not a disruption class; choose one of none, stall, guest, reboot$"
    ):
        lower(*limits)
