# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of a BMC, as it is and as programs encode it, is in no text of an answer."""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.secrets import forms_of, without

PASSWORD = "S3cr\"et'+p/w&d%1<x>é"
HEADER = f"root:{PASSWORD}".encode()
FORMS = {
    "plain": PASSWORD,
    "url": urllib.parse.quote(PASSWORD, safe=""),
    "url, lower case": re.sub("%..", lambda code: code[0].lower(), urllib.parse.quote(PASSWORD, safe="")),
    "url with slashes": urllib.parse.quote(PASSWORD),
    "form": urllib.parse.quote_plus(PASSWORD),
    "html": html.escape(PASSWORD),
    "html without quotes": html.escape(PASSWORD, quote=False),
    "html with &#39;": html.escape(PASSWORD).replace("&#x27;", "&#39;"),
    "json": json.dumps(PASSWORD)[1:-1],
    "json in json": json.dumps(json.dumps(PASSWORD))[3:-3],
    "json, slashes": json.dumps(PASSWORD, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    "python": repr(PASSWORD)[1:-1],
    "base64": base64.b64encode(PASSWORD.encode()).decode(),
    "header": base64.b64encode(HEADER).decode(),
    "header, for addresses": base64.urlsafe_b64encode(HEADER).decode(),
    "header without padding": base64.b64encode(HEADER).decode().rstrip("="),
    "hex": PASSWORD.encode().hex(),
    "HEX": PASSWORD.encode().hex().upper(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_taken_out(form):
    text = FORMS[form]
    shown = without({f"a{text}": ["I was sent ", f"x{text}y", 7, None, {"b": text}]}, forms_of("root", PASSWORD))
    assert json.dumps(shown).replace("=", "") == json.dumps(
        {"a********": ["I was sent ", "x********y", 7, None, {"b": "********"}]}
    )


def test_an_ordinary_answer_stays_as_it_is():
    answer = {"@odata.id": "/redfish/v1/Systems/1", "Attributes": {"Smt": "On", "Numa": 1, "Fast": True, "Words": ["a%2fb"]}}
    assert without(answer, forms_of("root", PASSWORD)) == answer
    assert without(answer, forms_of("root", "")) is answer


def test_a_password_that_is_part_of_common_words_breaks_no_answer():
    answer = {"@odata.id": "/redfish/v1/Systems/1"}
    assert without(answer, forms_of("root", "1")) == answer
    assert "1" in forms_of("root", "1"), "no output has it"
