# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the latency tools really printed: rt-tests on a machine without a real-time kernel, rtla in the kernel's documentation."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._latency.parse import (
    parse_cyclictest,
    parse_cyclictest_json,
    parse_hwlatdetect,
    parse_oslat,
)
from ansible_collections.realtime.kvm.plugins.module_utils._latency.rtla import parse_noise_top, parse_rtla_hist
from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import LIMITS_US, LatencyError, judge
from captures import need


def rt_tests(name):
    return need("rt-tests-real-output", name).read_text()


def rtla(name):
    return need("rtla-doc-samples", f"{name}.txt").read_text()


#: Output to how it is read, and what a reader of the file finds in it: CPUs, highest latency, samples and overflows of all CPUs.
OUTPUTS = {
    "cyclictest plain": (lambda: parse_cyclictest(rt_tests("cyclictest-2.4-plain.txt"), [0, 1]), {0, 1}, 577, 5000 + 3331, 0),
    "cyclictest histogram": (lambda: parse_cyclictest(rt_tests("cyclictest-2.4-one-cpu.txt"), [1]), {1}, 1907, 49894 + 19, 19),
    "cyclictest json": (lambda: parse_cyclictest_json(rt_tests("cyclictest-2.4-one-cpu.json"), 400), {1}, 1907, 49913, 19),
    "oslat": (lambda: parse_oslat(rt_tests("oslat-2.4.txt")), {1}, 53927, 434640405, 98),
    "timerlat hist": (lambda: parse_rtla_hist(rtla("rtla-timerlat-hist-0")), set(range(5)), 58, 5 * 600002, 0),
    "osnoise hist": (lambda: parse_rtla_hist(rtla("rtla-osnoise-hist-0")), set(range(12)), 50, None, 0),
    "osnoise top": (lambda: parse_noise_top(rtla("rtla-osnoise-top-0")), set(range(4)), 56, 4 * 59, 0),
    "hwnoise": (lambda: parse_noise_top(rtla("rtla-hwnoise-0")), set(range(1, 8)), 4, 7 * 599, 0),
    "hwnoise, none": (lambda: parse_noise_top(rtla("rtla-hwnoise-1")), set(range(1, 8)), 0, 7 * 599, 0),
}

#: Output to its tool, the seconds that were asked for, and the verdict at the tool's own limit.
VERDICTS = {
    "cyclictest histogram": ("cyclictest", 10, "fail"),
    "cyclictest json": ("cyclictest", 10, "fail"),
    "oslat": ("oslat", 10, "fail"),
    "timerlat hist": ("timerlat", 600, "fail"),
    "osnoise hist": ("osnoise", 60, "fail"),
    "osnoise top": ("osnoise", 60, "fail"),
    "hwnoise": ("hwnoise", 600, "pass"),
    "hwnoise, none": ("hwnoise", 600, "pass"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_reads_real_output(name):
    read, cpus, highest, samples, overflows = OUTPUTS[name]
    reading = read()
    assert {row.cpu for row in reading.rows} == cpus
    assert reading.max_us == highest
    assert samples is None or sum(row.samples for row in reading.rows) == samples
    assert sum(row.overflows for row in reading.rows) == overflows


@pytest.mark.parametrize("name", VERDICTS)
def test_judges_real_output(name):
    tool, seconds, wanted = VERDICTS[name]
    read, cpus, highest, _samples, _overflows = OUTPUTS[name]
    verdict = judge(tool, read(), cpus, seconds=seconds, limit_us=LIMITS_US[tool], virtual=False)
    assert verdict.result == wanted, verdict.reasons
    if wanted == "fail":
        assert f"maximum {highest} µs" in verdict.reasons[0]


def test_text_and_json_of_one_run_agree():
    text, record = OUTPUTS["cyclictest histogram"][0](), OUTPUTS["cyclictest json"][0]()
    assert text.counts == record.counts
    assert [(row.samples, row.overflows, row.max_us) for row in text.rows] == [
        (row.samples, row.overflows, row.max_us) for row in record.rows
    ]


def test_bins_hold_all_samples_but_the_overflows():
    for name in ("cyclictest histogram", "oslat", "timerlat hist"):
        reading = OUTPUTS[name][0]()
        for row in reading.rows:
            kept = sum(counts.get(row.cpu, 0) for counts in reading.counts.values())
            assert kept == row.samples - row.overflows, (name, row.cpu)


def test_rtla_bins_are_as_wide_as_it_was_told():
    assert OUTPUTS["osnoise hist"][0]().bucket_us == 10
    assert OUTPUTS["timerlat hist"][0]().bucket_us == 1


def test_rtla_that_ended_early_is_inconclusive():
    verdict = judge("hwnoise", OUTPUTS["hwnoise"][0](), range(1, 8), seconds=3600, limit_us=20, virtual=False)
    assert verdict.result == "inconclusive"
    assert "measured for 600 s of 3600 s" in " ".join(verdict.reasons)


def test_hwlatdetect_without_tracer_names_it():
    with pytest.raises(LatencyError, match="CONFIG_HWLAT_TRACER"):
        parse_hwlatdetect(rt_tests("hwlatdetect-2.4-no-tracer.txt"), [1])


@pytest.mark.parametrize("name", ["cyclictest-2.4-one-cpu.txt", "oslat-2.4.txt", "cyclictest-2.4-one-cpu.json"])
def test_no_cut_of_real_output_is_taken_for_a_result(name):
    """A tool that is killed while it prints: what is left is a refusal, or all that the verdict needs."""
    text = rt_tests(name)
    read = {
        "cyclictest-2.4-one-cpu.txt": lambda part: parse_cyclictest(part, [1]),
        "oslat-2.4.txt": parse_oslat,
        "cyclictest-2.4-one-cpu.json": lambda part: parse_cyclictest_json(part, 400),
    }[name]
    whole = read(text)
    for end in range(0, len(text), 3):
        try:
            part = read(text[:end])
        except LatencyError:
            continue
        assert part.max_us == whole.max_us, text[:end][-80:]
