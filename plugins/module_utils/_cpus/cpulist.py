# SPDX-License-Identifier: GPL-3.0-or-later
"""CPU lists as the kernel, Nova and Open vSwitch write them (``0-3,8,^2``, ``0-31:2/4``). Pure.

A CPU set in memory is a ``frozenset`` of CPU numbers. Source: "CPU lists" in the kernel's
Documentation/admin-guide/kernel-parameters.rst, and Nova's ``[compute]cpu_dedicated_set``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .errors import RefusalError

#: Largest CPU number accepted; Linux on x86 is built for at most 8192 CPUs (CONFIG_NR_CPUS).
MAX_CPU = 65535

#: A list may be this long, and name this many CPUs with all repeats; the longest of a machine of 8192 CPUs has 24,000 characters.
_MOST_TEXT = 65536
_MOST_NAMED = 4 * MAX_CPU

_ITEM = re.compile(r"(?P<first>\d+)(?:\s*-\s*(?P<last>\d+)(?:\s*:\s*(?P<used>\d+)\s*/\s*(?P<group>\d+))?)?", re.ASCII)


class CpuListError(RefusalError, ValueError):
    """The text is not a CPU list or mask; the message names the token."""


def _number(text: str, token: str) -> int:
    # length first: int() of a very long text is slow
    if len(text) > 10 or int(text) > MAX_CPU:
        raise CpuListError(f"{token!r}: CPU {text[:20]} is beyond {MAX_CPU}, the largest CPU number accepted")
    return int(text)


def _parse_item(item: str, token: str) -> frozenset[int]:
    match = _ITEM.fullmatch(item)
    if match is None:
        raise CpuListError(
            f"{token!r} is not a CPU number (4), a range (4-7) or a stride (0-31:2/4); "
            "separate items with commas and put ^ before an item to leave it out"
        )
    first = _number(match["first"], token)
    last = _number(match["last"], token) if match["last"] else first
    if last < first:
        raise CpuListError(f"{token!r} counts downwards; write {last}-{first}")
    if not match["used"]:
        return frozenset(range(first, last + 1))
    used, group = _number(match["used"], token), _number(match["group"], token)
    if used == 0 or group == 0 or used > group:
        raise CpuListError(f"{token!r}: a stride is used/group with 1 <= used <= group")
    return frozenset(cpu for cpu in range(first, last + 1) if (cpu - first) % group < used)


def parse_cpulist(text: str) -> frozenset[int]:
    """Return the CPUs of a cpulist; ``CpuListError`` names a wrong token.

    Items are numbers, ranges and strides ``first-last:used/group``; ``^`` excludes, wherever it stands. Blanks,
    empty items and an empty text are allowed.
    """
    if not isinstance(text, str):
        raise CpuListError(f'{text!r} is not text; quote CPU lists in YAML ("2", "1,3"), which reads them as numbers')
    if len(text) > _MOST_TEXT:
        raise CpuListError(f"{text[:20]!r}...: the list has {len(text)} characters, at most {_MOST_TEXT} are accepted")
    included: set[int] = set()
    excluded: set[int] = set()
    named = 0
    for raw in text.split(","):
        token = raw.strip()
        if not token:
            continue
        leave_out = token.startswith("^")
        cpus = _parse_item(token[1:].strip() if leave_out else token, token)
        named += len(cpus)
        if named > _MOST_NAMED:
            raise CpuListError(f"{token[:40]!r}: the list names CPUs again and again; name each once")
        (excluded if leave_out else included).update(cpus)
    return frozenset(included - excluded)


def parse_or_empty(text: str | None) -> frozenset[int]:
    """Return the CPUs of a list in a file; no CPUs where the list is missing or cannot be read."""
    try:
        return parse_cpulist((text or "").replace("(null)", "").strip())
    except CpuListError:
        return frozenset()


def format_cpulist(cpus: Iterable[int]) -> str:
    """Return the shortest cpulist of ranges, ascending (``0-1,6-7``), as the kernel prints it."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
