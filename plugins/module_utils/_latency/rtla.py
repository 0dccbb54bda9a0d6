# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the output of rtla to a ``Reading``: timerlat and osnoise as histogram and as table (top), hwnoise. Pure."""

from __future__ import annotations

import re
from functools import reduce
from math import gcd

from .verdict import LatencyError, Reading, Row

#: Where timerlat measures: in the interrupt, in the thread it wakes, back in user space. The last one present covers all.
_KINDS = ("CPU", "IRQ", "Thr", "Usr")


def parse_rtla_hist(text: str, bucket_us: int | None = None) -> Reading:
    """Return the histogram of ``rtla timerlat hist`` or ``rtla osnoise hist``.

    rtla leaves out rows of zeros, so the width of a bin, unless given, is the distance that all bins have in common.
    """
    lines = iter(text.splitlines())
    header = next((line.split() for line in lines if line.startswith("Index")), None)
    if header is None:
        raise LatencyError("rtla printed no histogram")
    kinds = [name.partition("-")[0] for name in header[1:]]
    chosen = [kind for kind in _KINDS if kind in kinds][-1:]
    columns = {index: int(name.partition("-")[2]) for index, name in enumerate(header[1:]) if [name.partition("-")[0]] == chosen}
    counts: dict[int, dict[int, int]] = {}
    totals: dict[str, dict[int, float | None]] = {}
    edges = []
    for line in lines:
        words = line.split()
        if words and words[0].isdecimal() and len(words) == len(header):
            edges.append(int(words[0]))
            found = {cpu: int(words[index + 1]) for index, cpu in columns.items() if words[index + 1] != "-"}
            counts[edges[-1]] = {cpu: number for cpu, number in found.items() if number}
        elif words and words[0] in ("over:", "count:", "min:", "avg:", "max:") and len(words) == len(header):
            totals[words[0][:-1]] = {
                cpu: None if words[index + 1] == "-" else float(words[index + 1]) for index, cpu in columns.items()
            }
        elif words and words[0] == "ALL:":  # sums over all CPUs follow
            break
    if not columns or not {"over", "count", "max"} <= totals.keys():
        raise LatencyError("rtla printed an incomplete histogram")
    width = bucket_us or reduce(gcd, edges, 0) or 1
    seconds = _seconds(text)
    rows = tuple(
        Row(
            cpu,
            totals.get("min", {}).get(cpu),
            totals.get("avg", {}).get(cpu),
            totals["max"][cpu],
            int(totals["count"][cpu] or 0),
            int(totals["over"][cpu] or 0),
            seconds,
        )
        for cpu in columns.values()
    )
    return Reading(rows, {edge: found for edge, found in counts.items() if found}, width, None, _stopped(text))


def parse_noise_top(text: str) -> Reading:
    """Return the table of ``rtla osnoise top`` or ``rtla hwnoise``.

    The latency of a CPU is its longest single gap (``Max Single``); ``Max Noise`` is the sum of a whole period's.
    """
    rows = {}
    # CPU #period runtime noise available% max-noise max-single ...
    pattern = r"^\s*(\d+) #(\d+)\s+\d+\s+\d+\s+[\d.]+\s+\d+\s+(\d+)\s+\d+"
    for found in re.finditer(pattern, text, re.MULTILINE):
        cpu, periods, high = (int(number) for number in found.groups())
        rows[cpu] = Row(cpu, None, None, high, periods, seconds=_seconds(text))
    if not rows:
        raise LatencyError("rtla printed no table")
    return Reading(tuple(rows.values()), stopped=_stopped(text))


def _seconds(text: str) -> float | None:
    """Return the duration that rtla prints as days and a clock."""
    found = re.findall(r"^(?:# Duration:|duration:)?\s*(\d+) (\d\d):(\d\d):(\d\d)\b", text, re.MULTILINE)
    if not found:
        return None
    days, hours, minutes, seconds = (int(number) for number in found[-1])
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _stopped(text: str) -> str:
    found = re.search(r"^(?:rtla )?\w+ hit stop tracing$", text, re.MULTILINE)
    return found[0] if found else ""
