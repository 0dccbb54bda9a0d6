# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where BMCs keep BIOS, settings and lockdown; documents of any form have none of them."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware import shapes
from unit.hostile import VALUES, variants

BIOS = {"@odata.id": "/bios"}
HP = {"Oem": {"Hp": {"Links": {"BIOS": BIOS}}}}
OWN = [{"@odata.id": f"/m/DellAttributes/{name}"} for name in ("System.Embedded.1", "iDRAC.Embedded.1")]
MANAGER = {"Links": {"Oem": {"Dell": {"DellAttributes": OWN}}}}
SMC = {"Oem": {"Supermicro": {"SysLockdown": {"@odata.id": "/lock"}}}}
LOCKED = {"Attributes": {"Lockdown.1.SystemLockdown": "Enabled"}}


@pytest.mark.parametrize(
    ("system", "place"),
    [
        ({"Bios": BIOS}, "/bios"),
        (HP, "/bios"),
        ({"Oem": {"Hp": {"links": {"BIOS": {"href": "/rest/bios"}}}}}, "/rest/bios"),
        ({"Oem": {"Hp": {"BIOS": BIOS}}}, "/bios"),
        ({"Bios": {"@odata.id": "/own"}, **HP}, "/own"),
        ({}, ""),
    ],
)
def test_the_bios_of_a_system(system, place):
    assert shapes.bios_of(system) == place


@pytest.mark.parametrize(
    ("bios", "place"),
    [
        ({"@Redfish.Settings": {"SettingsObject": {"@odata.id": "/s"}}}, "/s"),
        ({"links": {"Settings": {"href": "/s"}}}, "/s"),
        ({"Links": {"Settings": {"@odata.id": "/s"}}}, "/s"),
        ({"@Redfish.Settings": {"ETag": "Dummyetag"}}, ""),
    ],
)
def test_the_settings_of_a_bios(bios, place):
    assert shapes.settings_of(bios) == place


def test_attributes_of_ilo_4_are_fields_of_the_bios():
    document = {
        "@odata.type": "#HpBios.1.2.0.HpBios",
        "Name": "BIOS",
        "AttributeRegistry": "x",
        "Sriov": "Enabled",
        "VlanId": 0,
        "links": {},
    }
    assert shapes.is_flat(document)
    assert shapes.attributes_of(document, flat=True) == {"Sriov": "Enabled", "VlanId": 0}
    assert not shapes.is_flat({**document, "Attributes": {}})
    assert not shapes.is_flat({"@odata.type": "#Bios.v1_0_0.Bios"})
    assert shapes.attributes_of({"Attributes": {"a": [1], "b": True, "c": None, "d": 1.5}}, flat=False) == {"b": True, "c": None}
    assert shapes.attributes_of({"Attributes": None}, flat=False) == {}


def test_an_attribute_whose_value_is_none_of_an_attribute_is_there():
    values = {"a": [], "b": {}, "c": [1], "d": 1.5, "e": "x", "f": 0, "g": False, "h": None}
    found = {"a": None, "b": None, "c": None, "d": None, "e": "x", "f": 0, "g": False, "h": None}
    assert shapes.attributes_of({"Attributes": values}, flat=False, damaged=True) == found
    flat = {
        "@odata.type": "#HpBios.1.2.0.HpBios",
        "links": {},
        "Oem": {},
        "Actions": {},
        "@Redfish.Settings": {},
        "Name": [],
        **values,
    }
    assert shapes.attributes_of(flat, flat=True, damaged=True) == found


@pytest.mark.parametrize(("manager", "place"), [(MANAGER, "/m/DellAttributes/iDRAC.Embedded.1"), (SMC, "/lock"), ({}, "")])
def test_where_a_lockdown_is_told(manager, place):
    assert shapes.lock_of(manager) == place


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (LOCKED, "Lockdown.1.SystemLockdown is Enabled"),
        ({"Attributes": {"Lockdown.1.SystemLockdown": "Disabled"}}, ""),
        ({"SysLockdownEnabled": True}, "SysLockdownEnabled is True"),
        ({"SysLockdownEnabled": "true"}, "SysLockdownEnabled is true"),
        ({"SysLockdownEnabled": False}, ""),
        ({}, ""),
    ],
)
def test_a_lockdown(document, said):
    assert shapes.lockdown_in(document) == said


@pytest.mark.parametrize(
    ("read", "document"),
    [
        (shapes.bios_of, HP),
        (shapes.settings_of, {"@Redfish.Settings": {"SettingsObject": BIOS}}),
        (shapes.is_flat, {"@odata.type": "#HpBios.1"}),
        (shapes.manager_of, {"Links": {"ManagedBy": [BIOS]}}),
        (shapes.lock_of, MANAGER),
        (shapes.lock_of, SMC),
        (shapes.lockdown_in, LOCKED),
    ],
)
def test_a_document_of_any_form_is_read(read, document):
    for one in [*variants(document), *[value for value in VALUES if isinstance(value, dict)]]:
        assert isinstance(read(one), (str, bool))
