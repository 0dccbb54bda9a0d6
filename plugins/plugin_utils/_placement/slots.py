# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the NUMA nodes with just enough room among thousands. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

#: Free memory, number of the host, NUMA node (-1: the host as a whole).
Slot = tuple[int, int, int]


class Slots:
    """Slots in buckets of equal room (free cores, or vCPUs that may float), each sorted by free memory."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[Slot]] = {}
        self._sizes: list[int] = []  # of the buckets that hold any, ascending
        self._where: dict[tuple[int, int], tuple[int, int]] = {}

    def set(self, host: int, node: int, size: int, memory: int) -> None:
        """Tell the room of a slot."""
        before = self._where.get((host, node))
        if before == (size, memory):
            return
        if before is not None:
            self._drop(host, node, *before)
        self._where[host, node] = (size, memory)
        bucket = self._buckets.get(size)
        if bucket is None:
            self._buckets[size] = [(memory, host, node)]
            insort(self._sizes, size)
        else:
            insort(bucket, (memory, host, node))

    def _drop(self, host: int, node: int, size: int, memory: int) -> None:
        bucket = self._buckets[size]
        del bucket[bisect_left(bucket, (memory, host, node))]
        if not bucket:
            del self._buckets[size]
            del self._sizes[bisect_left(self._sizes, size)]

    def tightest(self, size: int, memory: int) -> Iterator[Iterator[Slot]]:
        """Yield each bucket with enough room, the smallest first, and of each the slots with enough memory, the least first."""
        for found in self._sizes[bisect_left(self._sizes, size) :]:
            yield self._enough(self._buckets[found], memory)

    def widest(self, size: int, memory: int) -> Iterator[Iterator[Slot]]:
        """Yield each bucket with enough room, the largest first, and of each the slots with enough memory, the most first."""
        for found in reversed(self._sizes[bisect_left(self._sizes, size) :]):
            bucket = self._buckets[found]
            yield (slot for slot in reversed(bucket) if slot[0] >= memory)

    @staticmethod
    def _enough(bucket: list[Slot], memory: int) -> Iterator[Slot]:
        for at in range(bisect_left(bucket, (memory, -1, -1)), len(bucket)):
            yield bucket[at]
