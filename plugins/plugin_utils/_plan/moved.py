# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that move between hosts: none enters a host while the one that it leaves has it, or two QEMUs would work on its disks. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def states_of(guests: Any) -> dict[str, str]:
    """Return the guests of a list in the inventory with their states, as far as they are written out."""
    items = guests if isinstance(guests, (list, tuple)) else ()
    return {str(item["name"]): str(item.get("state") or "") for item in items if isinstance(item, Mapping) and "name" in item}


def still_elsewhere(
    placed: Collection[str], listed: Mapping[str, Mapping[str, str]], defined: Mapping[str, Collection[str]]
) -> dict[str, list[str]]:
    """Return refusals by host.

    ``placed`` are the hosts of the run whose lists place has written. ``listed`` are the guests of all hosts of the inventory, with their states, and
    ``defined`` those that libvirt has on the hosts that were asked. A guest comes from the hosts that have it absent.
    """
    left: dict[str, list[str]] = {}
    for host, guests in sorted(listed.items()):
        for name, state in guests.items():
            if state == "absent":
                left.setdefault(name, []).append(host)
    found: dict[str, list[str]] = {}
    for host in placed:
        for name, state in listed.get(host, {}).items():
            if state == "absent" or host not in defined:
                continue
            for old in left.get(name, ()):
                if name in defined.get(old, ()):
                    why = (
                        f"{old}, which it leaves, still has it, and two QEMUs would work on its disks. First run guests with the folder leave that "
                        "place has written beside this inventory, in place of it"
                    )
                elif old not in defined and name not in defined[host]:
                    why = (
                        f"it may still be on {old}, which it leaves: this run has not asked {old}. Run it for both hosts; where {old} is gone for "
                        "good, take it out of the inventory"
                    )
                else:
                    continue
                found.setdefault(host, []).append(f"realtime_guests: {name}: {why}")
    return found
