# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans and findings as tables of plain text. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import Any

from ._boot.arguments import awaited_boot
from ._cpus.answers import plain
from ._cpus.cpulist import format_cpulist
from ._cpus.partition import SETS, Partition
from ._cpus.topology import Topology
from ._host.change import beyond

#: The most columns of a line that people read.
WIDTH = 118
#: Bounds of a text for people, so that an answer from outside fills no controller: characters of a cell or line, and rows.
_MOST_WORDS, _MOST_ROWS = 1000, 5000
#: The most digits of a number in a name.
_DIGITS = 30


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with aligned columns; names from outside write nothing but their cell.

    No column is padded beyond ``WIDTH``: one long cell does not widen every row.
    """
    cells = [[plain(cell, _MOST_WORDS) for cell in row] for row in [header, *rows[:_MOST_ROWS]]]
    widths = [min(max(len(row[column]) for row in cells), WIDTH) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    more = [f"... and {len(rows) - _MOST_ROWS} more"] if len(rows) > _MOST_ROWS else []
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:], *more]


def bounded(lines: Sequence[Any]) -> list[str]:
    """Return lines that an answer holds as a terminal may show them: printable, of bounded length and number."""
    more = [f"... and {len(lines) - _MOST_ROWS} more lines"] if len(lines) > _MOST_ROWS else []
    return [*(plain(str(line), _MOST_WORDS) for line in lines[:_MOST_ROWS]), *more]


def natural(name: Any) -> list[tuple[int, str]]:
    """Return a key that sorts names as people do: kvm2 before kvm10."""
    parts = re.split(r"([0-9]+)", str(name))
    # digits that are too many for a number are text; isdigit() alone would take superscripts
    return [(int(part), "") if number % 2 and len(part) <= _DIGITS else (-1, part) for number, part in enumerate(parts)]


def plan_table(partition: Partition, topology: Topology) -> list[str]:
    """Return the plan of a node: one line per set, the CPUs by NUMA node."""
    nodes = sorted(partition.nodes)
    rows = []
    for name in (*SETS, "idle"):
        cpus = partition.idle if name == "idle" else partition.sets[name]
        if name == "idle" and not cpus:
            continue
        by_node = [format_cpulist(cpus & partition.nodes[node]) or "-" for node in nodes]
        rows.append([name, str(len(cpus)), *by_node, PURPOSES[name]])
    packages = len({cpu.package for cpu in topology.cpus.values()})
    size = (
        f"{len(topology.online)} CPUs, {len(topology.cores)} cores, {packages} package{'s' if packages > 1 else ''}, "
        f"{len(nodes)} NUMA node{'s' if len(nodes) > 1 else ''}, "
        f"{topology.threads_per_core} thread{'s' if topology.threads_per_core > 1 else ''} per core"
    )
    lines = [size, *text_table(["set", "CPUs", *(f"node {node}" for node in nodes), "who runs there"], rows)]
    if topology.offline:
        lines.append(f"offline, not used: {format_cpulist(topology.offline)}")
    return lines + [f"note: {warning}" for warning in partition.warnings]


def policy_lines(policies: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the chosen policies as lines: what each protects and what it costs."""
    lines = []
    for policy in policies:
        was = f" (was {policy['before']})" if policy["before"] else ""
        lines.append(plain(f"{policy['variable']}: {policy['value']}{was}", _MOST_WORDS))
        for text in bounded([f"protects {policy['protects']}", f"costs: {policy['costs']}"]):
            lines += wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _shorten(text: str | None, width: int = 60) -> str:
    if text is None:
        return "absent"
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3]}..."


def collect_changes(results: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the changes of several module results, in their order."""
    found: list[Mapping[str, Any]] = []
    for result in results.values():
        boot = awaited_boot(result)
        found += [*result.get("changes", []), *([asdict(boot)] if boot else [])]
    return found


def plan_report(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the plan of a node as text: its CPU sets, policies, kernel arguments, the changes and how much each disturbs.

    ``results`` holds the module results by layer; those with more than changes are under the keys ``partition`` and ``kernel``.
    """
    changes = collect_changes(results)
    policies = [policy for result in results.values() for policy in result.get("policies", [])]
    table = results.get("partition", {}).get("table", [])
    lines = [*bounded(table), ""] if table else []
    if policies:
        lines += [*policy_lines(policies[:_MOST_ROWS]), ""]
    arguments = results.get("kernel", {}).get("arguments", [])
    if arguments:
        rows = [[argument["token"], argument["reason"]] for argument in arguments]
        lines += [*text_table(["kernel argument", "why"], rows), ""]
    lines += bounded(_kernel_notes(results.get("kernel", {})))
    if not changes:
        return "\n".join([*lines, "nothing to change"])
    rows = [
        [change["disruption"], change["resource"], f"{_shorten(change['before'], 30)} -> {_shorten(change['after'])}"]
        for change in changes
    ]
    return "\n".join([*lines, *text_table(["disruption", "what changes", "from -> to"], rows)])


def _kernel_notes(kernel: Mapping[str, Any]) -> list[str]:
    guests = kernel.get("running_guests", []) if awaited_boot(kernel) else []
    notes = [f"the reboot needs rt_kernel_reboot_with_guests: true, since guests run: {', '.join(guests)}"] if guests else []
    notes += kernel.get("protection", {}).get("notes", [])
    return [*(f"note: {note}" for note in notes), *([""] if notes else [])]


def disruptions_above(results: Mapping[str, Mapping[str, Any]], limit: str) -> list[str]:
    """Return the changes above ``limit``, each with its disruption class."""
    return beyond(collect_changes(results), limit)


#: What runs on the CPUs of each set, and on those that are in none.
PURPOSES = {
    "housekeeping": "operating system, interrupts, emulator threads",
    "dataplane": "poll-mode threads of the switch",
    "realtime": "vCPUs of real-time guests, one per CPU",
    "shared": "vCPUs of other guests",
    "idle": "SMT siblings left unused (smt: single)",
}
