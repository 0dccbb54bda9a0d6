# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A setting: when a file holds it, and what is written back. Every one has a reason."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import (
    ChoiceSetting,
    MaskSetting,
    runtime_settings,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.power_settings import AWAKE, power_settings
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.settings import Setting
from unit.trees import plan

SWITCH = plan(Intent(smt="together", dataplane_cores_per_node=1, shared_cores_per_node=1, realtime="1"))


def test_every_setting_has_a_reason():
    everything = [
        *runtime_settings(SWITCH, "unlimited", servers=True),
        *power_settings(SWITCH, limits={1: AWAKE}, turbo="off", performance=True),
    ]
    assert len({setting.path for setting in everything}) == len(everything)
    assert all(setting.reason and setting.disturbs for setting in everything)


@pytest.mark.parametrize(
    ("form", "wanted", "current", "holds", "written_back"),
    [
        ("text", "10", "10", True, "10"),
        ("text", "10", "1", False, "1"),
        ("mask", "00000005", "5", True, "5"),
        ("mask", "00000005", "00000000,00000005", True, "00000000,00000005"),
        ("mask", "00000005", "7", False, "7"),
        ("mask", "00000005", "", False, ""),
        ("choice", "never", "always madvise [never]", True, "never"),
        ("choice", "never", "[always] madvise never", False, "always"),
        ("choice", "never", "never", True, "never"),
    ],
)
def test_what_a_file_shows_is_understood(form, wanted, current, holds, written_back):
    kind = {"text": Setting, "mask": MaskSetting, "choice": ChoiceSetting}[form]
    setting = kind("/x", wanted, "why")
    assert setting.holds(current) is holds
    assert setting.simplify(current) == written_back
