# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept on a node for those who watch it, and when it was. test_kept_samples.py reads damaged files."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import KEPT_LATENCY
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.kept import OPTIONS, age_text, keep_latency, read_kept
from unit.trees import fill, snapshot, writable

RESULT = {"guest": None, "tool": "oslat", "max_us": 12.5, "verdict": {"result": "pass"}}


def test_the_last_verdict_of_each_place_is_kept(tmp_path):
    host = writable(fill(tmp_path, {OPTIONS: "{}"}))
    keep_latency(host, RESULT, 100)
    keep_latency(host, {**RESULT, "guest": "plc1", "max_us": None, "verdict": {"result": "inconclusive"}}, 200)
    keep_latency(host, {**RESULT, "tool": "cyclictest", "verdict": {"result": "fail"}}, 300)
    found_places = {place["guest"]: place for place in read_kept(host, KEPT_LATENCY)["places"]}
    assert found_places == {
        "": {"guest": "", "tool": "cyclictest", "max_s": 0.0000125, "passed": False, "ended": 300},
        "plc1": {"guest": "plc1", "tool": "oslat", "max_s": None, "passed": None, "ended": 200},
    }


def test_the_same_verdict_is_written_once(tmp_path):
    host = writable(fill(tmp_path, {OPTIONS: "{}"}))
    keep_latency(host, RESULT, 100)
    written = (tmp_path / KEPT_LATENCY[1:]).stat().st_ino
    keep_latency(host, RESULT, 100)
    assert (tmp_path / KEPT_LATENCY[1:]).stat().st_ino == written
    assert host.changes == []


def test_a_damaged_file_is_written_again(tmp_path):
    host = writable(fill(tmp_path, {OPTIONS: "{}", KEPT_LATENCY: "{"}))
    keep_latency(host, RESULT, 100)
    assert len(read_kept(host, KEPT_LATENCY)["places"]) == 1


@pytest.mark.parametrize(("options", "check_mode"), [({}, False), ({OPTIONS: "{}"}, True)], ids=["not set up", "check mode"])
def test_nothing_is_written(tmp_path, options, check_mode):
    fill(tmp_path, {"/etc/": None, **options})
    before = snapshot(tmp_path)
    keep_latency(writable(tmp_path, check_mode=check_mode), RESULT, 100)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (34.4, "34 s ago"),
        (119, "119 s ago"),
        (7000, "116 min ago"),
        (90000, "25 hours ago"),
        (200000, "2 days ago"),
    ],
)
def test_ages(seconds, text):
    assert age_text(seconds) == text


def test_an_age_in_the_future_says_that_the_clock_was_set():
    assert age_text(-90) == "90 s in the future, so the clock was set"
