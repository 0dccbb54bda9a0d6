# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of guests' priorities: the kernel's own threads fit between them and interrupt threads."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import thread_rules
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.priorities import (
    PRIORITY_LIMITS,
    SettingError,
    check_priority_limit,
)


@pytest.mark.parametrize("limit", [PRIORITY_LIMITS[0], PRIORITY_LIMITS[-1]])
def test_every_kernel_thread_fits_above_a_limit(limit):
    check_priority_limit(limit)
    assert all(limit < rule.priority < 50 for rule in thread_rules(limit))


@pytest.mark.parametrize("limit", [0, 41, -1])
def test_other_limits_are_refused_by_name(limit):
    with pytest.raises(SettingError, match=rf"^realtime_priority_limit: {limit} is not in 1-40"):
        check_priority_limit(limit)
