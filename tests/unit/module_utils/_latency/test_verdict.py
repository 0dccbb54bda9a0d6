# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict, what makes a measurement doubtful, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import (
    VIRTUAL,
    Reading,
    Row,
    Run,
    document,
    find_doubts,
    judge,
    summary,
)

#: A good minute of cyclictest on CPUs 2 and 3: one sample each 200 µs.
GOOD = Reading(
    (Row(2, 1, 2.5, 12, 299900), Row(3, 1, 2.5, 9, 299950)),
    {1: {2: 100000, 3: 299950}, 12: {2: 199900}},
    beyond_us=60,
)


def verdict(reading=GOOD, tool="cyclictest", cpus=(2, 3), seconds=60, limit_us=40, virtual=False, doubts=()):
    return judge(tool, reading, cpus, seconds=seconds, limit_us=limit_us, virtual=virtual, doubts=doubts)


def with_row(**changes):
    """The good minute with CPU 3 changed."""
    return replace(GOOD, rows=(GOOD.rows[0], replace(GOOD.rows[1], **changes)))


def test_a_good_run_passes_without_reasons():
    assert verdict() == judge("cyclictest", GOOD, [2, 3], seconds=60, limit_us=12, virtual=False)
    assert verdict().to_dict() == {"result": "pass", "virtual": False, "reasons": []}


@pytest.mark.parametrize(
    ("reading", "result", "reason"),
    [
        (with_row(max_us=40), "pass", None),
        (with_row(max_us=41), "fail", "maximum 41 µs on CPU 3 is above the limit of 40 µs"),
        (with_row(max_us=999, overflows=1), "fail", "1 sample beyond the histogram's 60 µs on CPUs 3"),
        (
            replace(with_row(max_us=40, overflows=1), beyond_us=40),
            "fail",
            "1 sample beyond the histogram's 40 µs",
        ),  # it ends at the limit
        (with_row(overflows=2), "fail", "2 samples beyond the histogram's 60 µs"),  # whatever the maximum says
        (replace(with_row(max_us=25, overflows=3), beyond_us=20), "pass", None),  # beyond the bins, below the limit
        (replace(with_row(max_us=15, overflows=3), beyond_us=20), "inconclusive", "beyond 20 µs, yet a maximum of 15 µs"),
        (with_row(max_us=None), "inconclusive", "CPU 3 has no maximum"),
        (with_row(samples=0), "inconclusive", "CPU 3 has 0 samples of about 300000"),
        (with_row(samples=280000), "inconclusive", "its thread stalled, or samples were lost"),
        (with_row(seconds=30.0), "inconclusive", "measured for 30 s of 60 s"),
        (replace(GOOD, rows=GOOD.rows[:1]), "inconclusive", "CPUs 3 were not measured"),
        (
            replace(GOOD, rows=(*GOOD.rows, Row(7, 1, 1, 1, 300000))),
            "inconclusive",
            "CPUs 7 were measured but not requested",
        ),
        (replace(GOOD, counts={13: {2: 1}}), "inconclusive", "samples of 13 µs, yet a maximum of 12 µs"),
        (replace(GOOD, stopped="break at 41 µs"), "inconclusive", "stopped early: break at 41 µs"),
        (replace(GOOD, smis=3), "inconclusive", "3 system management interrupts (SMI)"),
        (None, "inconclusive", "nothing was measured"),
    ],
)
def test_verdict(reading, result, reason):
    found = verdict(reading)
    assert found.result == result, found.reasons
    if reason is None:
        assert found.reasons == ()
    else:
        assert reason in " ".join(found.reasons)


def test_bins_alone_never_pass():
    """All the samples that are in a bin are fine, and one is in none."""
    assert all(bucket <= 40 for bucket in GOOD.counts)
    assert verdict(with_row(max_us=5000, overflows=1)).result == "fail"


def test_a_latency_above_the_limit_fails_whatever_else_happened():
    found = verdict(with_row(max_us=41, samples=10), doubts=["interrupted: it was stopped"])
    assert found.result == "fail"
    assert "interrupted: it was stopped" in found.reasons


def test_a_doubt_is_never_a_pass():
    assert verdict(doubts=["the clock was set"]).result == "inconclusive"


def test_a_virtual_machine_is_said_to_measure_no_platform():
    for reading, result in ((GOOD, "pass"), (with_row(max_us=9000), "fail"), (None, "inconclusive")):
        found = verdict(reading, virtual=True)
        assert (found.result, found.virtual, found.reasons[0]) == (result, True, VIRTUAL)


def test_oslat_and_hwlatdetect_are_not_asked_for_samples_at_an_interval():
    assert verdict(with_row(samples=1), tool="oslat").result == "pass"
    assert verdict(with_row(samples=0), tool="oslat").result == "inconclusive"
    assert verdict(with_row(samples=0), tool="hwlatdetect").result == "pass"


BEFORE = {
    "clock_s": 1000.0,
    "suspended_s": 0.0,
    "clocksource": "tsc",
    "smi": {"2": 7, "3": 7},
    "throttled": {"2": 0},
    "frequency": {"2": {"governor": "performance", "maximum": "3000000", "transitions": "1"}},
}


@pytest.mark.parametrize(
    ("after", "doubt"),
    [
        ({}, None),
        ({"clock_s": 1000.05}, None),
        ({"clock_s": 999.0}, "the clock was set by -1.000 s"),
        ({"clock_s": 1003.5}, "the clock was set by +3.500 s"),
        ({"suspended_s": 5.0}, "suspended"),
        ({"clocksource": "hpet"}, "changed from tsc to hpet"),
        ({"smi": {"2": 9, "3": 7}}, "2 system management interrupts (SMI) during the run, on CPUs 2"),
        ({"smi": {}}, None),  # can no longer be counted
        ({"throttled": {"2": 4}}, "4 thermal throttlings"),
        ({"frequency": {"2": {**BEFORE["frequency"]["2"], "governor": "powersave"}}}, "governor performance -> powersave"),
        ({"frequency": {"2": {**BEFORE["frequency"]["2"], "transitions": "90"}}}, "transitions 1 -> 90"),
    ],
)
def test_doubts(after, doubt):
    found = find_doubts(BEFORE, {**BEFORE, **after})
    assert (doubt is None and found == []) or (len(found) == 1 and doubt in found[0]), found


def test_a_clock_that_tells_whole_seconds_may_be_off_by_one():
    coarse = {"clock_s": 100, "step_s": 1.5, "clocksource": "kvm-clock"}
    assert find_doubts(coarse, {**coarse, "clock_s": 101}) == []
    assert "the clock was set by +3.000 s" in find_doubts(coarse, {**coarse, "clock_s": 103})[0]


def test_what_is_kept_is_json_and_says_all():
    run = {"host": "n1", "guest": None, "tool": "cyclictest", "profile": "smoke", "started": "2026-11-22T06:30:21Z"}
    kept = document(Run(**run, seconds=60, cpus={3, 2}, limit_us=40), GOOD, verdict(virtual=True), {"kernel": "6.12"})
    assert json.loads(json.dumps(kept)) == {
        "format": 1,
        **run,
        "seconds": 60,
        "cpus": [2, 3],
        "unit": "us",
        "verdict": {"result": "pass", "virtual": True, "reasons": [VIRTUAL]},
        "limit_us": 40,
        "max_us": 12,
        "per_cpu": [
            {"cpu": 2, "min_us": 1, "avg_us": 2.5, "max_us": 12, "samples": 299900, "overflows": 0},
            {"cpu": 3, "min_us": 1, "avg_us": 2.5, "max_us": 9, "samples": 299950, "overflows": 0},
        ],
        "histogram": {"bucket_us": 1, "counts": {"1": {"2": 100000, "3": 299950}, "12": {"2": 199900}}},
        "environment": {"kernel": "6.12"},
    }
    assert summary(kept) == f"n1: cyclictest smoke on CPUs 2-3: pass, max 12 µs, limit 40 µs ({VIRTUAL})"
    nothing = document(Run(**run, seconds=60, cpus=[2], limit_us=40), None, verdict(None, cpus=[2]), {})
    assert (nothing["max_us"], nothing["per_cpu"], nothing["histogram"]["counts"]) == (None, [], {})
    assert "nothing measured" in summary({**nothing, "guest": "plc1"})
