# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change and how much it disturbs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
