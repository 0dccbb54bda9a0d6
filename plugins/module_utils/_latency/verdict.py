# SPDX-License-Identifier: GPL-3.0-or-later
"""Latency measurements: the tool's reading, its doubts, and the verdict. Pure.

A verdict is based on maxima and overflows, never on the bins of a histogram alone: a sample beyond the last bin is in no bin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._cpus.answers import counted
from .._cpus.cpulist import format_cpulist
from .._cpus.errors import RefusalError

FORMAT = 1
VIRTUAL = "virtual, not a measurement of the platform"

#: Tool to its limit in µs and the limit's source. The first two are RHEL 10's for real-time virtualization (host, and
#: guest on it), the last is that of OpenShift's cnf-tests. rtla's tools have no own limit and are compared with the tool
#: that measures the same.
LIMITS_US = {"cyclictest": 40, "oslat": 20, "timerlat": 40, "osnoise": 20, "hwnoise": 20, "hwlatdetect": 20}

#: Profile to its seconds. A short run is a smoke test of the measurement; RHEL 10 requires twelve hours under load.
PROFILES = {"smoke": 60, "standard": 3600, "certify": 12 * 3600}

#: Time between two samples of a CPU in µs; the other tools do not sample at an interval.
INTERVAL_US = {"cyclictest": 200, "timerlat": 1000}

#: Share of the samples, and of the time, that may be missing; and the seconds that a tool needs to start and to stop.
_MISSING = 0.01
_EDGES_S = 1.5

#: How far the wall clock may drift from the monotonic one: a clock that is slewed drifts from neither, one that is set steps.
_STEP_S = 0.1


class LatencyError(RefusalError):
    """There is no measurement; the message names the reason and what would work."""


def named_profile(profile: str, seconds: int) -> str:
    """Return the profile of a run, which only a run of its whole duration has."""
    return profile if seconds == PROFILES[profile] else "custom"


def shortest(seconds: float) -> float:
    """Return how long a run at least takes that should take so many seconds."""
    return max(seconds - _EDGES_S, 0) * (1 - _MISSING)


@dataclass(frozen=True)
class Row:
    """A tool's reading of one CPU, in µs. None: the tool does not report it."""

    cpu: int
    min_us: float | None
    avg_us: float | None
    max_us: float | None
    samples: int
    overflows: int = 0  # samples beyond the last bin of the histogram
    seconds: float | None = None  # duration that the tool reports


@dataclass(frozen=True)
class Reading:
    """A tool's reading. ``counts`` is the histogram, lower edge of a bin in µs to CPU to samples; ``beyond_us`` is its end."""

    rows: tuple[Row, ...]
    counts: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    bucket_us: int = 1
    beyond_us: float | None = None
    stopped: str = ""  # the tool's own reason for an early end
    smis: int | None = None  # system management interrupts that the tool itself counted

    @property
    def max_us(self) -> float | None:
        """The highest latency on any CPU."""
        return max((row.max_us for row in self.rows if row.max_us is not None), default=None)


@dataclass(frozen=True)
class Verdict:
    """``pass``, ``fail`` or ``inconclusive``, with reasons; on a virtual machine it is no statement about a platform."""

    result: str
    virtual: bool
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"result": self.result, "virtual": self.virtual, "reasons": list(self.reasons)}


def judge(
    tool: str,
    reading: Reading | None,
    cpus: Iterable[int],
    *,
    seconds: int,
    limit_us: float,
    virtual: bool,
    doubts: Sequence[str] = (),
) -> Verdict:
    """Return the verdict on a measurement of ``cpus`` that should have taken ``seconds``.

    A latency above the limit always fails, whatever else happened. Without one, any doubt about the reading makes the
    verdict inconclusive, never a pass.
    """
    failures = _failures(reading, limit_us) if reading else []
    doubtful = [*doubts, *(_gaps(tool, reading, cpus, seconds) if reading else ["nothing was measured"])]
    result = "fail" if failures else "inconclusive" if doubtful else "pass"
    return Verdict(result, virtual, (*([VIRTUAL] if virtual else []), *failures, *doubtful))


def _failures(reading: Reading, limit_us: float) -> list[str]:
    """Return where the limit was exceeded."""
    over = [row for row in reading.rows if row.max_us is not None and row.max_us > limit_us]
    found = []
    if over:
        worst = max(over, key=lambda row: row.max_us or 0)
        found.append(
            f"maximum {worst.max_us:g} µs on CPU {worst.cpu} is above the limit of {limit_us:g} µs (above it: "
            f"CPUs {format_cpulist(row.cpu for row in over)})"
        )
    beyond = reading.beyond_us
    spilled = [row for row in reading.rows if row.overflows]
    if spilled and beyond is not None and beyond >= limit_us:
        count = sum(row.overflows for row in spilled)
        found.append(
            f"{counted(count, 'sample')} beyond the histogram's {beyond:g} µs on CPUs "
            f"{format_cpulist(row.cpu for row in spilled)}"
        )
    return found


def _gaps(tool: str, reading: Reading, cpus: Iterable[int], seconds: int) -> list[str]:
    """Return what is missing or contradicts itself."""
    found = []
    rows = {row.cpu: row for row in reading.rows}
    wanted = frozenset(cpus)
    if absent := wanted - rows.keys():
        found.append(f"CPUs {format_cpulist(absent)} were not measured")
    if strange := rows.keys() - wanted:
        found.append(f"CPUs {format_cpulist(strange)} were measured but not requested")
    enough = shortest(seconds)
    interval = INTERVAL_US.get(tool)
    for row in reading.rows:
        expected = enough * 1e6 / interval if interval else 0
        if row.samples < max(expected, 0 if tool == "hwlatdetect" else 1):  # hwlatdetect lists only events
            share = f"of about {seconds * 1e6 / interval:.0f}" if interval else ""
            found.append(
                f"CPU {row.cpu} has {counted(row.samples, 'sample')} {share}".rstrip()
                + ": its thread stalled, or samples were lost"
            )
        if row.seconds is not None and row.seconds < enough:
            found.append(f"CPU {row.cpu} was measured for {row.seconds:g} s of {seconds} s")
        if row.max_us is None:
            found.append(f"CPU {row.cpu} has no maximum")
        elif row.overflows and reading.beyond_us is not None and row.max_us < reading.beyond_us:
            found.append(f"CPU {row.cpu}: samples beyond {reading.beyond_us:g} µs, yet a maximum of {row.max_us:g} µs")
    found += [f"CPU {cpu}: samples of {bucket} µs, yet a maximum of {top:g} µs" for cpu, bucket, top in _above(reading)]
    if reading.stopped:
        found.append(f"the tool stopped early: {reading.stopped}")
    if reading.smis:
        found.append(f"{reading.smis} system management interrupts (SMI) during the run")
    return found


def _above(reading: Reading) -> list[tuple[int, int, float]]:
    """Return CPUs whose histogram has a bin above their maximum: CPU, bin, maximum."""
    tops = {row.cpu: row.max_us for row in reading.rows if row.max_us is not None}
    highest: dict[int, int] = {}
    for bucket, counts in reading.counts.items():
        for cpu, count in counts.items():
            if count:
                highest[cpu] = max(bucket, highest.get(cpu, bucket))
    return [(cpu, bucket, tops[cpu]) for cpu, bucket in sorted(highest.items()) if cpu in tops and bucket > tops[cpu]]


def find_doubts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return what happened to the machine between two probes that makes a measurement doubtful.

    Each probe has ``clock_s`` and ``suspended_s`` (wall clock and time asleep, against the monotonic clock), ``clocksource``,
    ``step_s`` (the resolution of clock_s), and by CPU ``smi``, ``throttled`` and ``frequency`` (governor, limits, transitions).
    Values that a machine does not show are absent from both.
    """
    found = []
    step = after.get("clock_s", 0) - before.get("clock_s", 0)
    if abs(step) > max(_STEP_S, before.get("step_s", 0)):
        found.append(f"the clock was set by {step:+.3f} s during the run")
    if after.get("suspended_s", 0) - before.get("suspended_s", 0) > _STEP_S:
        found.append("the machine was suspended during the run")
    if before.get("clocksource") != after.get("clocksource"):
        found.append(f"the clock source changed from {before.get('clocksource')} to {after.get('clocksource')}")
    for key, what in (("smi", "system management interrupts (SMI)"), ("throttled", "thermal throttlings")):
        old, new = before.get(key) or {}, after.get(key) or {}
        counted = {int(cpu): new[cpu] - old[cpu] for cpu in old if cpu in new}
        if any(counted.values()):
            cpus = format_cpulist(cpu for cpu, count in counted.items() if count)
            found.append(f"{max(counted.values())} {what} during the run, on CPUs {cpus}")
    old, new = before.get("frequency") or {}, after.get("frequency") or {}
    if changed := [int(cpu) for cpu in old if old[cpu] != new.get(cpu)]:
        cpu = str(min(changed))
        shown = ", ".join(
            f"{name} {value} -> {(new.get(cpu) or {}).get(name)}"
            for name, value in old[cpu].items()
            if value != (new.get(cpu) or {}).get(name)
        )
        found.append(f"the frequency of CPUs {format_cpulist(changed)} changed during the run ({shown or 'unknown'})")
    return found


@dataclass(frozen=True)
class Run:
    """What was measured, where, from when on and against which limit."""

    host: str
    guest: str | None  #: None: the host itself
    tool: str
    profile: str
    started: str  #: UTC, as 2026-11-28T04:05:06Z
    seconds: int
    cpus: Iterable[int]
    limit_us: float


def document(run: Run, reading: Reading | None, verdict: Verdict, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run as a result: the format that docs/latency.md describes. ``max_us`` is None where nothing was measured."""
    rows = sorted(reading.rows, key=lambda row: row.cpu) if reading else []
    counts = reading.counts if reading else {}
    return {
        "format": FORMAT,
        "host": run.host,
        "guest": run.guest,
        "tool": run.tool,
        "profile": run.profile,
        "started": run.started,
        "seconds": run.seconds,
        "cpus": sorted(run.cpus),
        "unit": "us",
        "verdict": verdict.to_dict(),
        "limit_us": run.limit_us,
        "max_us": reading.max_us if reading else None,
        "per_cpu": [
            {
                "cpu": row.cpu,
                "min_us": row.min_us,
                "avg_us": row.avg_us,
                "max_us": row.max_us,
                "samples": row.samples,
                "overflows": row.overflows,
            }
            for row in rows
        ],
        "histogram": {
            "bucket_us": reading.bucket_us if reading else 1,
            "counts": {
                str(bucket): {str(cpu): count for cpu, count in sorted(found.items()) if count}
                for bucket, found in sorted(counts.items())
                if any(found.values())
            },
        },
        "environment": dict(environment),
    }


def summary(result: Mapping[str, Any]) -> str:
    """Return a run in one line for people."""
    where = f"guest {result['guest']} of {result['host']}" if result["guest"] else str(result["host"])
    top = "nothing measured" if result["max_us"] is None else f"max {result['max_us']:g} µs, limit {result['limit_us']:g} µs"
    reasons = "; ".join(result["verdict"]["reasons"])
    shown = f" ({reasons})" if reasons else ""
    return (
        f"{where}: {result['tool']} {result['profile']} on CPUs {format_cpulist(result['cpus'])}: "
        f"{result['verdict']['result']}, {top}{shown}"
    )
