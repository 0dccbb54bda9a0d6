# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's firmware in the report: each state, and results of any form."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.files import accounting_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.firmware import STATES, firmware_of
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import (
    Input,
    account_fleet,
    report_view,
)
from unit.fleets import guest_spec, node_info
from unit.hostile import VALUES, variants

ITEM = {
    "attribute": "ProcC1E",
    "current": "Enabled",
    "wanted": "Disabled",
    "note": "",
    "reason": "C1E lowers the clock",
    "state": "differs",
}
RESULT = {
    "state": "differs",
    "outcome": "differs: 1 setting, 1 reboot",
    "system": {"manufacturer": "Dell Inc.", "model": "PowerEdge R750", "bios_version": "1.8.2"},
    "attributes": [ITEM, {**ITEM, "attribute": "Sriov", "state": "ok"}, {**ITEM, "attribute": "Smt", "state": "kept"}],
}


def page(result):
    nodes = {"kvm01": {"info": node_info("kvm01", [guest_spec(0)]), "verify": {"findings": []}, "firmware": result}}
    given = Input(nodes, "2026-01-01T00:00:00Z")
    books = account_fleet(nodes)
    return render_page(report_view(given, books)), accounting_document(given, books)["nodes"]["kvm01"]["firmware"]


@pytest.mark.parametrize(
    ("result", "state", "said"),
    [
        ({**RESULT, "state": "compliant", "outcome": "compliant", "attributes": []}, "compliant", "as its baseline says"),
        (RESULT, "differs", "differs from its baseline"),
        (
            {**RESULT, "state": "locked", "outcome": "locked: the system is in lockdown mode"},
            "locked",
            "the system is in lockdown mode",
        ),
        ({**RESULT, "state": "unsupported", "outcome": "unsupported: ProcC1E (x)"}, "unsupported", "unsupported: ProcC1E (x)"),
        ({"failed": True, "msg": "bios: the BMC cannot be reached"}, "unread", "the BMC cannot be reached"),
        (None, "not asked", "Firmware: not asked."),
        ({"skipped": True}, "not asked", "Firmware: not asked."),
    ],
)
def test_each_state_is_shown(result, state, said):
    text, accounting = page(result)
    assert firmware_of(result)["state"] == accounting["state"] == state
    assert said in text
    assert state in STATES


def test_what_is_not_as_wanted_is_listed_with_the_reason():
    shown = firmware_of(RESULT)
    assert shown["system"] == "Dell Inc. PowerEdge R750 BIOS 1.8.2"
    assert shown["rows"] == [
        {"name": "ProcC1E", "is": "Enabled", "wanted": "Disabled", "state": "differs", "why": "C1E lowers the clock"}
    ]
    assert firmware_of({**RESULT, "attributes": [ITEM] * 250})["more"] == 50


@pytest.mark.parametrize("result", [*variants(RESULT), *VALUES], ids=lambda value: repr(value)[:30])
def test_a_result_of_any_form_is_shown_or_called_unreadable(result):
    shown = firmware_of(result)
    assert shown["state"] in STATES
    assert all(len(value) <= 610 and value.isprintable() for row in shown["rows"] for value in row.values())
    json.dumps(shown)


def test_no_name_of_a_bmc_becomes_markup():
    text, _accounting = page(
        {**RESULT, "outcome": "<script>x</script>", "attributes": [{**ITEM, "attribute": "<img src=x>", "note": "\x1b[2J"}]}
    )
    assert "<script>x" not in text
    assert "<img src=x>" not in text
    assert "\x1b" not in text
