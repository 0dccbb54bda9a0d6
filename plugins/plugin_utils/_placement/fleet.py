# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and guests while they are placed: who is where, and which seat suits a guest best. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import islice

from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import PinningError

from .bans import Bans
from .groups import Groups, Lost
from .model import Host, Options, Rule, Seat, Wish
from .reach import kind_of, obstacle
from .room import Room, Saved
from .slots import Slots

#: Up to so many hosts all seats are compared; beyond, those of the tightest buckets.
FEW_HOSTS = 64
#: How many buckets are compared, and how many slots of one, where wishes or the way to the switch matter.
BUCKETS, DEEP = 8, 16


class Fleet:
    """The rooms of all hosts, and the seats of all guests."""

    def __init__(
        self,
        hosts: Sequence[Host],
        rules: Sequence[Rule] = (),
        options: Options | None = None,
        leaving: Mapping[str, frozenset[str]] | None = None,
        *,
        bans: Bans | None = None,
        lost: Lost | None = None,
    ) -> None:
        self.options = options or Options()
        self.bans = bans or Bans()
        self.hosts = tuple(hosts)
        self.rooms = [
            Room(host, index, self.options.overcommit, (leaving or {}).get(host.name, frozenset()))
            for index, host in enumerate(self.hosts)
        ]
        self.by_name = {room.host.name: room for room in self.rooms}
        self.groups = Groups(rules, self.hosts, lost)
        self.at: dict[str, Room] = {}  # the room of each placed guest
        self.origin: dict[str, int | None] = {}  # the NUMA nodes of guests on the host that they came with
        self.work = self.options.work  # attempts that are left
        self.mib_per_core = 1  # what guests ask on average; decides which rest of a NUMA node is useful
        self._eligible: dict[Hashable, tuple[int, ...]] = {}
        self._kept: list[dict[int, Saved]] = []  # of each room that was changed, by transaction
        self._indexed = len(self.hosts) > FEW_HOSTS
        self._slots: dict[int, Slots] = {}
        for room in self.rooms:
            self._index(room)

    # -- who is where ------------------------------------------------------------------------------

    def add(self, wish: Wish, room: Room, node: int | None) -> bool:
        """Put a guest into a room; False where it does not fit."""
        self.work -= 1  # an attempt, whatever comes of it
        self._keep(room)
        if not room.add(wish, node):
            return False
        self._enter(wish.name, room)
        return True

    def remove(self, name: str) -> bool:
        """Take a guest away; False where it cannot be."""
        room = self.at[name]
        self._keep(room)
        if not room.remove(name):
            return False
        del self.at[name]
        self.groups.leave(name, room.host.name)
        self._index(room)
        return True

    def put_back(self, wish: Wish, seat: Seat) -> None:
        """Let a guest that found no other host sit where it was."""
        room = self.by_name[seat.host]
        self._keep(room)
        room.put_back(wish, seat)
        self._enter(wish.name, room)

    def begin(self) -> None:
        """Begin changes that may be undone together."""
        self._kept.append({})

    def commit(self) -> None:
        """Keep the changes since the last ``begin``."""
        kept = self._kept.pop()
        if self._kept:
            self._kept[-1] = {**kept, **self._kept[-1]}

    def rollback(self) -> None:
        """Undo the changes since the last ``begin``."""
        kept = self._kept.pop()
        for index in kept:
            room = self.rooms[index]
            for name in room.wishes:
                self.groups.leave(name, room.host.name)
                self.at.pop(name, None)
        for index, saved in kept.items():
            room = self.rooms[index]
            room.restore(saved)
            for name in saved.wishes:
                self.groups.enter(name, room.host.name)
                self.at[name] = room
            self._index(room)

    def _keep(self, room: Room) -> None:
        if self._kept and room.index not in self._kept[-1]:
            self._kept[-1][room.index] = room.saved()

    def sit(self, room: Room, wishes: Sequence[tuple[Wish, int | None]]) -> None:
        """Take up what a host has already; ``PinningError`` where its planner refuses it as it is."""
        before = room.saved()
        room.wishes = {wish.name: (wish, node) for wish, node in wishes}
        try:
            room.settle()
        except PinningError:
            room.restore(before)
            raise
        room.wishes = {wish.name: (wish, room.seats[wish.name].node) for wish, _node in wishes}
        room.exact = not room.host.uniform or any(not wish.counted for wish, _node in wishes)
        for wish, _node in wishes:
            if wish.name not in self.at:
                self.groups.enter(wish.name, room.host.name)
                self.at[wish.name] = room
                self.origin[wish.name] = room.seats[wish.name].node
        self._index(room)

    def _enter(self, name: str, room: Room) -> None:
        self.groups.enter(name, room.host.name)
        self.at[name] = room
        self._index(room)

    def _index(self, room: Room) -> None:
        if not self._indexed:
            return
        slots = self._slots.setdefault(room.width, Slots())
        for node, cores in room.cores.items():
            slots.set(room.index, node, cores, min(room.memory[node], room.slack))
        self._slots.setdefault(0, Slots()).set(room.index, -1, room.floating, room.slack)

    # -- where a guest could go --------------------------------------------------------------------

    def eligible(self, wish: Wish) -> tuple[int, ...]:
        """Return the hosts that a guest could be on if they were empty."""
        kind = kind_of(wish)
        found = self._eligible.get(kind)
        if found is None:
            found = tuple(room.index for room in self.rooms if not obstacle(wish, room.host))
            self._eligible[kind] = found
        if self.bans.entries or self.bans.closed:
            return tuple(index for index in found if not self.bans.refusal(wish, self.hosts[index].name))
        return found

    def obstacle(self, wish: Wish, room: Room) -> str:
        """Return why a guest cannot be on a host however empty it is, an empty text if it can."""
        return obstacle(wish, room.host) or self.bans.refusal(wish, room.host.name)

    def nodes(self, wish: Wish, room: Room) -> Sequence[int | None]:
        """Return the NUMA nodes of a host that a guest could be on; None where the node's planner chooses."""
        if not wish.strict:
            return (None,)
        if room.host.name == wish.home and wish.name in self.origin:
            return (self.origin[wish.name],)  # its memory is there
        if wish.guest.numa_node is not None:
            return (wish.guest.numa_node,)
        return list(room.cores)

    def best(self, wish: Wish, mode: int = 0) -> tuple[Room, int | None] | None:
        """Return the seat that suits a guest best, None where there is none now."""
        candidates = self._near(wish) if self._indexed and len(self.eligible(wish)) > FEW_HOSTS else self._all(wish)
        found = min(((self.score(wish, room, node, mode), room.index, node) for room, node in candidates), default=None)
        return None if found is None else (self.rooms[found[1]], found[2])

    def seat(self, wish: Wish, mode: int = 0) -> bool:
        """Put a guest where it suits best; False where it fits nowhere."""
        self.work -= 1
        found = self.best(wish, mode)
        if found is not None and self.add(wish, *found):
            return True
        if found is None or (wish.counted and not found[0].exact):
            return False
        ranked = sorted((self.score(wish, room, node, mode), room.index, node) for room, node in self._all(wish))
        return any(self.add(wish, self.rooms[index], node) for _score, index, node in ranked)

    def _all(self, wish: Wish) -> Iterator[tuple[Room, int | None]]:
        bound = self.groups.bound(wish.name)
        for index in self.eligible(wish):
            room = self.rooms[index]
            if bound and not self.groups.allows(wish.name, room.host.name):
                continue
            for node in self.nodes(wish, room):
                if room.count(wish, node) is not None:
                    yield room, node

    def _near(self, wish: Wish) -> Iterator[tuple[Room, int | None]]:
        """Yield the seats in the tightest buckets, or the widest, of each width of core."""
        allowed = frozenset(self.eligible(wish)) if len(self.eligible(wish)) < len(self.hosts) else None
        for width, slots in self._slots.items():
            if (width == 0) != (not wish.guest.realtime) or (width and wish.cores(width) is None):
                continue
            if wish.guest.realtime and not wish.strict:
                yield from self._all(wish)
                return
            size = (wish.cores(width) or 0) if width else wish.guest.vcpus
            look = slots.widest if self.options.strategy == "spread" else slots.tightest
            buckets = look(size, wish.guest.memory_mib)
            filled = (found for bucket in buckets if (found := list(islice(self._fitting(wish, bucket, allowed), DEEP))))
            for found in islice(filled, BUCKETS):
                yield from found

    def _fitting(
        self, wish: Wish, bucket: Iterator[tuple[int, int, int]], allowed: frozenset[int] | None
    ) -> Iterator[tuple[Room, int | None]]:
        name, bound = wish.name, self.groups.bound(wish.name)
        wanted = wish.guest.numa_node
        for _memory, index, node in bucket:
            room = self.rooms[index]
            if (allowed is not None and index not in allowed) or (bound and not self.groups.allows(name, room.host.name)):
                continue
            if node >= 0 and wanted is not None and node != wanted:
                continue
            if wish.strict and room.host.name == wish.home and node != self.origin.get(name, node):
                continue
            where = node if node >= 0 else None
            if room.count(wish, where) is None:
                continue
            yield room, where
            if not bound and (not wish.guest.shared_memory or node in room.host.near_switch):
                return  # none behind it in this bucket is better

    def score(self, wish: Wish, room: Room, node: int | None, mode: int = 0) -> tuple[int, ...]:
        """Return how well a seat suits a guest; the least is best.

        First the wishes of groups, then the way to the switch, as the node's planner has it, then the strategy. The rest of a NUMA node is judged by
        cores and memory together, since either alone is of no use.
        """
        penalty = self.groups.penalty(wish.name, room.host.name) if self.groups.bound(wish.name) else 0
        far = int(node is not None and wish.guest.shared_memory and node not in room.host.near_switch)
        if node is None:
            cores, memory = room.floating - wish.guest.vcpus, room.slack - wish.guest.memory_mib
            useful = 0
        else:
            cores, memory = room.cores[node] - (wish.cores(room.width) or 0), room.memory[node] - wish.guest.memory_mib
            useful = cores * self.mib_per_core
        if self.options.strategy == "spread":
            total = max(
                len(room.host.partition.sets["realtime"]) // room.width if wish.guest.realtime else len(room.host.floating), 1
            )
            free = sum(room.cores.values()) if wish.guest.realtime else room.floating
            return penalty, far, -(1000 * free // total), -cores, -memory
        empty = int(not room.used)
        if mode == 1:
            return penalty, far, empty, abs(memory - useful), cores
        if mode == 2:
            return penalty, far, 0, cores, memory
        return penalty, far, empty, cores * self.mib_per_core + abs(memory - useful), memory
