# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which reset is asked for, by what a BMC offers."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.reset import ResetError, plan_reset

TARGET = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"


def system(allowed=None, power="On", target=TARGET):
    action = {"target": target, **({} if allowed is None else {"ResetType@Redfish.AllowableValues": allowed})}
    return {"PowerState": power, "Actions": {"#ComputerSystem.Reset": action}}


@pytest.mark.parametrize(
    ("described", "kind"),
    [
        (system(["On", "GracefulRestart", "ForceRestart", "PowerCycle"]), "ForceRestart"),
        (system(["On", "PowerCycle"]), "PowerCycle"),
        (system(), "ForceRestart"),
        (system([]), "ForceRestart"),
        (system("ForceOff"), "ForceRestart"),
        (system(["ForceRestart", "On"], power="Off"), "On"),
        (system(["ForceRestart", "ForceOn"], power="Off"), "ForceOn"),
        (system(["ForceRestart"], power=None), "ForceRestart"),
    ],
)
def test_the_reset_that_helps(described, kind):
    assert (plan_reset(described).kind, plan_reset(described).target) == (kind, TARGET)


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"Actions": None},
        {"Actions": []},
        {"Actions": {"#ComputerSystem.Reset": "x"}},
        system(target=1),
        system(target="http://other/x"),
    ],
)
def test_without_an_action_of_its_own_nothing_is_asked(described):
    with pytest.raises(ResetError, match=r"offers no reset of its system .*by hand"):
        plan_reset(described)


def test_only_graceful_resets_do_not_help():
    with pytest.raises(
        ResetError, match=r"none of the resets ForceRestart, PowerCycle for a system that is On; it has GracefulRestart, 1"
    ):
        plan_reset(system(["GracefulRestart", 1]))
