# SPDX-License-Identifier: GPL-3.0-or-later
"""What the default group of resctrl was before: its lines in the journal, by domain, and the way back. Edge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from .._host.change import Change
from .._host.host import Host
from .groups import CLASS, set_line
from .read import Tree
from .schemata import ROOT, format_line, parse_schemata
from .wanted import REST

#: The kind of our entries in the journal.
KIND = "resctrl"


def line_of(name: str) -> str:
    """Return the name of a line of the default group in plans."""
    return f"{ROOT}/schemata:{name}"


def domain_of(name: str, domain: int) -> str:
    """Return the name of a line's domain in the journal: a later run may divide more caches than the first."""
    return f"{line_of(name)}:{domain}"


def to_keep(change: Change) -> list[tuple[str, str]]:
    """Return the originals of a planned line of the default group, by domain, as the journal keeps them."""
    if not change.resource.startswith(line_of("")):
        return []
    lines = parse_schemata(change.before or "")
    return [
        (domain_of(name, domain), format_line(name, {domain: value}))
        for name, line in lines.items()
        for domain, value in line.items()
    ]


def originals(host: Host) -> dict[str, dict[int, int]]:
    """Return the former values of the default group's lines, by domain."""
    found: dict[str, dict[int, int]] = {}
    for line in host.entries(KIND).values():
        for name, values in parse_schemata(line).items():
            found.setdefault(name, {}).update(values)
    return found


def restore_line(host: Host, tree: Tree, name: str, former: Mapping[int, int]) -> None:
    """Plan to restore a line of the default group, as far as its domains still exist."""
    now = tree.groups[REST].lines.get(name, {})
    line = {domain: value for domain, value in former.items() if domain in now}
    before = {domain: now[domain] for domain in line}
    change = Change(line_of(name), format_line(name, before), format_line(name, line), CLASS, "restored")
    first, *others = [domain_of(name, domain) for domain in former]
    host.restore(None if before == line else change, first, partial(set_line, host, REST, name, line))
    forget(host, others)


def forget(host: Host, resources: Iterable[str]) -> None:
    for resource in sorted(resources):
        host.restore(None, resource, lambda: None)
