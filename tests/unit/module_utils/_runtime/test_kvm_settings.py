# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""KVM's parameters that an operator chose."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.kvm_settings import kvm_settings


@pytest.mark.parametrize(
    ("nx_huge_pages", "halt_poll_ns", "values"),
    [
        ("keep", -1, {}),
        ("off", -1, {"nx_huge_pages": "N"}),
        ("never", -1, {}),  # KVM takes it only while it is loaded, and never gives it back
        ("keep", 0, {"halt_poll_ns": "0"}),
        ("off", 50000, {"nx_huge_pages": "N", "halt_poll_ns": "50000"}),
    ],
)
def test_only_what_was_chosen_is_set(nx_huge_pages, halt_poll_ns, values):
    settings = kvm_settings(nx_huge_pages, halt_poll_ns)
    assert {setting.path: setting.value for setting in settings} == {
        f"/sys/module/kvm/parameters/{name}": value for name, value in values.items()
    }
    assert all(setting.reason and setting.disturbs and setting.source for setting in settings)


def test_pages_that_are_no_longer_split_are_a_stall():
    assert [setting.disruption for setting in kvm_settings("off", 0)] == ["stall", "none"]
