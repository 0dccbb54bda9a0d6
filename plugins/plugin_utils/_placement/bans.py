# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes' planners refused in earlier attempts of a placement. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from .model import Wish

#: In so many attempts one guest is kept from a host that refuses; beyond, all guests that come are.
TRIES = 8


@dataclass
class Bans:
    """Who must not enter which host, and who must stay.

    Each attempt of a placement begins anew with them, so that all that hung on a refused guest is undone.
    """

    entries: dict[str, dict[str, str]] = field(default_factory=dict)  # guest, host: the node's refusal
    closed: dict[str, str] = field(default_factory=dict)  # hosts that no guest enters: the node's refusal
    held: set[str] = field(default_factory=set)  # guests that stay on their host

    def refusal(self, wish: Wish, host: str) -> str:
        """Return what a node has said to a guest that would enter it, an empty text where it may be asked."""
        if wish.home == host:
            return ""
        return self.entries.get(wish.name, {}).get(host, "") or self.closed.get(host, "")

    def stays(self, wish: Wish) -> bool:
        """Whether a guest keeps its host."""
        return wish.stays or wish.name in self.held

    def learn(self, host: str, refusal: str, come: list[str], left: list[str], number: int) -> bool:
        """Take note of a host that refuses its guests, of which some have come and some left; False where that tells nothing new."""
        if come and number < TRIES:
            self.entries.setdefault(come[-1], {})[host] = refusal
        elif come:
            self.closed[host] = refusal
        self.held |= set() if come else set(left)
        return bool(come or left)
