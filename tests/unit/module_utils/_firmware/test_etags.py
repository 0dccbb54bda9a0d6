# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of an ETag, and which texts are none."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.etags import forms_of, opaque, usable


@pytest.mark.parametrize(
    "tag",
    [
        '"abc"',
        '""abc""',
        'W/"abc"',
        '"W/"abc""',
        "abc",
        "W/abc",
        '"abc-gzip"',
        'W/"abc--gzip"',
        '"abc;gzip"',
        '"abc":gzip',
        ' "abc" ',
    ],
)
def test_all_ways_to_write_an_etag_have_the_same_inside(tag):
    assert opaque(tag.strip()) == "abc"
    forms = forms_of(tag, "")
    assert next(iter(forms.values())) == tag.strip(), "first as it came"
    assert (forms["quoted"], forms["bare"], forms["weak"]) == ('"abc"', "abc", 'W/"abc"')
    assert list(forms)[-2:] == ["any", "none"], "last without any, after the settings were read again"


def test_the_header_comes_before_the_document():
    assert list(forms_of('"h"', '"d"').items())[:3] == [("header", '"h"'), ("document", '"d"'), ("quoted", '"h"')]
    assert list(forms_of("", 'W/"d"').items())[:2] == [("document", 'W/"d"'), ("quoted", '"d"')]


@pytest.mark.parametrize("tag", ["", '""', "W/", 'W/""', "x" * 201, "a\r\nAuthorization: Basic x", "ä", "\x1b[2J"])
def test_what_is_no_etag_is_not_sent(tag):
    assert not usable(tag)
    assert forms_of(tag, tag) == {"none": "", "any": "*"}
