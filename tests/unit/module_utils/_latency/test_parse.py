# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of cyclictest, oslat and hwlatdetect: what is read, and what is refused."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.parse import (
    parse_cyclictest,
    parse_cyclictest_json,
    parse_hwlatdetect,
    parse_oslat,
    parse_oslat_json,
)
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LatencyError

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
        (lambda text: parse_hwlatdetect(text, [1]), "Starting test\n"),
    ],
)
def test_what_is_no_result_is_refused(read, text):
    with pytest.raises(LatencyError):
        read(text)
