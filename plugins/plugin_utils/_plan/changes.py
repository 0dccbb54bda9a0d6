# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changes that module results plan, and how much they disturb. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import awaited_boot
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import DISRUPTIONS, beyond

#: The result of each module by layer of a node.
Results = Mapping[str, Mapping[str, Any]]


def collect_changes(results: Results) -> list[Mapping[str, Any]]:
    """Return the changes of several module results, in their order; a reboot that is due is one."""
    found: list[Mapping[str, Any]] = []
    for result in results.values():
        boot = awaited_boot(result)
        found += [*result.get("changes", []), *([asdict(boot)] if boot else [])]
    return found


def disruptions_above(results: Results, limit: str) -> list[str]:
    """Return the changes above ``limit``, each with its disruption class."""
    return beyond(collect_changes(results), limit)


def worst_of(classes: Sequence[str]) -> str:
    """Return the highest disruption class; a word that is none counts as the highest."""
    return max(classes, key=lambda name: DISRUPTIONS.index(name) if name in DISRUPTIONS else len(DISRUPTIONS), default="none")


def worst_first(changes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return changes with the most disturbing first; equals keep their order."""
    return sorted(changes, key=lambda change: -DISRUPTIONS.index(change["disruption"]))


def families(changes: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], int]]:
    """Return changes with their number: those that differ in the numbers of their resource alone, as CPU by CPU, are one.

    Where a number differs, the resource has a ``*``.
    """
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for change in changes:
        shape = re.sub(r"\d+", "*", change["resource"])
        found.setdefault((change["disruption"], shape, change["before"], change["after"]), []).append(change)
    return [({**same[0], "resource": _common([str(one["resource"]) for one in same])}, len(same)) for same in found.values()]


def _common(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return "".join(parts[0] if len(set(parts)) == 1 else "*" for parts in zip(*(re.split(r"(\d+)", name) for name in names)))
