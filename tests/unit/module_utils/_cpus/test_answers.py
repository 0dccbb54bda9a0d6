# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers from outside: bounded, of their form, or one documented error; and text that a terminal only shows."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import (
    MOST_LEVELS,
    AnswerError,
    answering,
    counted,
    decode,
    differs,
    plain,
    printed,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError


def test_one_of_a_kind_is_no_plural():
    assert [counted(number, "portion") for number in (0, 1, 2)] == ["0 portions", "1 portion", "2 portions"]
    assert [counted(number, "stays", "stay") for number in (0, 1, 2)] == ["0 stay", "1 stays", "2 stay"]


@pytest.mark.parametrize("value", [None, True, 7, -1.5, "ä{{ x }}\u202e", [], [[1], {"a": "b"}], {"a": {"b": [None]}}])
def test_json_is_returned_as_it_is(value):
    text = json.dumps(value)
    assert decode(text) == decode(text.encode()) == decode(bytearray(text.encode())) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is no JSON: Expecting value"),
        ("{", "it is no JSON"),
        ("[1,]", "it is no JSON"),
        ("{} {}", "it is no JSON: Extra data"),
        (b"\xff\xfe{}", "it is no JSON: 'utf-8' codec can't decode"),
        ("NaN", "it is no JSON: NaN is no number"),
        ("[Infinity]", "Infinity is no number"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 64 levels"),
        ('{"a":' * 100_000, "nested more than 64 levels"),
        ("[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1), "nested more than 64 levels"),
        ("9" * 1_000_000, "a number of more than 400 digits"),
        ("[" + "[]," * 600_000 + "[]]", "it has more than 1000000 values"),
        ('"' + "x" * (33 << 20) + '"', "it has 34603010 characters, at most 33554432 are accepted"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_everything_else_is_one_error(text, reason):
    with pytest.raises(AnswerError) as error:
        decode(text)
    assert reason in str(error.value)
    assert len(str(error.value)) < 200


def test_the_deepest_and_the_largest_that_are_accepted():
    assert decode("[" * MOST_LEVELS + "]" * MOST_LEVELS)
    assert decode("[1,2]", most=5, values=2) == [1, 2]
    with pytest.raises(AnswerError, match="more than 1 values"):
        decode("[1,2]", values=1)
    with pytest.raises(AnswerError, match="at most 4 are accepted"):
        decode("[1,2]", most=4)


FORM = {"name": str, "size": (int, type(None)), "on": bool, "parts": [{"id": int}], "notes": {str: str}}
GOOD = {"name": "x", "size": None, "on": True, "parts": [{"id": 1, "more": []}], "notes": {"a": "b"}, "more": 1}


def test_a_value_of_its_form_differs_nowhere():
    assert differs(GOOD, FORM) == ""
    assert decode(json.dumps(GOOD), FORM) == GOOD
    assert differs([GOOD, None], None) == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": 5}, "name is a number, not text"),
        ({"size": True}, "size is true or false, not a number or null"),
        ({"size": 1.5}, "size is a number, not a number or null"),
        ({"on": 1}, "on is a number, not true or false"),
        ({"parts": {}}, "parts is an object, not a list"),
        ({"parts": [{"id": 1}, []]}, "parts[1] is a list, not an object"),
        ({"parts": [{"id": "1"}]}, "parts[0].id is text, not a number"),
        ({"parts": [{}]}, "parts[0] lacks id"),
        ({"notes": {"\x1b[2J": None}}, "notes.\\x1b[2J is null, not text"),
        ({"notes": "a"}, "notes is text, not an object"),
    ],
)
def test_where_a_value_differs_from_its_form(changed, said):
    assert differs({**GOOD, **changed}, FORM) == said
    with pytest.raises(AnswerError) as error:
        decode(json.dumps({**GOOD, **changed}), FORM)
    assert str(error.value) == said


def test_a_form_may_be_a_function():
    assert differs(3, lambda value: "" if value < 3 else "is too large") == "it is too large"
    assert differs({"a": 2}, {"a": lambda value: "" if value < 3 else "is too large"}) == ""


@pytest.mark.parametrize(
    "read",
    [
        lambda: {}["a"],
        [].pop,
        lambda: None + 1,
        lambda: "x".nothing,
        lambda: int("x"),
        lambda: int(float("inf")),
        lambda: base64.b64decode("a"),
        b"\xff".decode,
        lambda: parse_cpulist("x"),
        lambda: json.loads("[" * 100_000),
        lambda: dict([[1]]),
    ],
)
def test_whatever_reading_raises_becomes_the_refusal(read):
    with pytest.raises(HostError, match=r"^it is damaged: ."), answering(lambda reason: HostError(f"it is damaged: {reason}")):
        read()


def test_refusals_and_faults_of_other_kinds_pass():
    with pytest.raises(RefusalError, match=r"^mine$"), answering(HostError):
        raise RefusalError("mine")
    with pytest.raises(OSError, match="disk"), answering(HostError):
        raise OSError("disk")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CPU 0/KVM", "CPU 0/KVM"),
        ("Gerät µs", "Gerät µs"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("abc\u202edef", "abc\\u202edef"),
        ("\udcff", "\\udcff"),
    ],
)
def test_a_terminal_only_shows_the_text(shown, text):
    assert plain(text) == shown
    assert plain(shown) == shown


def test_a_text_of_several_lines_keeps_them():
    assert printed("one\n\x1b[2J\ttwo\r\n") == "one\n\\x1b[2J\ttwo\\r\n"


def test_long_text_is_cut():
    assert plain("x" * 100, 10) == "xxxxxxx..."
    assert plain("x" * 10, 10) == "x" * 10
