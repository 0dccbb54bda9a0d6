# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud's plan, flavors and findings as text for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import Finding, finding_lines, in_order
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted, plain
from ansible_collections.realtime.kvm.plugins.module_utils._tables import paragraph, text_table

from .changes import Change, Current
from .flavor import Flavor
from .wanted import Wanted


def flavor_lines(name: str, flavor: Flavor) -> list[str]:
    """Return a flavor with the reason of each extra spec."""
    head = f"flavor {plain(name, 60)}: {flavor.vcpus} vCPUs, {flavor.ram} MiB" + (f", {flavor.disk} GiB" if flavor.disk else "")
    rows = [[f"{key}={value}", flavor.reasons.get(key, "")] for key, value in flavor.extra_specs.items()]
    return [head, *text_table(["extra spec", "why"], rows)]


def change_lines(changes: Sequence[Change]) -> list[str]:
    """Return the changes as a table."""
    if not changes:
        return ["nothing to change"]
    rows = [[change.resource, f"{_value(change.before)} -> {_value(_after(change))}", change.reason] for change in changes]
    return text_table(["what changes", "from -> to", "why"], rows)


def _after(change: Change) -> Mapping[str, Any] | None:
    """What is new, without the extra specs of a new flavor, which stand in a table of their own."""
    if change.kind != "flavor" or change.before is not None or change.after is None:
        return change.after
    return {key: value for key, value in change.after.items() if key != "extra_specs"}


def _value(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "absent"
    return ", ".join(f"{key}={_short(item)}" for key, item in value.items()) or "present" if value else "present"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={item}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(str, value)) + "]"
    return str(value)


def diffs(changes: Sequence[Change]) -> list[dict[str, str]]:
    """Return the changes as Ansible shows differences."""
    return [
        {
            "before_header": change.resource,
            "after_header": change.resource,
            "before": _text(change.before),
            "after": _text(change.after),
        }
        for change in changes
    ]


def _text(value: Mapping[str, Any] | None) -> str:
    return "" if value is None else json.dumps(value, indent=2, sort_keys=True) + "\n"


def part_done(change: Change, before: Current, now: Current) -> str:
    """Return what was done of a change that failed, empty for nothing; what is lost is shown, so that it can be made by hand."""
    was, found = before.of(change.kind, change.name), now.of(change.kind, change.name)
    if was == found:
        return ""
    if found is None and isinstance(was, Mapping):
        had = ", ".join(f"{key}={_short(value)}" for key, value in was.items() if value not in (None, "", [], {}))
        lost = "" if change.after is None else f", which is removed and not made again; it had {plain(had, 600)}"
        return f"{change.resource}{lost}"
    return f"{change.resource} in part"


def page(title: str, wanted: Wanted, changes: Sequence[Change], notes: Sequence[str]) -> list[str]:
    """Return what is shown before a cloud is changed."""
    lines = [f"== {plain(title, 80)} =="]
    for item in wanted.flavors:
        if item.flavor:
            lines += ["", *flavor_lines(item.name, item.flavor)]
    return [*lines, "", *change_lines(changes), *(line for note in notes for line in paragraph(f"note: {note}"))]


def finding_page(findings: Sequence[Finding], compared: int) -> list[str]:
    """Return the comparison of placement with the partition files."""
    if not compared:
        return []
    return finding_lines(in_order(findings)) or [f"placement agrees with the partition file of {counted(compared, 'node')}"]
