# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored results: which are some, which can be compared, how they are drawn."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import Reading, Row, Run, document, judge
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.latency import (
    HEIGHT,
    LEFT,
    MOST,
    WIDTH,
    check_result,
    histogram,
    series,
    trend,
)
from unit.fleets import latency

GOOD = latency("n1", started="2026-11-01T00:00:00Z")


def numbers(path):
    return [float(number) for number in re.findall(r"[-\d.]+", path)]


def test_a_stored_result_is_one():
    assert check_result(GOOD) == ""
    assert check_result({**GOOD, "guest": "plc1", "limit_us": None, "histogram": {}, "per_cpu": []}) == ""


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ([], "no JSON object"),
        ({"format": 2}, "format is 2"),
        ({"host": None}, "host is missing"),
        ({"guest": 7}, "guest is no text"),
        ({"max_us": "18"}, "max_us"),
        ({"max_us": float("nan")}, "max_us"),
        ({"limit_us": "40"}, "limit_us"),
        ({"verdict": {"result": "great"}}, "verdict"),
        ({"verdict": None}, "verdict"),
        ({"cpus": ["2"]}, "cpus"),
        ({"per_cpu": [{"cpu": 2, "max_us": "18"}]}, "per_cpu"),
        ({"histogram": {"bucket_us": 0, "counts": {}}}, "width"),
        ({"histogram": {"counts": {"x": {}}}}, "bucket"),
        ({"histogram": {"counts": {"3": {"2": "many"}}}}, "count"),
        ({"histogram": {"counts": {"3": {"2": -1}}}}, "count"),
        ({"histogram": [1]}, "histogram is damaged"),
        ({"max_us": 1.75e308}, "max_us"),
        ({"max_us": 10**350}, "max_us"),
        ({"limit_us": 1.75e308}, "limit_us"),
        ({"per_cpu": [{"cpu": 2, "max_us": 10**350}]}, "per_cpu"),
        ({"seconds": 10**350}, "seconds"),
        ({"cpus": [10**350]}, "cpus"),
        ({"histogram": {"bucket_us": 1.75e308, "counts": {}}}, "width"),
        ({"histogram": {"counts": {"1": {"2": 1.5e308, "3": 1.5e308}}}}, "count"),
        ({"histogram": {"counts": {"9" * 350: {"2": 1}}}}, "bucket"),
        ({"started": "2" * 5000}, "started has more than 2000 characters"),
    ],
)
def test_what_is_no_result_is_said(damage, reason):
    assert reason in check_result({**GOOD, **damage} if isinstance(damage, dict) else damage)


@pytest.mark.parametrize("key", sorted(GOOD))
def test_whatever_is_left_out_the_rest_is_refused_or_drawn(key):
    result = {name: value for name, value in GOOD.items() if name != key}
    if check_result(result) == "":
        assert series([result])
        assert histogram(result)
        assert trend([result, result])


def test_the_largest_numbers_of_a_result_are_drawn():
    most = {"max_us": MOST, "limit_us": MOST, "histogram": {"counts": {"9" * 15: {"2": MOST, "3": MOST}}}}
    result = {**GOOD, **most}
    assert check_result(result) == ""
    assert histogram(result)["samples"] == 2 * MOST
    assert trend([result, GOOD])["line"]


def test_only_equal_measurements_are_compared_the_oldest_first():
    runs = [latency("n1", started=f"2026-11-0{day}T00:00:00Z") for day in (3, 1, 2)]
    others = [latency("n1", "plc1", started="2026-11-01T00:00:00Z"), latency("n2", started="2026-11-01T00:00:00Z")]
    found = series([*runs, *others])
    assert [(item["host"], item["guest"], len(item["runs"])) for item in found] == [
        ("n1", "", 3),
        ("n1", "plc1", 1),
        ("n2", "", 1),
    ]
    assert [run["started"][8:10] for run in found[0]["runs"]] == ["01", "02", "03"]


@pytest.mark.parametrize("peak", [0, 5, 18, 47, 127, 1911, 250000])
def test_everything_is_drawn_inside_the_chart(peak):
    counts = {str(bucket): {"2": 1} for bucket in sorted({0, 1, peak // 3, peak})}
    drawn = histogram({**GOOD, "max_us": peak, "histogram": {"bucket_us": 1, "counts": counts}})
    for left, floor, top, right, _floor in re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)V([\d.]+)Z", drawn["path"]):
        assert LEFT <= float(left) < float(right) <= WIDTH
        assert 0 <= float(top) <= float(floor) <= HEIGHT
    assert LEFT <= drawn["max"]["x"] <= WIDTH
    assert all(LEFT <= tick["x"] <= WIDTH for tick in drawn["x_ticks"])
    assert drawn["samples"] == len(counts)


def test_counts_are_drawn_on_a_logarithmic_scale():
    counts = {"1": {"2": 1}, "2": {"2": 10}, "3": {"2": 100}}
    drawn = histogram({**GOOD, "max_us": 3, "histogram": {"counts": counts}})
    tops = [float(top) for top in re.findall(r"V([\d.]+)H", drawn["path"])]
    assert tops[0] - tops[1] == pytest.approx(tops[1] - tops[2], abs=0.2)


def test_no_sample_is_lost_where_buckets_share_a_bar():
    drawn = histogram({**GOOD, "max_us": 3000, "histogram": {"counts": {str(bucket): {"2": 1} for bucket in range(3000)}}})
    assert drawn["log"]
    assert drawn["path"].count("M") < 150
    assert drawn["samples"] == 3000


@pytest.mark.parametrize(
    "reading", [None, Reading((Row(4, 1, 2.5, 12, 5), Row(5, None, None, None, 0)), {3: {4: 4}, 12: {4: 1}})]
)
def test_what_the_measurement_keeps_is_what_is_read_here(reading):
    verdict = judge("cyclictest", reading, [4, 5], seconds=60, limit_us=40, virtual=True)
    run = Run("n1", None, "cyclictest", "smoke", "2026-11-01T00:00:00Z", 60, [4, 5], 40)
    kept = document(run, reading, verdict, {})
    assert check_result(json.loads(json.dumps(kept))) == ""
    assert histogram(kept)["samples"] == (5 if reading else 0)


def test_an_interrupted_run_is_a_result_and_drawn_as_not_measured():
    empty = {**GOOD, "max_us": None, "per_cpu": [], "histogram": {"bucket_us": 1, "counts": {}}}
    empty["verdict"] = {"result": "inconclusive", "virtual": False, "reasons": ["interrupted"]}
    assert check_result(empty) == ""
    assert histogram(empty)["max"] is None
    drawn = trend([GOOD, empty, GOOD])
    assert [point["measured"] for point in drawn["points"]] == [True, False, True]
    assert len(drawn["line"].split()) == 2
    assert "nothing measured, inconclusive" in drawn["points"][1]["text"]


def test_a_result_without_samples_is_drawn_all_the_same():
    drawn = histogram({**GOOD, "histogram": {}})
    assert (drawn["path"], drawn["samples"]) == ("", 0)


def test_the_trend_shows_the_last_runs_with_verdict_and_limit():
    runs = [latency("n1", started=f"2026-11-01T00:{minute:02d}:00Z", peak=10 + minute) for minute in range(59)] * 2
    drawn = trend(runs)
    assert len(drawn["points"]) == 60
    assert drawn["points"][-1]["text"] == "2026-11-01T00:58:00Z: maximum 68 µs, pass"
    assert all(0 <= number <= WIDTH for number in numbers(drawn["line"]))
    assert drawn["limit"]["text"] == "limit 40 µs"
