# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of plain text that fit a terminal. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any
from unicodedata import category, east_asian_width

from ._cpus.answers import counted, plain
from ._cpus.cpulist import format_cpulist
from ._cpus.partition import SETS, Partition
from ._cpus.topology import Topology

#: The most columns of a line that people read.
WIDTH = 118
#: Bounds of a text for people, so that an answer from outside fills no controller: characters of a cell or line, and rows.
MOST_WORDS, MOST_ROWS = 1000, 5000
#: Between two columns, and the least that a column keeps.
_GAP, _LEAST = 2, 5
#: The most NUMA nodes with a column of their own.
_COLUMNS = 4


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a sign of Chinese, Japanese or Korean, none for a mark on another."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(sign: str) -> int:
    return 0 if category(sign) in ("Mn", "Me") else 2 if east_asian_width(sign) in "WF" else 1


def _cut(text: str, width: int) -> tuple[str, str]:
    """Return the beginning of a text that fits, at least one sign, and the rest."""
    used = 0
    for at, sign in enumerate(text):
        used += _columns(sign)
        if used > width and at:
            return text[:at], text[at:]
    return text, ""


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text: broken after a space, comma, semicolon or slash, and inside a word only if it is wider than a line."""
    lines, line = [], ""
    for word in re.split(r"(?<=[\s,;/])", text):
        if line and columns(line) + columns(word.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += word
        while columns(line.rstrip()) > width:
            part, line = _cut(line, width)
            lines.append(part)
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def paragraph(text: str, first: str = "", rest: str = "  ") -> list[str]:
    """Return a text from outside as lines that fit: printable, the first one after ``first``, the others after ``rest``."""
    shown = plain(text, MOST_WORDS)
    if columns(first) + columns(shown) <= WIDTH:
        return [f"{first}{shown}".rstrip()]
    lines = wrapped(shown, WIDTH - max(columns(first), columns(rest)))
    return [f"{rest if number else first}{line}".rstrip() for number, line in enumerate(lines)]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with aligned columns; names from outside write nothing but their cell.

    The table fits ``WIDTH``: the widest columns are narrowed, and their cells have several lines.
    """
    cells = [[plain(cell, MOST_WORDS) for cell in row] for row in [header, *rows[:MOST_ROWS]]]
    widths = _fitted([max(columns(row[column]) for row in cells) for column in range(len(header))])
    lines = [_row(row, widths) for row in cells]
    more = [f"... and {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else []
    rule = (" " * _GAP).join("-" * width for width in widths)
    return [*lines[0], rule, *(line for row in lines[1:] for line in row), *more]


def _fitted(widths: list[int]) -> list[int]:
    """Return the widths of columns so that they fit: none is wider than needed, and the widest are equal."""
    room = WIDTH - _GAP * (len(widths) - 1)
    if sum(widths) <= room:
        return widths
    most = max(widths)
    while most > _LEAST and sum(min(width, most) for width in widths) > room:
        most -= 1
    found = [min(width, most) for width in widths]
    for column, width in enumerate(widths):  # what is left over
        found[column] += max(min(width - found[column], room - sum(found)), 0)
    return found


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    parted = [wrapped(cell, width) for cell, width in zip(cells, widths)]
    gap = " " * _GAP
    return [
        gap.join(part + " " * (width - columns(part)) for part, width in zip(parts, widths)).rstrip()
        for parts in zip_longest(*parted, fillvalue="")
    ]


def bounded(lines: Sequence[Any]) -> list[str]:
    """Return lines that an answer holds as a terminal may show them: printable, of bounded length and number."""
    more = [f"... and {counted(len(lines) - MOST_ROWS, 'more line')}"] if len(lines) > MOST_ROWS else []
    return [*(plain(str(line), MOST_WORDS) for line in lines[:MOST_ROWS]), *more]


def plan_table(partition: Partition, topology: Topology) -> list[str]:
    """Return the CPU sets of a node: one line per set, the CPUs by NUMA node."""
    nodes = sorted(partition.nodes)
    wide = len(nodes) > _COLUMNS
    rows = []
    for name in (*SETS, "idle"):
        cpus = partition.idle if name == "idle" else partition.sets[name]
        if name == "idle" and not cpus:
            continue
        by_node = [format_cpulist(cpus & partition.nodes[node]) for node in nodes]
        if wide:
            by_node = ["; ".join(f"{node}: {text}" for node, text in zip(nodes, by_node) if text)]
        rows.append([name, str(len(cpus)), *(text or "-" for text in by_node), PURPOSES[name]])
    packages = len({cpu.package for cpu in topology.cpus.values()})
    size = (
        f"{counted(len(topology.online), 'CPU')}, {counted(len(topology.cores), 'core')}, {counted(packages, 'package')}, "
        f"{counted(len(nodes), 'NUMA node')}, {counted(topology.threads_per_core, 'thread')} per core"
    )
    by_nodes = ["CPUs by NUMA node"] if wide else [f"node {node}" for node in nodes]
    lines = [size, *text_table(["set", "CPUs", *by_nodes, "who runs there"], rows)]
    if topology.offline:
        lines.append(f"offline, not used: {format_cpulist(topology.offline)}")
    return lines + [line for warning in partition.warnings for line in paragraph(f"note: {warning}")]


#: What runs on the CPUs of each set, and on those that are in none.
PURPOSES = {
    "housekeeping": "operating system, interrupts, emulator threads",
    "dataplane": "poll-mode threads of the switch",
    "realtime": "vCPUs of real-time guests, one per CPU",
    "shared": "vCPUs of other guests",
    "idle": "SMT siblings left unused (smt: single)",
}
