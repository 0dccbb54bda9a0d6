# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cloud's refusal is for people: one line, with the call and a remedy, without secrets or tracebacks."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.answers import (
    advice,
    hide,
    module_failure,
    refusal,
    secrets_of,
    words_of,
)

SECRET = "S3cret-of-the-cloud!"
TRACE = """Traceback (most recent call last):
  File "x.py", line 1, in <module>
keystoneauth1.exceptions.connection.ConnectFailure: Unable to establish connection to http://u:pw@c:5000/v3
"""


def test_secrets_are_all_but_the_harmless_keys():
    auth = {
        "auth_url": "http://c",
        "username": "admin",
        "password": SECRET,
        "token": "tok-en",
        "new_key": "hid-den",
        "nested": {"passcode": "123456"},
        "x": 1,
    }
    assert secrets_of(auth) == {SECRET, "tok-en", "hid-den", "123456"}


@pytest.mark.parametrize(
    "text",
    [
        f"wrong password {SECRET}",
        f"http://operator:{SECRET}@cloud/v3",
        f'{{"password": "{SECRET}"}}',
        f"X-Auth-Token: {SECRET}",
        f"transport_url password={SECRET}",
    ],
)
def test_no_secret_is_shown(text):
    assert SECRET not in hide(text, [SECRET])
    if "wrong" not in text:
        assert SECRET not in hide(text, [])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"badRequest": {"code": 400, "message": "nova\nsays"}}, "nova says"),
        ({"NeutronError": {"type": "X", "message": "neutron says", "detail": ""}}, "neutron says"),
        ({"error": {"code": 401, "message": "keystone says"}}, "keystone says"),
        ({"errors": [{"status": 404, "title": "Not Found", "detail": "placement says"}]}, "placement says"),
        ([], ""),
        ({"a": 1}, ""),
    ],
)
def test_each_service_has_its_form(body, words):
    assert words_of(body) == words


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "credentials"),
        (403, "role admin"),
        (409, "conflicts"),
        (503, "not ready"),
        (504, "not ready"),
        (418, "does not take"),
    ],
)
def test_advice(status, said):
    assert said in advice(status)


def test_a_mixed_flavor_before_any_compute_is_said_in_words():
    assert "Victoria" in advice(409, "The mixed instance is not supported by the compute service")


def test_a_message_is_one_bounded_line():
    text = refusal("plant\x1b[2J", "GET /x", 500, "y" * 9000, [])
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 700


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (
            {"msg": "ConflictException: 409: Client Error for url: http://c/v2.1/flavors, Flavor with name x already exists."},
            "was answered with 409 (Flavor with name x already exists.)",
        ),
        ({"msg": "HttpException: 503: Server Error for url: http://c/v2.1, busy"}, "was answered with 503"),
        ({"msg": "MODULE FAILURE", "module_stderr": TRACE}, "ConnectFailure: Unable to establish connection"),
        ({"msg": "MODULE FAILURE", "exception": TRACE}, "ConnectFailure: Unable"),
        ({"msg": "The request you have made requires authentication. (HTTP 401)"}, "was answered with 401"),
        ({"msg": f"bad password {SECRET}"}, "********"),
        ({}, "without a word"),
    ],
)
def test_modules_that_fail_are_one_line_too(result, said):
    text = module_failure("plant", "flavor x", result, [SECRET])
    assert said in text
    assert SECRET not in text
    assert "pw@" not in text
    assert "Traceback" not in text
    assert "\n" not in text
