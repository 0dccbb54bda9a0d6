# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/undo.yml and the firmware: only on request, in the plan that is shown, and within the limit."""

from __future__ import annotations

import pytest
from bmc.replay import PASSWORD, USER, Bmc, make_certificate
from bmc.small import tree

RECORDED = {"results": {"bios_record": {"recorded": {"CorrEccSmi": "Enabled"}, "machine": "Dell Inc.", "added": []}}}


@pytest.fixture(name="bmc")
def _bmc(tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_INJECT_FACT_VARS", "false")
    bmc = Bmc(tree(), make_certificate(tmp_path))
    bmc.machine.attributes["CorrEccSmi"] = "Disabled"
    bmc.machine.stage(CorrEccSmi="Disabled")
    yield bmc
    bmc.close()


def undo(nodes, bmc, *arguments, **variables):
    known = {"bios_address": bmc.address, "bios_username": USER, "bios_password": PASSWORD, "bios_ca_file": str(bmc.certificate)}
    code, said, calls = nodes.run("realtime.kvm.undo", RECORDED, "--limit", "node1", *arguments, **{**known, **variables})
    assert PASSWORD not in said
    return code, said, [call["module"] for call in calls]


def test_without_request_undo_names_what_stays(nodes, bmc):
    code, said, _calls = undo(nodes, bmc)
    assert code == 0, said
    assert "node1: 1 firmware settings stay as they are; bios_undo: true restores their former values" in said
    assert bmc.machine.requests == []


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_a_limit_below_reboot_refuses_before_any_change(nodes, bmc, check):
    code, said, calls = undo(nodes, bmc, *check, bios_undo=True, realtime_max_disruption="guest")
    assert code != 0
    assert "realtime_max_disruption is guest, but the plan needs more: bios:CorrEccSmi (reboot)" in said
    assert "reboot" not in calls
    assert bmc.machine.patches == []


def test_on_request_the_former_value_is_staged(nodes, bmc):
    code, said, calls = undo(nodes, bmc, bios_undo=True, realtime_reboot_allowed=False)
    assert code == 0, said
    assert "reboot bios:CorrEccSmi Disabled -> Enabled" in said, "in the plan that is shown"
    assert bmc.machine.pending == {"CorrEccSmi": "Enabled"}
    assert "reboot" not in calls
    assert "node1: former firmware settings: differs: 1 setting, 1 reboot" in said
    assert [call for call in calls if call.startswith("kernel")], "after everything else"


def test_a_node_with_a_record_and_no_bmc_is_refused_before_any_change(nodes, bmc):
    code, said, _calls = undo(nodes, bmc, bios_undo=True, bios_address="")
    assert code != 0
    assert (
        "bios_undo: node1 has former values of 1 firmware settings, but no BMC (bios_address) through which they could be restored"
        in said
    )
