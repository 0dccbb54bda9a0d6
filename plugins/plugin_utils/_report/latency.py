# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored latency results as histograms and trends. Pure: results in, coordinates out.

A histogram counts samples by latency. Most are in a few buckets, but the few in the tail decide; so the counts have a
logarithmic scale, and the latencies too if the maximum is far out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._latency.verdict import VIRTUAL
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import natural

VERDICTS = ("pass", "fail", "inconclusive")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 220, 52, 30, 12
#: Above this maximum (in us) the latencies are drawn on a logarithmic scale as well.
LINEAR_US = 128
#: The most runs that a trend shows.
RUNS = 60
#: No measurement has a larger number: microseconds of 30 years, samples of a century at 100 kHz; a bucket has no more digits.
MOST = 10**15
_MOST_DIGITS = len(str(MOST)) - 1
#: Characters of a text.
_MOST_WORDS = 2000


def check_result(data: Any) -> str:
    """Return why this is no result stored by ``rt_latency``; an empty text if it is one."""
    if not isinstance(data, Mapping):
        return "it holds no JSON object"
    if data.get("format") != 1:
        return f"its format is {data.get('format')!r}; 1 is known"
    if missing := [key for key in ("guest", "max_us", "limit_us") if key not in data]:
        return f"it lacks {', '.join(missing)}"
    for key in ("host", "tool", "profile", "started"):
        if not isinstance(data.get(key), str):
            return f"{key} is missing or no text"
    if data["guest"] is not None and not isinstance(data["guest"], str):
        return "guest is no text"
    if long := [key for key in ("host", "guest", "tool", "profile", "started") if len(data[key] or "") > _MOST_WORDS]:
        return f"{', '.join(long)} has more than {_MOST_WORDS} characters"
    if not _measured(data["max_us"]) or not _measured(data["limit_us"]):
        return f"max_us or limit_us is not a number from 0 to {MOST:g}"
    verdict = data.get("verdict")
    if (
        not isinstance(verdict, Mapping)
        or verdict.get("result") not in VERDICTS
        or not isinstance(verdict.get("reasons", []), list)
    ):
        return f"its verdict is not one of {', '.join(VERDICTS)}"
    cpus, seconds = data.get("cpus"), data.get("seconds", 0)
    if not isinstance(cpus, list) or not all(isinstance(cpu, int) and _number(cpu) for cpu in cpus) or not _number(seconds):
        return "cpus or seconds are not numbers"
    return _check_histogram(data)


def _check_histogram(data: Mapping[str, Any]) -> str:
    rows, histogram = data.get("per_cpu", []), data.get("histogram") or {}
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) and _measured(row.get("max_us")) for row in rows):
        return "per_cpu is damaged"
    counts = histogram.get("counts", {}) if isinstance(histogram, Mapping) else None
    if not isinstance(counts, Mapping) or not all(isinstance(by_cpu, Mapping) for by_cpu in counts.values()):
        return "its histogram is damaged"
    if isinstance(histogram, Mapping) and not (_number(histogram.get("bucket_us", 1)) and histogram.get("bucket_us", 1) > 0):
        return "the width of its histogram's buckets is not a number"
    if not all(str(bucket).isdecimal() and len(str(bucket)) <= _MOST_DIGITS for bucket in counts):
        return f"a bucket of its histogram is not a number of at most {_MOST_DIGITS} digits"
    if not all(_number(count) for by_cpu in counts.values() for count in by_cpu.values()):
        return "a count of its histogram is not a number"
    return ""


def _number(value: Any) -> bool:
    """Whether the value is a number that a measurement can have; NaN and infinity are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= MOST


def _measured(value: Any) -> bool:
    """Whether the value is a number or None: nothing was measured, or the tool does not report it."""
    return value is None or _number(value)


def series(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs that can be compared (same host, guest, tool, profile), the oldest first."""
    found: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        key = (result["host"], result["guest"] or "", result["tool"], result["profile"])
        found.setdefault(key, []).append(result)
    return [
        {
            "host": host,
            "guest": guest,
            "tool": tool,
            "profile": profile,
            "runs": sorted(runs, key=lambda run: str(run["started"])),
        }
        for (host, guest, tool, profile), runs in sorted(found.items(), key=lambda item: [natural(part) for part in item[0]])
    ]


def verdict_text(result: Mapping[str, Any]) -> str:
    """Return a verdict in words; a measurement in a virtual machine is no statement about the platform."""
    verdict = result["verdict"]
    return f"{verdict['result']}; {VIRTUAL}" if verdict.get("virtual") else str(verdict["result"])


def maximum_text(result: Mapping[str, Any]) -> str:
    """Return the highest latency in words."""
    return "nothing measured" if result["max_us"] is None else f"maximum {result['max_us']:g} µs"


# -- drawing ---------------------------------------------------------------------------------------


def _scale(most: float, *, log: bool) -> tuple[float, Any]:
    """Return the right end of the latency axis and the function from a latency to its x."""
    span = WIDTH - LEFT - 10
    if log:
        end = math.log2(most + 1)
        return most, lambda value: LEFT + span * math.log2(value + 1) / end
    return most, lambda value: LEFT + span * value / most


def _ticks(most: float, *, log: bool) -> list[int]:
    if log:
        return [10**power for power in range(int(math.log10(most)) + 1)]
    step = next(step for step in (1, 2, 5, 10, 20, 50) if most / step <= 10)
    return list(range(0, int(most) + 1, step))


def histogram(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the drawing of a result's histogram: one path for all bars, axes, the maximum and the limit."""
    totals: dict[int, float] = {}
    for bucket, by_cpu in (result.get("histogram") or {}).get("counts", {}).items():
        count = sum(by_cpu.values())
        if count:
            totals[int(bucket)] = totals.get(int(bucket), 0) + count
    limit, peak = result["limit_us"], result["max_us"]
    most = max([peak or 0, 10, *totals, limit or 0]) * 1.05 + 1
    log = most > LINEAR_US
    _end, x = _scale(most, log=log)
    bars = _bins(totals, (result.get("histogram") or {}).get("bucket_us") or 1, log=log)
    highest = max((count for _low, _high, count in bars), default=1)
    decades = max(math.ceil(math.log10(highest)), 1) if highest > 1 else 1
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP

    def y(count: float) -> float:
        return floor - room * (math.log10(count) + 0.15) / (decades + 0.15)

    path = []
    for low, high, count in bars:
        left, right = x(low), max(x(high) - 0.6, x(low) + 0.6)
        path.append(f"M{left:.1f} {floor}V{y(count):.1f}H{right:.1f}V{floor}Z")
    return {
        "path": "".join(path),
        "floor": floor,
        "log": log,
        "x_ticks": [{"x": round(x(value), 1), "text": value} for value in _ticks(most, log=log)],
        "y_ticks": [{"y": round(y(10**power), 1), "text": _power(power)} for power in range(decades + 1)],
        "max": {"x": round(x(peak), 1), "text": f"max {peak:g} µs"} if peak is not None else None,
        "limit": {"x": round(x(limit), 1), "text": f"limit {limit:g} µs"} if limit else None,
        "samples": int(sum(totals.values())),
    }


def _power(power: int) -> str:
    return {0: "1", 1: "10", 2: "100", 3: "1k", 4: "10k", 5: "100k", 6: "1M", 7: "10M", 8: "100M", 9: "1G"}.get(
        power, f"1e{power}"
    )


def _bins(totals: Mapping[int, float], width: float, *, log: bool) -> list[tuple[float, float, float]]:
    """Return low end, high end and count of each bar: every bucket (``width`` µs wide).

    The logarithmic scale has at most 12 bars per doubling.
    """
    bins: dict[tuple[float, float], float] = {}
    for bucket, count in totals.items():
        place = int(math.log2(bucket + 1) * 12)
        merged = log and bucket > 16  # from there on a bar holds several buckets
        ends = (2 ** (place / 12) - 1, 2 ** ((place + 1) / 12) - 1) if merged else (float(bucket), float(bucket + width))
        bins[ends] = bins.get(ends, 0) + count
    return [(low, high, count) for (low, high), count in sorted(bins.items())]


def trend(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the drawing of the maxima of several runs in order, of many runs the last ones."""
    shown = list(runs)[-RUNS:]
    limit = shown[-1]["limit_us"]
    most = max([10, *(run["max_us"] or 0 for run in shown), limit or 0]) * 1.1
    log = most > LINEAR_US * 2
    floor, room = HEIGHT - BOTTOM, HEIGHT - BOTTOM - TOP
    step = (WIDTH - LEFT - 30) / max(len(shown) - 1, 1)

    def y(value: float) -> float:
        return floor - room * (math.log10(value + 1) / math.log10(most + 1) if log else value / most)

    points = [
        {
            "x": round(LEFT + 10 + number * step, 1),
            "y": round(y(run["max_us"] or 0), 1),
            "measured": run["max_us"] is not None,
            "result": run["verdict"]["result"],
            "text": f"{run['started']}: {maximum_text(run)}, {verdict_text(run)}",
        }
        for number, run in enumerate(shown)
    ]
    return {
        "points": points,
        "line": " ".join(f"{point['x']},{point['y']}" for point in points if point["measured"]),
        "floor": floor,
        "y_ticks": [{"y": round(y(value), 1), "text": value} for value in _ticks(most, log=log)],
        "limit": {"y": round(y(limit), 1), "text": f"limit {limit:g} µs"} if limit else None,
        "first": shown[0]["started"][:10],
        "last": shown[-1]["started"][:10],
    }
