# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a BMC reports of a system and its BIOS. No network: answers are given here."""

from __future__ import annotations

import weakref
from contextlib import suppress
from types import SimpleNamespace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._firmware import connection as _connection
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.connection import Answer, RedfishError
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.odata import messages_of
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.redfish import ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.reset import plan_reset
from unit.bmcs import BIOS, REGISTRY, SETTINGS, SYSTEM, TREE, listed
from unit.hostile import VALUES, variants

# -- the BIOS --------------------------------------------------------------------------------------


def test_what_a_bmc_says(bmc):
    firmware = bmc().read()
    assert (firmware.system, firmware.manufacturer, firmware.power) == ("1", "M", "On")
    assert firmware.current == {"Smt": "On", "Numa": 1}
    assert firmware.pending == {"Smt": "Off"}, "what differs, of what the BIOS has"
    assert (firmware.settings, firmware.etags, firmware.notes) == (SETTINGS, ("", "e1"), ())
    assert list(firmware.registry.attributes) == ["Smt"]
    assert bmc().read(registry=False).registry is None


@pytest.mark.parametrize(
    ("members", "system", "said"),
    [
        ([], "", "lists no systems"),
        (["1", "2"], "", r"has several systems \(1, 2\); name one of them"),
        (["1"], "9", "has no system '9'; it has 1"),
    ],
)
def test_which_system_is_meant(bmc, members, system, said):
    answers = {f"{ROOT}/Systems": {"Members": [{"@odata.id": f"{ROOT}/Systems/{name}"} for name in members]}}
    answers[f"{ROOT}/Systems/2"] = TREE[SYSTEM]
    with pytest.raises(RedfishError, match=said):
        bmc(answers, system=system).read()


def test_of_two_systems_the_one_with_a_bios(bmc):
    answers = {
        f"{ROOT}/Systems": {"Members": [{"@odata.id": f"{ROOT}/Systems/2"}, {"@odata.id": SYSTEM}]},
        f"{ROOT}/Systems/2": {},
    }
    assert bmc(answers).read().system == "1"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({SYSTEM: {}}, "has no Bios for system 1"),
        ({BIOS: {"Attributes": {}}}, f"serves no BIOS attributes at {BIOS}; power the system on once"),
    ],
)
def test_a_system_without_bios_settings(bmc, answers, said):
    with pytest.raises(RedfishError, match=said):
        bmc(answers).read()


@pytest.mark.parametrize(
    ("answers", "note"),
    [
        (
            {BIOS: {**TREE[BIOS], "AttributeRegistry": "x"}, f"{ROOT}/Registries": {"Members": []}},
            "has no attribute registry 'x'",
        ),
        ({f"{ROOT}/Registries/Bios.v1": {**REGISTRY, "RegistryEntries": {}}}, "has no RegistryEntries.Attributes"),
        (
            {f"{ROOT}/Registries/Bios.v1": {"Id": "r", "RegistryEntries": {"Attributes": []}}},
            "registry r has none of its attributes",
        ),
        ({f"{ROOT}/Registries/Bios.v1": 500}, "HTTP 500"),
    ],
)
def test_without_a_usable_registry_a_note_says_so(bmc, answers, note):
    firmware = bmc(answers).read()
    assert firmware.registry is None
    assert note in firmware.notes[0]
    assert firmware.notes[0].endswith("so allowed values and locks are unknown")


@pytest.mark.parametrize("name", ["bios.V1", "Bios.v1.2", "BiosAttributeRegistry.9"])
def test_the_nearest_registry_serves(bmc, name):
    path = f"{ROOT}/Registries/{name}"
    places = [{"Language": "de", "Uri": "/de"}, {"Language": "en-US", "Uri": {"@odata.id": "/en"}}]
    answers = {
        f"{ROOT}/Registries/Bios.v1": 404,
        f"{ROOT}/Registries": {"Members": [{"@odata.id": f"{ROOT}/Registries/Base"}, {"@odata.id": path}]},
        path: {"Location": places},
        "/en": REGISTRY,
    }
    assert bmc(answers).read().registry.identity == "r"


# -- a BMC that lies -------------------------------------------------------------------------------


@pytest.mark.parametrize("where", TREE, ids=lambda path: path.rpartition("/")[2])
def test_any_value_in_any_field_is_read_or_refused(bmc, where):
    refusals = []
    for answer in [*variants(TREE[where]), *VALUES]:
        redfish = bmc({where: answer})
        try:
            firmware = redfish.read()
        except RedfishError as error:
            refusals.append(str(error))
            continue
        assert all(isinstance(value, (str, int, type(None))) for value in firmware.current.values())
        assert all(url.startswith("https://bmc.example/") for _method, url, _headers in redfish.wire.asked)
    assert refusals
    assert all(text.isprintable() and len(text) < 1000 for text in refusals)


def test_a_list_without_end_of_systems_is_cut(bmc):
    redfish = bmc({f"{ROOT}/Systems": {"Members": [{"@odata.id": SYSTEM}] * 5000}})
    with pytest.raises(RedfishError, match="has several systems"):
        redfish.read()
    assert redfish.requests <= 65


class Body(dict):
    """A document whose life can be followed."""

    __hash__ = object.__hash__


@pytest.mark.parametrize("bios", [False, True])
def test_of_many_systems_no_more_than_two_documents_are_held(bmc, monkeypatch, bios):
    redfish, held, most = bmc(listed(*range(64))), weakref.WeakSet(), 0
    get = redfish.get

    def counted(path):
        nonlocal most
        if path.endswith("/Systems"):
            return get(path)
        body = Body({"Bios": {"@odata.id": BIOS}} if bios else {})
        held.add(body)
        most = max(most, len(held))
        return Answer(body, ("", ""), 200)

    monkeypatch.setattr(redfish, "get", counted)
    with pytest.raises(RedfishError, match="has several systems"):
        redfish.system()
    assert most <= 2


@pytest.mark.parametrize("ask", ["read", "system"])
def test_reading_a_bmc_has_an_end_as_a_whole(bmc, monkeypatch, ask):
    """Every answer comes in its time, all 64 together do not. The clock is this test's own: a busy machine is late by itself."""
    now = 0.0
    monkeypatch.setattr(_connection, "time", SimpleNamespace(monotonic=lambda: now))
    redfish = bmc({**listed(*range(64)), **{f"{ROOT}/Systems/{number}": {} for number in range(64)}}, timeout=10, wait=0)
    wire, asked = redfish.wire, []

    def slow(url, **options):
        nonlocal now
        now += 25
        asked.append(url)
        return wire(url, **options)

    monkeypatch.setattr(_connection, "open_url", slow)
    with pytest.raises(
        RedfishError, match=r"could not be read within 120 s, though each of its answers came in time; restart the BMC"
    ):
        getattr(redfish, ask)()
    assert len(asked) == 5
    monkeypatch.setattr(_connection, "open_url", wire)
    assert redfish.get(BIOS).body == TREE[BIOS], "a later question has its own time"


def test_a_system_of_any_form_is_read_or_refused():
    for value in VALUES:
        with suppress(RefusalError):
            plan_reset({"Actions": {"#ComputerSystem.Reset": value}})
        with suppress(RefusalError):
            plan_reset({"Actions": value, "PowerState": value})


@pytest.mark.parametrize("name", ["B\u00e4r", "a b", "\x1b"])
def test_a_registrys_name_that_is_no_address_is_looked_up_in_the_list(bmc, name):
    answers = {
        BIOS: {**TREE[BIOS], "AttributeRegistry": name},
        f"{ROOT}/Registries": {"Members": [{"@odata.id": f"{ROOT}/Registries/BiosAttributeRegistry.1"}]},
        f"{ROOT}/Registries/BiosAttributeRegistry.1": REGISTRY,
    }
    assert bmc(answers).read().registry is not None


# -- lockdown --------------------------------------------------------------------------------------

MANAGER, LOCK = f"{ROOT}/Managers/1", f"{ROOT}/Managers/1/Oem/Dell/DellAttributes/iDRAC.Embedded.1"
DELL = {
    SYSTEM: {**TREE[SYSTEM], "Manufacturer": "Dell Inc.", "Links": {"ManagedBy": [{"@odata.id": MANAGER}]}},
    MANAGER: {"Links": {"Oem": {"Dell": {"DellAttributes": [{"@odata.id": LOCK}]}}}},
    LOCK: {"Attributes": {"Lockdown.1.SystemLockdown": "Enabled"}},
}


def test_a_lockdown_is_asked_for_where_the_maker_has_one(bmc):
    redfish = bmc(DELL)
    assert redfish.lockdown(redfish.read()) == "Lockdown.1.SystemLockdown is Enabled"
    other = bmc({**DELL, SYSTEM: {**DELL[SYSTEM], "Manufacturer": "HPE"}})
    firmware = other.read()
    asked = other.requests
    assert (other.lockdown(firmware), other.requests) == ("", asked), "another maker is not asked"


@pytest.mark.parametrize("where", [MANAGER, LOCK])
@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_lockdown_that_may_not_be_read_is_none(bmc, where, status):
    redfish = bmc({**DELL, where: status})
    assert redfish.lockdown(redfish.read()) == ""


@pytest.mark.parametrize("where", [MANAGER, LOCK], ids=["manager", "lock"])
def test_a_lockdown_of_any_form_is_read_or_refused(bmc, where):
    for answer in [*variants(DELL[where]), *VALUES]:
        redfish = bmc({**DELL, where: answer})
        with suppress(RedfishError):
            assert isinstance(redfish.lockdown(redfish.read()), str)
        assert all(url.startswith("https://bmc.example/") for _method, url, _headers in redfish.wire.asked)


def test_a_message_alone_is_read_like_a_list():
    assert messages_of({"error": {"@Message.ExtendedInfo": {"Message": "no"}}}) == [("no", [])]
    assert messages_of({"error": {"@Message.ExtendedInfo": [{"MessageID": "Base.1.0:Success", "MessageArgs": ["a"]}]}}) == [
        ("Base.1.0:Success", ["a"])
    ]
