# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""bmc_reset against a stand-in for a BMC."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.modules import bmc_reset
from bmc.modules import call
from bmc.replay import Bmc, make_certificate
from bmc.small import tree

PATH = "/redfish/v1/Systems/1"


@pytest.fixture(name="bmc")
def _bmc(tmp_path):
    bmc = Bmc(tree(), make_certificate(tmp_path))
    system = bmc.machine.get(PATH)
    system["PowerState"] = "On"
    system["Actions"] = {"#ComputerSystem.Reset": {"target": f"{PATH}/Actions/ComputerSystem.Reset"}}
    yield bmc
    bmc.close()


def reset(capsys, bmc, **arguments):
    return call(capsys, bmc, bmc_reset, baselines=..., **arguments)


def test_the_system_is_reset_once(capsys, bmc):
    result = reset(capsys, bmc)
    assert (result["changed"], result["reset_type"], result["disruption"]) == (True, "ForceRestart", "reboot")
    assert bmc.machine.resets == 1


def test_check_mode_resets_nothing(capsys, bmc):
    result = reset(capsys, bmc, check=True)
    assert (result["changed"], result["reset_type"], bmc.machine.resets) == (True, "ForceRestart", 0)


def test_a_reset_is_refused_where_no_reboot_is_allowed(capsys, bmc):
    result = reset(capsys, bmc, max_disruption="guest")
    assert result["failed"]
    assert bmc.machine.resets == 0


def test_a_wrong_password_resets_nothing(capsys, bmc):
    result = reset(capsys, bmc, password="wrong-one")
    assert result["failed"]
    assert bmc.machine.resets == 0


def test_a_bmc_without_the_action_says_what_to_do(capsys, bmc):
    del bmc.machine.get(PATH)["Actions"]
    result = reset(capsys, bmc)
    assert "offers no reset of its system" in result["msg"]
    assert "by hand" in result["msg"]
