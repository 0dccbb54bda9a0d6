# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to a BMC: addresses, credentials that stay at home, refusals in words. No network: answers are given here.

What BMCs do on the wire is in tests of the modules, against a stand-in that serves HTTPS.
"""

from __future__ import annotations

import http.client
import time
from typing import ClassVar

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware import connection as _connection
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.connection import Access, RedfishError
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.odata import messages_of
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.redfish import ROOT, Redfish
from unit.bmcs import SETTINGS, SYSTEM, TREE, Wire, access, listed
from unit.hostile import nested

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
        monkeypatch.setattr(_connection, "open_url", Wire(answers))
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
    monkeypatch.setattr(_connection, "_WHOLE", 1)
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

    monkeypatch.setattr(_connection, "open_url", lambda _url, **_options: Drip())
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
