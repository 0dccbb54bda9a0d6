# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that a node keeps: read as they were written; damaged files are named, keys of a newer release ignored."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import AnswerError
from ansible_collections.realtime.kvm.plugins.module_utils._watch.options import WatchOptions, parse_options

OPTIONS = WatchOptions("/srv/metrics", 15, True, 60, "abc")


def test_what_is_written_is_read_again():
    assert parse_options(OPTIONS.text) == OPTIONS
    assert OPTIONS.output == "/srv/metrics/realtime_kvm.prom"


def test_a_newer_release_may_add_keys_and_an_older_one_lack_the_digest():
    known = json.loads(OPTIONS.text)
    assert parse_options(json.dumps({**known, "later": [1]})) == OPTIONS
    known.pop("release")
    assert parse_options(json.dumps(known)).release == ""


@pytest.mark.parametrize(
    "change",
    [{"directory": 1}, {"interval_s": "15"}, {"interval_s": True}, {"audit": "yes"}, {"audit_interval_s": None}, {"release": 1}],
)
def test_a_damaged_file_is_no_option(change):
    with pytest.raises(AnswerError):
        parse_options(json.dumps({**json.loads(OPTIONS.text), **change}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_what_is_no_object_is_no_option(text):
    with pytest.raises(AnswerError):
        parse_options(text)
