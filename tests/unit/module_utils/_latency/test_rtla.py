# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of rtla: histograms, and the noise that its tracer counts."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.rtla import parse_noise_top, parse_rtla_hist
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LatencyError, judge

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


def test_rtla_of_a_cpu_without_samples():
    reading = parse_rtla_hist(RTLA)
    assert [(row.cpu, row.max_us, row.samples, row.overflows) for row in reading.rows] == [(2, 300, 102, 2), (3, None, 0, 0)]
    assert reading.bucket_us == 4
    assert reading.counts == {4: {2: 90}, 8: {2: 10}}
    assert judge("timerlat", reading, (2, 3), seconds=60, limit_us=40, virtual=False, doubts=()).result == "fail"


@pytest.mark.parametrize(("bucket_us", "width"), [(0, 4), (1, 1)])
def test_the_width_of_a_bin_is_given_or_what_the_bins_have_in_common(bucket_us, width):
    assert parse_rtla_hist(RTLA, bucket_us).bucket_us == width


#: As rtla prints the table of osnoise and hwnoise.
NOISE = """duration:   0 00:01:05 | time is in us
CPU Period       Runtime        Noise  % CPU Aval   Max Noise   Max Single          HW
  2 #64         64000000           12    99.99998           9            7           3
 11 #63         63000000            0   100.00000           0            0           0
"""


def test_the_longest_single_gap_is_a_cpus_latency():
    reading = parse_noise_top(NOISE)
    assert [(row.cpu, row.max_us, row.samples, row.seconds) for row in reading.rows] == [(2, 7, 64, 65), (11, 0, 63, 65)]
    assert reading.stopped == ""


@pytest.mark.parametrize("words", ["rtla osnoise hit stop tracing", "osnoise hit stop tracing"])
def test_a_measurement_that_stopped_itself_says_so(words):
    assert parse_noise_top(f"{NOISE}{words}\n").stopped == words


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_rtla_hist, RTLA[: RTLA.index("max:")]),
        (parse_rtla_hist, ""),
        (parse_noise_top, "Hardware-related Noise\n"),
    ],
)
def test_what_is_no_result_is_refused(read, text):
    with pytest.raises(LatencyError):
        read(text)
