# SPDX-License-Identifier: GPL-3.0-or-later
"""How often interrupts fired, from /proc/interrupts. Pure; source: Documentation/filesystems/proc.rst."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Lines of the kernel's own timers: the local APIC timer of x86, the architected timer of Arm.
TIMER_LINES = ("LOC", "arch_timer")
#: What stands between the counts and the handlers of a line: chip, its input, then on x86 ``-edge``, on Arm ``Level`` or ``Edge``
#: (kernel/irq/proc.c). Two spaces at least come before the handlers.
_HANDLERS = re.compile(r"\s\d+(?:-\S+|\s+(?:Level|Edge)\b(?:\s*-\S+)?)?\s{2,}(\S.*)$")


#: Of Arm's interrupt controllers, inputs 16 to 31 are each CPU's own (Arm GIC architecture, private peripheral interrupts): timers of host and
#: guests, performance counters, the virtual controller. No device sends them, and nothing can move them.
_OWN_CHIP, _OWN_INPUTS = re.compile(r"GIC(?:v\d|-\d+)?"), range(16, 32)


@dataclass(frozen=True)
class Counts:
    """Counts since boot: for each interrupt line its non-zero counts by CPU."""

    lines: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    timers: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()  #: numbered ones that are each CPU's own

    def kind(self, line: str) -> str:
        """Return what an interrupt line is: ``ticks`` of the CPU's timer, ``devices`` (numbered), ``others``."""
        if line in self.timers:
            return "ticks"
        return "devices" if line.isdecimal() and line not in self.own else "others"

    def devices(self, cpu: int) -> int:
        """Return how often devices' interrupts fired on a CPU, without timers."""
        return sum(counts.get(cpu, 0) for line, counts in self.lines.items() if self.kind(line) == "devices")

    def ticks(self, cpu: int) -> int:
        """Return how often the CPU's own timer fired."""
        return sum(self.lines[line].get(cpu, 0) for line in self.timers)

    def others(self, cpu: int) -> int:
        """Return the count of all others: rescheduling and function calls from other CPUs, work interrupts, machine checks, a guest's timer on Arm."""
        return sum(counts.get(cpu, 0) for line, counts in self.lines.items() if self.kind(line) == "others")


def parse_interrupt_counts(text: str) -> Counts:
    """Return the counts of a /proc/interrupts; lines that count for no CPU (ERR, MIS) are left out."""
    head, _newline, rest = text.partition("\n")
    cpus = tuple(int(name[3:]) for name in head.split() if name.startswith("CPU") and name[3:].isdecimal())
    lines: dict[str, Mapping[int, int]] = {}
    timers, own = set(), set()
    for row in rest.splitlines():
        name, _colon, values = row.partition(":")
        fields = values.split()
        counts = fields[: len(cpus)]
        if not cpus or len(counts) < len(cpus) or not all(count.isdecimal() for count in counts):
            continue
        line = name.strip()
        lines[line] = {cpu: int(count) for cpu, count in zip(cpus, counts) if count != "0"}
        if line in TIMER_LINES or TIMER_LINES[1] in fields[len(cpus) :]:
            timers.add(line)
        elif _is_own(fields[len(cpus) : len(cpus) + 2]):
            own.add(line)
    return Counts(lines, cpus, frozenset(timers), frozenset(own))


def _is_own(words: Sequence[str]) -> bool:
    """Whether an interrupt, by its chip and input, is each CPU's own."""
    return len(words) > 1 and _OWN_CHIP.fullmatch(words[0]) is not None and words[1].isdecimal() and int(words[1]) in _OWN_INPUTS


def parse_names(text: str) -> dict[int, tuple[str, ...]]:
    """Return the handlers of each numbered line of a /proc/interrupts; chip, input and trigger follow the counts."""
    head, _newline, rest = text.partition("\n")
    cpus = sum(name.startswith("CPU") for name in head.split())
    found: dict[int, tuple[str, ...]] = {}
    for row in rest.splitlines() if cpus else ():
        number, _colon, values = row.partition(":")
        fields = values.split(maxsplit=cpus)
        named = _HANDLERS.search(f" {fields[cpus]}") if len(fields) > cpus else None
        if number.strip().isdecimal() and named:
            found[int(number)] = tuple(name.strip() for name in named[1].split(","))
    return found


def rates(before: Counts, after: Counts, seconds: float) -> dict[str, dict[int, float]]:
    """Return rates per second and CPU of lines that fired in between; a line whose count was reset counts from zero."""
    if seconds <= 0:
        return {}
    found: dict[str, dict[int, float]] = {}
    for line, counts in after.lines.items():
        old = before.lines.get(line, {})
        fired = {cpu: count - old.get(cpu, 0) if count >= old.get(cpu, 0) else count for cpu, count in counts.items()}
        per_second = {cpu: round(count / seconds, 1) for cpu, count in fired.items() if count}
        if per_second:
            found[line] = per_second
    return found


def load(counts: Counts, per_second: Mapping[str, Mapping[int, float]] | None) -> dict[str, dict[str, Any]]:
    """Return for each CPU how often interrupts fired since boot, and per second if measured (else ``None``)."""
    found: dict[str, dict[str, Any]] = {}
    for cpu in counts.cpus:
        entry: dict[str, Any] = {"devices": counts.devices(cpu), "ticks": counts.ticks(cpu), "others": counts.others(cpu)}
        if per_second is not None:
            mine = Counts({line: {cpu: 1} for line, values in per_second.items() if cpu in values}, (cpu,), counts.timers)
            by_kind = {"devices_per_s": 0.0, "ticks_per_s": 0.0, "others_per_s": 0.0}
            for line in mine.lines:
                by_kind[f"{counts.kind(line)}_per_s"] += per_second[line][cpu]
            entry.update({key: round(value, 1) for key, value in by_kind.items()})
        found[str(cpu)] = entry
    return found
