# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which paths a text may mention."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.mentions import mentions

FOLDERS = {"/", "/a", "/a/b", "/a, x"}


def found(text, **more):
    return set(mentions(text, lambda path: path in FOLDERS, **more))


@pytest.mark.parametrize(
    "text",
    [
        "/a/b/c",
        "file=/a/b/c",
        "file=/a/b/c,if=none",
        "x /a/b/c.",
        "x /a/b/c. Then",
        "'/a/b/c'",
        "<p>/a/b/c</p>",
        '{"f":"\\/a\\/b\\u002Fc"}',
        "f:/a/b/c:x",
    ],
)
def test_a_path_is_found_wherever_it_ends(text):
    assert "/a/b/c" in found(text)


@pytest.mark.parametrize("text", ["/a/b/c.old", "/a/b/cc", "/a/b/c-x", "a/b/c"])
def test_a_longer_name_or_a_name_without_a_folder_is_none(text):
    assert "/a/b/c" not in found(text)


@pytest.mark.parametrize("text", ["a/b/c", "file=a/b/c,x=1", "a.b=1,file=a/b/c"])
def test_names_of_qemu_count_from_the_root(text):
    assert "/a/b/c" in found(text, relative=True)


def test_commas_in_names():
    assert "/a, x/y" in found("file=/a,, x/y,if=none")
    assert "/a, x/y" in found('{"filename": "/a, x/y"}')


def test_a_folder_that_is_not_there_ends_the_search_and_long_texts_take_few_looks():
    looks = []
    text = "/none/x,y,z/" + ",".join("x" * 9 for _part in range(100_000))
    paths = list(mentions(text, lambda path: bool(looks.append(path))))
    assert looks == ["/none", "/x,y,z"]
    assert len(paths) < 50
