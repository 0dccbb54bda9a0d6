# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the output of cyclictest, oslat and hwlatdetect (rt-tests) to a ``Reading``, or raises ``LatencyError``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._cpus.answers import answering, counted, decode
from .verdict import LatencyError, Reading, Row


def parse_cyclictest(text: str, cpus: Sequence[int]) -> Reading:
    """Return what ``cyclictest -q`` printed, with or without ``-h``.

    It names threads, not CPUs: thread n runs on the n-th of ``-a``'s CPUs, in ascending order.
    """
    where = sorted(cpus)
    if re.search(r"^T:\s*\d+", text, re.MULTILINE):
        return _parse_cyclictest_plain(text, where)
    totals = {name: _numbers(text, rf"^# {name}:(.*)$") for name in ("Total", "Min Latencies", "Avg Latencies", "Max Latencies")}
    overflows = _numbers(text, r"^# Histogram Overflows:(.*)$")
    count = len(totals["Max Latencies"])
    if not count or any(len(numbers) != count for numbers in (*totals.values(), overflows)):
        raise LatencyError("cyclictest printed no complete result")
    if count > len(where):
        raise LatencyError(f"cyclictest reports {counted(count, 'thread')}, requested were CPUs {where}")
    counts: dict[int, dict[int, int]] = {}
    bins = 0
    for line in re.findall(r"^(\d{6}[ \t]+\d[\d \t]*)$", text, re.MULTILINE):
        bucket, *samples = (int(word) for word in line.split())
        counts[bucket] = {where[thread]: number for thread, number in enumerate(samples) if number and thread < count}
        bins = max(bins, bucket + 1)
    rows = tuple(
        Row(
            where[thread],
            totals["Min Latencies"][thread],
            totals["Avg Latencies"][thread],
            totals["Max Latencies"][thread],
            # Total counts only the samples in the bins
            samples=totals["Total"][thread] + overflows[thread],
            overflows=overflows[thread],
        )
        for thread in range(count)
    )
    broken = re.search(r"^# Break value:\s*(\d+)", text, re.MULTILINE)
    return Reading(
        rows, {key: value for key, value in counts.items() if value}, 1, bins, f"break at {broken[1]} µs" if broken else ""
    )


def _parse_cyclictest_plain(text: str, where: Sequence[int]) -> Reading:
    pattern = r"^T:\s*(\d+) \(.*?\) P:\s*\d+ I:\s*\d+ C:\s*(\d+) Min:\s*(\d+) Act:\s*-?\d+ Avg:\s*(\d+) Max:\s*(\d+)"
    rows = {}
    for found in re.finditer(pattern, text, re.MULTILINE):  # without -q, a thread is printed again and again
        thread, samples, low, average, high = (int(number) for number in found.groups())
        if thread >= len(where):
            raise LatencyError(f"cyclictest reports thread {thread}, requested were CPUs {list(where)}")
        rows[thread] = Row(where[thread], low, average, high, samples)
    if not rows:
        raise LatencyError("cyclictest printed no complete result")
    return Reading(tuple(rows[thread] for thread in sorted(rows)))


def _numbers(text: str, pattern: str) -> list[int]:
    found = re.search(pattern, text, re.MULTILINE)
    return [int(word) for word in found[1].split() if word.isdecimal()] if found else []


def parse_cyclictest_json(text: str, bins: int) -> Reading:
    """Return what ``cyclictest --json`` wrote, from a run with a histogram of ``bins`` µs.

    It lists no overflows: they are the cycles that are in no bin.
    """
    rows: list[Row] = []
    counts: dict[int, dict[int, int]] = {}
    for thread in _threads("cyclictest", text):
        histogram = _histogram(thread)
        cycles = int(thread["cycles"])
        cpu = int(thread["cpu"])
        rows.append(
            Row(
                cpu,
                float(thread["min"]),
                float(thread["avg"]),
                float(thread["max"]),
                cycles,
                max(cycles - sum(histogram.values()), 0),
            )
        )
        for bucket, number in histogram.items():
            counts.setdefault(bucket, {})[cpu] = number
    return Reading(tuple(rows), counts, 1, bins)


def parse_oslat_json(text: str, bins: int) -> Reading:
    """Return what ``oslat --json`` wrote, from a run with ``bins`` bins; the last one holds the overflows too."""
    rows: list[Row] = []
    counts: dict[int, dict[int, int]] = {}
    for thread in _threads("oslat", text):
        cpu, histogram = int(thread["cpu"]), _histogram(thread)
        row, kept = _oslat_row(
            cpu,
            histogram,
            bins,
            float(thread["min"]),
            float(thread["avg"]),
            float(thread["max"]),
            float(thread["duration"]),
        )
        rows.append(row)
        for bucket, number in kept.items():
            counts.setdefault(bucket, {})[cpu] = number
    return Reading(tuple(rows), counts, 1, bins)


def _oslat_row(
    cpu: int, histogram: Mapping[int, int], bins: int, low: float, average: float, high: float, seconds: float
) -> tuple[Row, dict[int, int]]:
    """Remove the overflows from the last bin, if the maximum shows that there are any."""
    kept = dict(histogram)
    overflows = kept.pop(bins, 0) if high > bins else 0
    return Row(cpu, low, average, high, sum(histogram.values()), overflows, seconds), kept


def parse_oslat(text: str) -> Reading:
    """Return what ``oslat`` printed."""
    cpus = _column(text, "Core")
    lines = re.findall(r"^\s*(\d+) \(us\):\s*([\d ]+?)\s*(?:\(including overflows\))?$", text, re.MULTILINE)
    lows, averages, highs = _column(text, "Minimum"), _column(text, "Average"), _column(text, "Maximum")
    durations = _column(text, "Duration")  # the last line; without it the output was cut
    if not cpus or any(len(column) != len(cpus) for column in (lows, averages, highs, durations)):
        raise LatencyError("oslat printed no complete result")
    histograms: dict[int, dict[int, int]] = {int(cpu): {} for cpu in cpus}
    for bucket, samples in lines:
        for cpu, number in zip(histograms, samples.split()):
            histograms[cpu][int(bucket)] = int(number)
    bins = max((int(bucket) for bucket, _samples in lines), default=0)
    rows: list[Row] = []
    counts: dict[int, dict[int, int]] = {}
    for index, (cpu, histogram) in enumerate(histograms.items()):
        row, kept = _oslat_row(cpu, histogram, bins, lows[index], averages[index], highs[index], durations[index])
        rows.append(row)
        for bucket_us, number in kept.items():
            if number:
                counts.setdefault(bucket_us, {})[cpu] = number
    return Reading(tuple(rows), counts, 1, bins)


def _column(text: str, name: str) -> list[float]:
    found = re.search(rf"^\s*{name}:\s*([\d. ]+?)\s*(?:\(\w+\))?\s*$", text, re.MULTILINE)
    return [float(word) for word in found[1].split()] if found else []


def _threads(tool: str, text: str) -> list[Mapping[str, Any]]:
    wanted = {"cyclictest": ("cpu", "min", "avg", "max", "cycles"), "oslat": ("cpu", "min", "avg", "max", "duration")}[tool]
    with answering(lambda reason: LatencyError(f"{tool} wrote no complete JSON result: {reason}")):
        form = {**dict.fromkeys(wanted, (int, float)), "histogram": dict}
        document = decode(text, {"thread": {str: form}})["thread"]
        threads = [document[key] for key in sorted(document, key=int)]
        if not threads:
            raise ValueError("it lists no thread")
    return threads


def _histogram(thread: Mapping[str, Any]) -> dict[int, int]:
    with answering(lambda reason: LatencyError(f"the tool wrote no complete JSON result: its histogram is damaged ({reason})")):
        return {int(bucket): int(number) for bucket, number in thread["histogram"].items()}


def parse_hwlatdetect(text: str, cpus: Sequence[int]) -> Reading:
    """Return what ``hwlatdetect`` printed: the longest gap that hardware or firmware caused, on any of the CPUs.

    It prints one maximum for all CPUs; below its threshold it prints none, which is 0 here. Its count of system management
    interrupts is used only if it is not zero: it prints 0 also where the processor cannot count them.
    """
    if "DetectorNotAvailable" in text:
        raise LatencyError(
            "hwlatdetect: the running kernel has no hwlat tracer (CONFIG_HWLAT_TRACER, "
            "listed in /sys/kernel/tracing/available_tracers)"
        )
    highest = re.search(r"^Max Latency:\s*(Below threshold|(\d+)us)\s*$", text, re.MULTILINE)
    recorded = re.search(r"^Samples recorded:\s*(\d+)", text, re.MULTILINE)
    if not highest or not recorded or not cpus:
        raise LatencyError("hwlatdetect printed no complete result")
    smis = re.search(r"^SMIs during run:\s*(\d+)", text, re.MULTILINE)
    high = float(highest[2] or 0)
    rows = tuple(Row(cpu, None, None, high, int(recorded[1])) for cpu in sorted(cpus))
    return Reading(rows, smis=int(smis[1]) or None if smis else None)
