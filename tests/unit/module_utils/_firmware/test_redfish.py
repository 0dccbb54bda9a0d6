# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a BMC: addresses, credentials that stay at home, systems, registries, messages. No network: answers are given here.

What BMCs do on the wire is in tests of the modules, against a stand-in that serves HTTPS.
"""

from __future__ import annotations

import http.client
import io
import json
import time
import weakref
from contextlib import suppress
from typing import ClassVar
from urllib.error import HTTPError

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._firmware import redfish as _redfish
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.odata import messages_of
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.redfish import (
    ROOT,
    Access,
    Answer,
    Redfish,
    RedfishError,
)
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.reset import plan_reset
from unit.hostile import VALUES, nested, variants

SYSTEM, BIOS, SETTINGS = f"{ROOT}/Systems/1", f"{ROOT}/Systems/1/Bios", f"{ROOT}/Systems/1/Bios/Settings"
REGISTRY = {"Id": "r", "RegistryEntries": {"Attributes": [{"AttributeName": "Smt", "Type": "String"}]}}
TREE = {
    f"{ROOT}/Systems": {"Members": [{"@odata.id": SYSTEM}]},
    SYSTEM: {"Bios": {"@odata.id": BIOS}, "Manufacturer": "M", "PowerState": "On"},
    BIOS: {
        "Attributes": {"Smt": "On", "Numa": 1},
        "AttributeRegistry": "Bios.v1",
        "@Redfish.Settings": {"SettingsObject": {"@odata.id": SETTINGS}},
    },
    SETTINGS: {"Attributes": {"Smt": "Off", "Numa": 1, "Other": 7}, "@odata.etag": "e1"},
    f"{ROOT}/Registries/Bios.v1": REGISTRY,
}


def access(address="bmc.example", **more):
    return Access(address, "user", "secret", **more)


class Wire:
    """Answers by path, each a document, or a function that makes one; asked for others: not found."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def __call__(self, url, **options):
        self.asked.append((options["method"], url, options["headers"]))
        answer = self.answers.get(url.partition("bmc.example")[2], 404)
        answer = answer.pop(0) if isinstance(answer, list) else answer
        if isinstance(answer, tuple):
            status, headers, body = answer
            raise HTTPError(url, status, "", headers, io.BytesIO(json.dumps(body).encode()))
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            raise HTTPError(url, answer, "", {}, io.BytesIO(b""))
        stream = io.BytesIO(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        stream.headers, stream.status = {}, 200
        return stream


@pytest.fixture(name="bmc")
def _bmc(monkeypatch):
    def make(answers=None, **more):
        wire = Wire({**TREE, **(answers or {})})
        monkeypatch.setattr(_redfish, "open_url", wire)
        slept = []
        redfish = Redfish(access(**more), slept.append)
        redfish.wire, redfish.slept = wire, slept
        return redfish

    return make


# -- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "more", "base"),
    [
        ("bmc.example", {}, "https://bmc.example"),
        ("bmc.example:8443", {}, "https://bmc.example:8443"),
        ("https://10.0.0.1/redfish/v1", {}, "https://10.0.0.1"),
        ("http://bmc.example", {"validate_certs": False}, "http://bmc.example"),
    ],
)
def test_addresses(address, more, base):
    assert Redfish(access(address, **more)).base == base


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://user:pw@bmc.example", "give user and password in bios_username and bios_password"),
        ("ftp://bmc.example", "is no address of a BMC"),
        ("https://", "is no address of a BMC"),
        ("http://bmc.example", "sends the password in the clear"),
    ],
)
def test_bad_addresses(address, said):
    with pytest.raises(RedfishError, match=f"^bios_address: .*{said}"):
        Redfish(access(address))


def test_the_password_is_in_no_text():
    assert "secret" not in repr(access())


LONG = "S3cret-of-the-BMC"


@pytest.mark.parametrize("before", [80, 90, 155, 160, 165, 170, 460, 475, 490, 505])
def test_no_text_is_cut_in_the_middle_of_the_password(monkeypatch, before):
    """A link, its redirect, a message, and what is no HTTP: the BMC chooses all of them."""
    text = f"{'x' * before}{LONG}{'y' * 90}"
    member = f"{ROOT}/{text}"
    raised = http.client.BadStatusLine(text)
    for answers in (
        {f"{ROOT}/Systems": {"Members": [{"@odata.id": member}]}},
        {f"{ROOT}/Systems": {"Members": [{"@odata.id": member}, {"@odata.id": f"{member}z"}]}, member: {}, f"{member}z": {}},
        {f"{ROOT}/Systems": (302, {"Location": f"https://{text}/"}, {})},
        {f"{ROOT}/Systems": (400, {}, {"error": {"message": text}})},
        {f"{ROOT}/Systems": raised},
    ):
        monkeypatch.setattr(_redfish, "open_url", Wire(answers))
        with pytest.raises(RedfishError) as caught:
            Redfish(Access("bmc.example", "user", LONG)).read()
        assert not any(LONG[:length] in str(caught.value) for length in range(4, len(LONG) + 1)), str(caught.value)


@pytest.mark.parametrize("where", ["https://elsewhere.example/x", "http://bmc.example/x", "//elsewhere.example/x"])
def test_credentials_do_not_follow_to_another_address(bmc, where):
    redfish = bmc({"/a": (302, {"Location": where}, {})})
    with pytest.raises(RedfishError, match=r"points to another address, .* which does not get the credentials"):
        redfish.get("/a")
    assert len(redfish.wire.asked) == 1


def test_redirects_at_home_are_followed_and_circles_are_not(bmc):
    assert bmc({"/a": (308, {"Location": "/b"}, {}), "/b": {"x": 1}}).get("/a").body == {"x": 1}
    with pytest.raises(RedfishError, match="redirects /a in circles"):
        bmc({"/a": (302, {"Location": "/a"}, {})}).get("/a")


# -- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, r"refuses the credentials \(HTTP 401\)"),
        (403, r"does not allow user user to GET /a \(HTTP 403\): no role;"),
        (412, r"was changed meanwhile \(HTTP 412\)"),
        (500, "answers GET /a with HTTP 500: no role$"),
    ],
)
def test_refusals_in_words(bmc, status, said):
    redfish = bmc({"/a": (status, {}, {"error": {"message": "no role"}})})
    with pytest.raises(RedfishError, match=said) as caught:
        redfish.get("/a")
    assert caught.value.status == status
    assert redfish.requests == 1


def test_a_busy_bmc_is_asked_again_as_late_as_it_says(bmc):
    redfish = bmc({"/a": [(503, {"Retry-After": "7"}, {}), (429, {}, {}), {"x": 1}]})
    assert redfish.get("/a").body == {"x": 1}
    assert redfish.slept == [7, 10]


@pytest.mark.parametrize(("status", "times"), [(503, 2), (502, 1), (504, 1)])
def test_a_change_is_repeated_only_where_nothing_was_done(bmc, status, times):
    redfish = bmc({"/a": [status, {"x": 1}]})
    if times == 2:
        redfish.patch("/a", {"b": 1}, "e1")
    else:
        with pytest.raises(RedfishError, match=rf"HTTP {status}.*restart the BMC"):
            redfish.patch("/a", {"b": 1}, "e1")
    assert [(method, headers["If-Match"]) for method, _url, headers in redfish.wire.asked] == [("PATCH", "e1")] * times


def test_a_damaged_answer_is_asked_for_once_more(bmc):
    assert bmc({"/a": [b"{", {"x": 1}]}).get("/a").body == {"x": 1}
    with pytest.raises(RedfishError, match="damaged body"):
        bmc({"/a": [b"{", b"{", {"x": 1}]}).get("/a")


@pytest.mark.parametrize(("content", "said"), [(b"<html>", "HTML instead of JSON"), (b"[]", "a list instead of an object")])
def test_what_is_no_redfish(bmc, content, said):
    with pytest.raises(RedfishError, match=said):
        bmc({"/a": content}).get("/a")


# -- the BIOS --------------------------------------------------------------------------------------


def test_what_a_bmc_says(bmc):
    firmware = bmc().read()
    assert (firmware.system, firmware.manufacturer, firmware.power) == ("1", "M", "On")
    assert firmware.current == {"Smt": "On", "Numa": 1}
    assert firmware.pending == {"Smt": "Off"}, "what differs, of what the BIOS has"
    assert (firmware.settings, firmware.etag, firmware.notes) == (SETTINGS, "e1", ())
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


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ({}, []),
        ({"error": {"message": "m"}}, [("m", [])]),
        (
            {"error": {"message": "m", "@Message.ExtendedInfo": [{"Message": "x"}, {"MessageId": "Base.1"}, {}, 7]}},
            [("x", []), ("Base.1", [])],
        ),
        (
            {"Smt@Message.ExtendedInfo": [{"Message": "x", "RelatedProperties": ["#/Attributes/Smt"], "MessageArgs": [1]}]},
            [("x", ["Smt", "1"])],
        ),
    ],
)
def test_messages_name_their_attributes(body, messages):
    assert messages_of(body) == messages


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


def test_an_answer_beyond_the_bounds_is_refused(bmc):
    for content, said in (
        (b'{"x": "' + b"y" * (9 << 20) + b'"}', "answers .* with more than 8 MiB"),
        (b"[" * 100_000, r"damaged body \(.*nested more than 64 levels deep"),
        (b'{"Members": [' + b"[]," * 200_000 + b"[]]}", r"damaged body \(.*more than 200000 values"),
    ):
        with pytest.raises(RedfishError, match=said):
            bmc({f"{ROOT}/Systems": content}).read()


def test_a_refusal_with_a_damaged_body_is_still_a_refusal(bmc):
    for body in (
        nested(500),
        7,
        {"error": nested()},
        {"error": {"@Message.ExtendedInfo": [{"Message": "\x1b[2J", "MessageArgs": 5}]}},
    ):
        with pytest.raises(RedfishError, match="HTTP 418") as error:
            bmc({f"{ROOT}/Systems": (418, {}, body)}).read()
        assert str(error.value).isprintable()


def test_an_answer_that_never_ends_is_given_up(bmc, monkeypatch):
    """Every byte comes in time, the answer as a whole does not."""
    monkeypatch.setattr(_redfish, "_WHOLE", 1)
    redfish = bmc(timeout=1)

    class Drip:
        headers: ClassVar = {}
        status = 200

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return None

        def read(self, _size):
            time.sleep(30)

    monkeypatch.setattr(_redfish, "open_url", lambda _url, **_options: Drip())
    started = time.monotonic()
    with pytest.raises(RedfishError, match=r"did not end its answer to .* within 1 s; restart the BMC, or raise bios_timeout"):
        redfish.read()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("etag", ["x\r\nAuthorization: Basic Zm9v", "ä", "x" * 1000, "\x1b[2J"])
def test_an_etag_makes_no_header_of_its_own(bmc, etag):
    redfish = bmc()
    redfish.patch(SETTINGS, {}, etag)
    assert redfish.wire.asked[-1][2].get("If-Match") is None


@pytest.mark.parametrize("after", ["²", "9" * 5000, "-1", "soon", ""])
def test_how_long_to_wait_is_a_small_number(bmc, after):
    redfish = bmc({f"{ROOT}/Systems": [(503, {"Retry-After": after}, {}), TREE[f"{ROOT}/Systems"]]})
    assert redfish.read().power == "On"
    assert redfish.slept == [2.0]


@pytest.mark.parametrize(
    "link",
    ["https://[", "//evil.example/x", "https://bmc.example@evil.example/", "http://bmc.example/", "https://bmc.example:99999/x"],
)
def test_a_link_never_takes_the_credentials_elsewhere(bmc, link):
    redfish = bmc({f"{ROOT}/Systems": {"Members": [{"@odata.id": link}]}})
    with pytest.raises(RedfishError, match="points to"):
        redfish.read()
    assert [url for _method, url, _headers in redfish.wire.asked] == [f"https://bmc.example{ROOT}/Systems"]


def test_a_list_without_end_of_systems_is_cut(bmc):
    redfish = bmc({f"{ROOT}/Systems": {"Members": [{"@odata.id": SYSTEM}] * 5000}})
    with pytest.raises(RedfishError, match="has several systems"):
        redfish.read()
    assert redfish.requests <= 65


def listed(*names):
    return {f"{ROOT}/Systems": {"Members": [{"@odata.id": f"{ROOT}/Systems/{name}"} for name in names]}}


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
        return Answer(body, "", 200)

    monkeypatch.setattr(redfish, "get", counted)
    with pytest.raises(RedfishError, match="has several systems"):
        redfish.system()
    assert most <= 2


@pytest.mark.parametrize("ask", ["read", "system"])
def test_reading_a_bmc_has_an_end_as_a_whole(bmc, monkeypatch, ask):
    """Every answer comes in its time, all 64 together do not."""
    monkeypatch.setattr(_redfish, "_WHOLE", 0.1)
    redfish = bmc({**listed(*range(64)), **{f"{ROOT}/Systems/{number}": {} for number in range(64)}}, timeout=1, wait=0)
    wire = redfish.wire

    def slow(url, **options):
        time.sleep(0.05)
        return wire(url, **options)

    monkeypatch.setattr(_redfish, "open_url", slow)
    started = time.monotonic()
    with pytest.raises(
        RedfishError, match=r"could not be read within 0.3 s, though each of its answers came in time; restart the BMC"
    ):
        getattr(redfish, ask)()
    assert time.monotonic() - started < 2
    monkeypatch.setattr(_redfish, "open_url", wire)
    assert redfish.get(BIOS).body == TREE[BIOS], "a later question has its own time"


@pytest.mark.parametrize("sign", ["\u00e9", "\ud800"])
def test_a_link_outside_ascii_is_refused_in_words(bmc, sign):
    words = "which is no address .it has characters outside ASCII.; update its firmware"
    for ask in ("read", "system"):
        with pytest.raises(RedfishError, match=words) as error:
            getattr(bmc(listed(sign)), ask)()
        str(error.value).encode()
    for ask in ("post", "get"):
        with pytest.raises(RedfishError, match=words):
            getattr(bmc(), ask)(f"{SYSTEM}/{sign}", *([{}] if ask == "post" else []))
    with pytest.raises(RedfishError, match=words):
        bmc({f"{ROOT}/Systems": (302, {"Location": f"/{sign}"}, {})}).system()


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
