# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The huge pages that a host can still have, counted as the node's planner of memory counts them (``check_total``). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import plan_pages
from ansible_collections.realtime.kvm.plugins.module_utils._memory.pools import HOST_MIB

from .model import UNKNOWN_MIB, Host, Seat

Books = dict[tuple[int, str], int]  # MiB, by NUMA node and page size


class Pages:
    """The needed pages of each NUMA node. Pages that exist and that nobody needs stay, so that pages of another size have no room there."""

    def __init__(self, host: Host, others: Iterable[Existing]) -> None:
        self.known = bool(host.total_mib)
        self.need: Books = {}
        if not self.known:
            return
        self._limit = {node: max(total - HOST_MIB, 0) for node, total in host.total_mib.items()}
        self._have = {key: count * PAGE_MIB[key[1]] for key, count in host.pages.items()}
        needs = plan_pages(
            (),
            {},
            others,
            switch_mib=host.switch_mib,
            switch_pages=host.switch_pages,
            reserve_mib=host.reserve_mib,
            nodes=sorted(host.partition.nodes.keys() & host.total_mib.keys()),
        )
        self.need = {key: need.mib for key, need in needs.items()}

    def free(self, node: int, size: str) -> int:
        """Return how much more memory (MiB) in pages of a size a NUMA node can have."""
        if not self.known or size not in PAGE_MIB:
            return UNKNOWN_MIB
        beside = sum(self._taken(node, other) for other in PAGE_MIB if other != size)
        limit = self._limit.get(node, 0)
        return max(limit - beside - self.need.get((node, size), 0), 0) if self._taken(node, size) + beside <= limit else 0

    def short(self) -> bool:
        """Whether more is needed than a NUMA node can have, so that the node's planner refuses whatever is asked."""
        nodes = {node for (node, _size), mib in self.need.items() if mib > 0}
        return any(sum(self._taken(node, size) for size in PAGE_MIB) > self._limit.get(node, 0) for node in nodes)

    def book(self, seat: Seat, size: str, sign: int) -> None:
        """Count the pages of a guest that comes (1) or leaves (-1)."""
        page = PAGE_MIB.get(size)
        if page and self.known:
            for node, mib in seat.memory:
                self.need[node, size] = self.need.get((node, size), 0) + sign * (mib // page * page)

    def _taken(self, node: int, size: str) -> int:
        return max(self.need.get((node, size), 0), self._have.get((node, size), 0))
