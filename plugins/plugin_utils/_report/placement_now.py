# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the guests of a plan are now, by what the report has read, and what is not as the plan has it. Pure.

The report has no inventory of guests, so it cannot work out the digest of the plan's inputs. It compares what both know: hosts, and
which guest is on which. A guest that is nowhere is only called so where the plan's hosts for it were read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted, plain
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import ALONE, few, natural

#: The most guests that are named for one difference; characters of a name.
_MOST, _NAME = 20, 120


@dataclass(frozen=True)
class Seen:
    """What the report has read."""

    reported: Collection[str]  # every host of the report
    guests: Mapping[str, Collection[str]]  # the names of the guests, by host that was read

    def hosts_by_guest(self) -> dict[str, list[str]]:
        """Return the hosts of each guest."""
        found: dict[str, list[str]] = {}
        for host in sorted(self.guests, key=natural):
            for name in self.guests[host]:
                found.setdefault(name, []).append(host)
        return found


def differences(plan: Mapping[str, Any], seen: Seen) -> list[str]:
    """Return what is not, or no longer, as the plan has it; nothing where all that was read is as it is before the plan's moves."""
    imagined = set((plan.get("what_if") or {}).get("hosts") or ())
    planned = ({*plan["hosts"], *plan["left_out"]}) - imagined
    found = [
        _hosts(planned - set(seen.reported), "of the plan", "not in this report"),
        _hosts(set(seen.reported) - planned, "of this report", "not in the plan"),
        _hosts(
            planned & set(seen.reported) - set(seen.guests) - set(plan["left_out"]),
            "of the plan",
            "not read, so their guests are not compared",
        ),
    ]
    return [text for text in [*found, *_guests(plan, seen)] if text]


def _hosts(names: Collection[str], which: str, what: str) -> str:
    ordered = sorted(names, key=natural)
    one = len(ordered) == 1
    return f"{len(ordered)} host{'' if one else 's'} {which} {'is' if one else 'are'} {what}: {few(ordered)}" if ordered else ""


def _guests(plan: Mapping[str, Any], seen: Seen) -> list[str]:
    places = seen.hosts_by_guest()
    totals = {"moves": 0, "new": 0}
    done = {"moves": 0, "new": 0}
    other = []
    for entry in plan["guests"]:
        change, target = entry["change"], entry["host"]
        now = places.get(entry["guest"], [])
        before = {"new": "", "stays": target}.get(change, entry.get("from", ""))
        if change in totals:
            totals[change] += 1
            if now == [target]:
                done[change] += 1
                continue
        if now != [before] * bool(before) and (text := _elsewhere(entry, now, before, seen)):
            other.append(text)
    kinds = {"moves": ("guest that moves is", "guests that move are"), "new": ("new guest is", "new guests are")}
    found = [
        f"{done[change]} of {counted(totals[change], *words)} on {'its' if totals[change] == 1 else 'their'} "
        f"{'new ' if change == 'moves' else ''}host already"
        for change, words in kinds.items()
        if done[change]
    ]
    found += sorted(other, key=natural)[:_MOST]
    return [
        *found,
        f"and {counted(len(other) - _MOST, 'more guest that is', 'more guests that are')} elsewhere"
        if len(other) > _MOST
        else "",
    ]


def _elsewhere(entry: Mapping[str, Any], now: list[str], before: str, seen: Seen) -> str:
    """Return where a guest is that is not where the plan begins; an empty text where this cannot be known."""
    name, target = plain(entry["guest"], _NAME), plain(entry["host"], _NAME)
    plan = {"new": f"new on {target}", "stays": f"staying on {target}"}
    has = plan.get(entry["change"], f"moving from {plain(before, _NAME)} to {target}")
    if now:
        return f"{name} is on {few(now, ALONE)}; the plan has it {has}"
    if all(host in seen.guests for host in (before, entry["host"])):
        return f"{name} is on no host that was read; the plan has it {has}"
    return ""
