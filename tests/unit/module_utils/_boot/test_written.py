# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was written stays known while the running kernel has it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.written import Written, parse_written


def test_it_is_read_as_it_was_written():
    for written in (Written(("a=1", "b"), "*-rt-*"), Written((), None, ("c",)), Written()):
        assert parse_written(written.text()) == written
    assert "former" not in json.loads(Written(("a",), None).text())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"tokens": 1}', '{"tokens": [1]}', '{"tokens": ["a"], "former": [{}]}', "[" * 100_000]
)
def test_a_damaged_file_counts_as_absent(text):
    assert parse_written(text) == Written()


def test_former_tokens_are_those_that_still_run():
    first = Written().followed_by(["a=1", "b", "c-d=2"], None, ["x"])
    assert first == Written(("a=1", "b", "c-d=2"))
    second = first.followed_by(["b"], "*", ["x", "c_d=2", "b"])
    assert second == Written(("b",), "*", ("c-d=2",))
    assert second.all == ["b", "c-d=2"]
    assert second.followed_by(["b"], "*", ["x"]) == second, "a second run writes nothing"
    assert second.followed_by(["e"], "*", ["b", "c_d=2"]).former == ("b", "c-d=2")
    assert second.followed_by(["e", "c-d=2"], "*", ["c_d=2"]).former == ()
