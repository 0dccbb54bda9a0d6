# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change and how much it disturbs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: How much a change disturbs a running node, least first: nothing noticeable, a brief stall of a CPU or NIC,
#: restart of a real-time guest, reboot.
DISRUPTIONS = ("none", "stall", "guest", "reboot")


@dataclass(frozen=True)
class Change:
    """One difference between what is and what shall be."""

    resource: str
    before: str | None  # None: does not exist
    after: str | None
    disruption: str = "none"
    reason: str = ""


def worst_disruption(changes: Iterable[Change]) -> str:
    """Return the highest disruption class among the changes."""
    return max((change.disruption for change in changes), key=DISRUPTIONS.index, default="none")


class DisruptionError(Exception):
    """A plan disturbs more than is allowed; ``results`` is what the module returns beside the message."""

    def __init__(self, message: str, results: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.results = dict(results)


def worse(one: str, other: str) -> str:
    """Return the higher of two disruption classes."""
    return max(one, other, key=DISRUPTIONS.index)


def planned_changes(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the changes of a module's result; a kernel or arguments that wait for a boot are a change as well."""
    changes = list(result.get("changes", []))
    if result.get("reboot_required"):
        running, following = result["running"]["release"], result["following"].get("release", "?")
        wanted = result.get("arguments", True) and not result["running"]["matches"]  # undo has no arguments
        after = "the real-time kernel" if wanted and running == following else following
        changes.append({"resource": "running kernel and arguments", "before": running, "after": after, "disruption": "reboot"})
    return changes


def beyond(changes: Iterable[Mapping[str, Any]], limit: str) -> list[str]:
    """Return the changes whose disruption class is above ``limit``, each with its class."""
    if limit not in DISRUPTIONS:
        raise ValueError(f"realtime_max_disruption: {limit!r} is not a disruption class; choose one of {', '.join(DISRUPTIONS)}")
    allowed = DISRUPTIONS.index(limit)
    return [
        f"{change['resource']} ({change['disruption']})"
        for change in changes
        if DISRUPTIONS.index(change["disruption"]) > allowed
    ]


def check_limit(changes: Sequence[Mapping[str, Any]], limit: str | None) -> None:
    """Refuse a plan that disturbs more than ``limit``; None allows everything."""
    too_much = beyond(changes, limit) if limit else []
    if not too_much:
        return
    worst = max((str(change["disruption"]) for change in changes), key=DISRUPTIONS.index)
    raise DisruptionError(
        f"max_disruption: the limit is {limit}, but the plan needs more: {'; '.join(too_much)}. Nothing was changed. Allow it for a maintenance "
        f"window (realtime_max_disruption: {worst}), or change the variables that cause it",
        {"changes": list(changes), "disruption": worst},
    )
