# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of oslo.config: lines, order, what wins. tests/conformance/test_oslo_config.py compares with oslo.config itself."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.ini import (
    File,
    IniError,
    Settings,
    check_last,
    is_true,
    parse_ini,
    render,
    split_list,
)

TEXT = """# comment
; another
[DEFAULT]
transport_url = rabbit://u:p@h:5672/
host: node1
reserved_huge_pages = node:0,size:2048,count:1
reserved_huge_pages = node:1,size:2048,count:2
# a comment between
quoted = "a b"
empty =
[Compute]
cpu_dedicated_set = 2-3,
    5-7

[compute]
cpu_shared_set=0
"""


def test_lines():
    file = parse_ini(TEXT, "/f")
    assert file.values(("DEFAULT", "transport_url")) == ["rabbit://u:p@h:5672/"]
    assert file.values(("DEFAULT", "host")) == ["node1"]
    assert file.values(("DEFAULT", "reserved_huge_pages")) == ["node:0,size:2048,count:1", "node:1,size:2048,count:2"]
    assert file.values(("DEFAULT", "quoted")) == ["a b"]
    assert file.values(("DEFAULT", "empty")) == [""]
    assert file.values(("compute", "cpu_dedicated_set")) == ["2-3,\n5-7"]
    assert file.values(("COMPUTE", "cpu_shared_set")) == ["0"]
    assert file.values(("compute", "absent")) == ()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("key = s3cret", 1),
        ("[a]\ns3cret\n", 2),
        ("[a\nb = s3cret\n", 1),
        ("[a]\n\n s3cret\n", 3),
        ("[a]\n= s3cret\n", 2),
        ("[]\n", 1),
        ("[a]\nb = c\n# s3cret\n  s3cret", 4),
    ],
)
def test_a_file_that_its_service_cannot_read_is_refused_without_its_text(text, line):
    with pytest.raises(IniError) as caught:
        parse_ini(text, "/etc/x.conf")
    assert f"/etc/x.conf: line {line} " in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_last_file_wins():
    one, two = parse_ini("[a]\nx = 1\nx = 2\ny = 3\n", "/one"), parse_ini("[a]\nx = 4\n", "/two")
    settings = Settings([one, two])
    assert settings.value(("a", "x")) == "4"
    assert settings.file_of(("a", "x")) == "/two"
    assert settings.where(("a", "x")) == [("/one", "2"), ("/two", "4")]
    assert settings.without("/two").value(("a", "x")) == "2"
    assert settings.value(("a", "z")) is None
    assert settings.file_of(("a", "z")) == ""
    assert [file.path for file in settings.after("/one").files] == ["/two"]
    assert settings.after("/elsewhere").files == ()


def test_what_is_read_after_ours_is_refused_by_file_and_option():
    ours, later = parse_ini("[a]\nx = 1\n", "/ours"), parse_ini("[a]\nx = s3cret\nmany = 2\n", "/zzz")
    with pytest.raises(IniError, match=r"/zzz \(\[a\] x\) is read after /ours and would win over it") as caught:
        check_last(Settings([ours, later]), "/ours", [("a", "x"), ("a", "y")])
    assert "s3cret" not in str(caught.value)
    check_last(Settings([later, ours]), "/ours", [("a", "x")])
    check_last(Settings([ours, later]), "/ours", [("a", "many")], [("a", "many")])


def test_what_is_written_is_read_again():
    options = {("DEFAULT", "many"): ["a:1,b:2", "c:3"], ("x", "one"): ["2-3,5"], ("x", "two"): ["false"]}
    text = render(options, "why")
    assert text.startswith("# Written by realtime.kvm: why\n")
    assert parse_ini(text, "/f") == File(
        "/f", {"DEFAULT": {"many": ["a:1,b:2", "c:3"]}, "x": {"one": ["2-3,5"], "two": ["false"]}}
    )


def test_values():
    assert split_list(" a, b,,c ") == ["a", "b", "c"]
    assert split_list(None) == []
    assert [is_true(value) for value in ("True", " on", "1", "yes", "no", "0", "", None)] == [True] * 4 + [False] * 4


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\x0b", "\x0c", "\x1c"])
def test_only_ends_of_lines_end_lines(sign):
    file = parse_ini(f"# note {sign} x\r\n[a]\npw = p{sign}k=2\r# {sign}b=1\nc = 3\n", "/f")
    assert file.sections == {"a": {"pw": [f"p{sign}k=2"], "c": ["3"]}}


@pytest.mark.parametrize("value", ["$x", "${g.x}", "a$$b", "\\$x"])
def test_an_interpolation_is_refused_and_not_taken_for_a_value(value):
    settings = Settings([parse_ini(f"[a]\nx = s3cret{value}\ny = 1\n", "/f")])
    with pytest.raises(IniError, match=r"^/f: \[a\] x has a \$, by which .*write the value itself") as caught:
        settings.value(("a", "x"))
    assert "s3cret" not in str(caught.value)
    assert settings.value(("a", "y")) == "1"


@pytest.mark.parametrize("value", ["a\n[b]", "a\rb", "$x", " a", "'a'", '"'])
def test_a_value_that_would_be_read_as_another_is_not_written(value):
    with pytest.raises(IniError, match=r"\[a\] x: its value cannot be written"):
        render({("a", "x"): [value]}, "why")
