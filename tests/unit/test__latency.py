# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict, what makes a measurement doubtful, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency import (
    VIRTUAL,
    LatencyError,
    Reading,
    Row,
    document,
    find_doubts,
    judge,
    summary,
)
from ansible_collections.realtime.kvm.plugins.module_utils._latency_parse import (
    parse_cyclictest,
    parse_cyclictest_json,
    parse_hwlatdetect,
    parse_oslat,
    parse_oslat_json,
)
from ansible_collections.realtime.kvm.plugins.module_utils._latency_rtla import (
    parse_noise_top,
    parse_rtla_hist,
    parse_timerlat_top,
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
            "CPUs 7 were measured, which was not asked for",
        ),
        (replace(GOOD, counts={13: {2: 1}}), "inconclusive", "samples of 13 µs, yet a maximum of 12 µs"),
        (replace(GOOD, stopped="break at 41 µs"), "inconclusive", "stopped before its time: break at 41 µs"),
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
    kept = document(
        **run, seconds=60, cpus={3, 2}, limit_us=40, reading=GOOD, verdict=verdict(virtual=True), environment={"kernel": "6.12"}
    )
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
    nothing = document(**run, seconds=60, cpus=[2], limit_us=40, reading=None, verdict=verdict(None, cpus=[2]), environment={})
    assert (nothing["max_us"], nothing["per_cpu"], nothing["histogram"]["counts"]) == (None, [], {})
    assert "nothing measured" in summary({**nothing, "guest": "plc1"})


# -- texts -----------------------------------------------------------------------------------------

#: Genuine: cyclictest 2.4 with -b 5, and oslat 2.4 with -b 8 on two CPUs, on a virtual machine; shortened.
BROKE = """# Histogram
000018 000000
000019 000001
# Total: 000000001
# Min Latencies: 00019
# Avg Latencies: 00019
# Max Latencies: 00019
# Histogram Overflows: 00000
# Histogram Overflow at cycle number:
# Thread 0:

# Thread Ids: 29285
# Break thread: 29285
# Break value: 19
"""
OSLAT = """WARNING: Running SCHED_FIFO workload on CPU 0 may hang the thread
        Core:	 0 1
Counter Freq:	 2597 2597 (Mhz)
    001 (us):	 63940415 64044574
    002 (us):	 181 212
    003 (us):	 492 477
    004 (us):	 47 38
    005 (us):	 8 6
    006 (us):	 7 8
    007 (us):	 12 7
    008 (us):	 1431 1369 (including overflows)
     Minimum:	 1 1 (us)
     Average:	 1.003 1.003 (us)
     Maximum:	 50366 48024 (us)
     Max-Min:	 50365 48023 (us)
    Duration:	 3.972 4.000 (sec)
"""
#: As hwlatdetect 2.x prints it.
HWLAT = """hwlatdetect:  test duration 10 seconds
   detector: tracer
   parameters:
        Latency threshold: 10us
        Sample window:     1000000us
Starting test
test finished
Max Latency: {high}
Samples recorded: {samples}
Samples exceeding threshold: {samples}
{more}"""
#: As rtla of Linux 6.12 ends its histogram, with a CPU that had no sample.
RTLA = """# RTLA timerlat histogram
# Time unit is microseconds (us)
# Duration:   0 00:00:10
Index   IRQ-002   Thr-002   IRQ-003   Thr-003
0            90         0         0         0
4             9        90         0         0
8             1        10         0         0
over:         0         2         0         0
count:      100       102         0         0
min:          0         4         -         -
avg:          1         5         -         -
max:          8       300         -         -
ALL:        IRQ       Thr
count:      100       102
min:          0         4
avg:          1         5
max:          8       300
"""


def test_cyclictest_that_broke_off():
    reading = parse_cyclictest(BROKE, [1])
    assert reading.stopped == "break at 19 µs"
    assert reading.counts == {19: {1: 1}}


def test_threads_are_told_by_their_place_among_the_cpus_in_order():
    plain = (
        "T: 0 (255) P:95 I:1000 C: 10 Min: 2 Act: 5 Avg: 7 Max: 577\nT: 1 (256) P:95 I:1500 C: 9 Min: 2 Act: 8 Avg: 7 Max: 61\n"
    )
    assert {row.cpu: row.max_us for row in parse_cyclictest(plain, [9, 4]).rows} == {4: 577, 9: 61}
    with pytest.raises(LatencyError, match="thread 1"):
        parse_cyclictest(plain, [4])


def test_oslat_of_two_cpus_keeps_overflows_apart():
    reading = parse_oslat(OSLAT)
    assert [(row.cpu, row.max_us, row.overflows, row.seconds) for row in reading.rows] == [
        (0, 50366, 1431, 3.972),
        (1, 48024, 1369, 4.0),
    ]
    assert reading.counts[7] == {0: 12, 1: 7}
    assert 8 not in reading.counts
    calm = parse_oslat(OSLAT.replace("50366 48024", "8 8"))
    assert [row.overflows for row in calm.rows] == [0, 0]
    assert calm.counts[8] == {0: 1431, 1: 1369}


@pytest.mark.parametrize(
    ("high", "samples", "more", "highest", "smis"),
    [
        ("Below threshold", 0, "", 0, None),
        ("18us", 10, "SMIs during run: 0\nts: 1519674281.220664736, inner:17, outer:15\n", 18, None),
        ("48us", 37, "SMIs during run: 37\n", 48, 37),
    ],
)
def test_hwlatdetect(high, samples, more, highest, smis):
    reading = parse_hwlatdetect(HWLAT.format(high=high, samples=samples, more=more), [2, 3])
    assert (reading.max_us, reading.smis) == (highest, smis)
    assert [row.samples for row in reading.rows] == [samples, samples]


def test_rtla_of_a_cpu_without_samples():
    reading = parse_rtla_hist(RTLA)
    assert [(row.cpu, row.max_us, row.samples, row.overflows) for row in reading.rows] == [(2, 300, 102, 2), (3, None, 0, 0)]
    assert reading.bucket_us == 4
    assert reading.counts == {4: {2: 90}, 8: {2: 10}}
    assert verdict(reading, tool="timerlat").result == "fail"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda text: parse_cyclictest(text, [1]), ""),
        (lambda text: parse_cyclictest(text, [1]), "Usage:\ncyclictest <options>\n"),
        (lambda text: parse_cyclictest_json(text, 60), ""),
        (lambda text: parse_cyclictest_json(text, 60), "[]"),
        (lambda text: parse_cyclictest_json(text, 60), '{"thread": {}}'),
        (
            lambda text: parse_cyclictest_json(text, 60),
            '{"thread": {"0": {"cpu": 1, "min": 1, "avg": 1, "max": 1, "cycles": 1, "histogram": [1]}}}',
        ),
        (lambda text: parse_oslat_json(text, 32), '{"thread": {"0": {"cpu": 1}}}'),
        (parse_oslat, "oslat V 2.40\nTest starts...\n"),
        (parse_oslat, OSLAT[: OSLAT.index("Maximum")]),
        (parse_rtla_hist, RTLA[: RTLA.index("max:")]),
        (parse_rtla_hist, ""),
        (parse_timerlat_top, "Timer Latency\n"),
        (parse_noise_top, "Hardware-related Noise\n"),
        (lambda text: parse_hwlatdetect(text, [1]), "Starting test\n"),
    ],
)
def test_what_is_no_result_is_refused(read, text):
    with pytest.raises(LatencyError):
        read(text)
