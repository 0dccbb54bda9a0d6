# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is free on a host, and what a guest would take of it. Pure.

The node's own planner (``pinning.place``) decides. Where cores and memory can be counted, its answer is known beforehand: it fills whole cores,
takes any free core of a NUMA node, and memory of that node. What cannot be counted is asked of it at once, and every host at the end.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import PinningError, Placement, place
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import check_total, plan_pages
from ansible_collections.realtime.kvm.plugins.module_utils._memory.pools import HOST_MIB

from .model import UNKNOWN_MIB, Host, Seat, Wish, as_written
from .pages import Books, Pages


def arrange(host: Host, placed: Sequence[tuple[Wish, int | None]], leaving: frozenset[str] = frozenset()) -> dict[str, Placement]:
    """Return where the node's planner puts guests, each with its NUMA node where it has one; ``PinningError`` where it refuses them.

    Domains that are not among the guests stay, except those of guests that leave. The planner takes guests one after the other, so it is asked in
    the order in which they are written.
    """
    nodes = {wish.name: node for wish, node in placed}
    guests = [wish.on(host, nodes[wish.name]) for wish in as_written(wish for wish, _node in placed)]
    stay = [domain for domain in host.existing if domain.name not in leaving]
    return place(host.partition, host.topology, guests, stay, memory_mib=host.memory_mib, polling=host.polling)


def check_pages(
    host: Host,
    placed: Sequence[tuple[Wish, int | None]],
    placements: Mapping[str, Placement],
    leaving: frozenset[str] = frozenset(),
) -> None:
    """Refuse huge pages that the node's planner of memory refuses, with ``HugepageError``; domains of guests that leave need none."""
    if not host.total_mib:
        return
    guests = [wish.on(host, node) for wish, node in placed]
    needs = plan_pages(
        guests,
        placements,
        [domain for domain in host.existing if domain.name not in leaving],
        switch_mib=host.switch_mib,
        switch_pages=host.switch_pages,
        reserve_mib=host.reserve_mib,
        nodes=sorted(host.partition.nodes.keys() & host.total_mib.keys()),
    )
    check_total(needs.values(), host.total_mib, host.pages, HOST_MIB)


#: So many answers of its node's planner are remembered of each host: a search asks the same again and again.
MOST_ASKED = 2000


class Saved(NamedTuple):
    """What a room was before changes."""

    wishes: dict[str, tuple[Wish, int | None]]
    seats: dict[str, Seat]
    cores: dict[int, int]
    memory: dict[int, int]
    slack: int
    floating: int
    exact: bool
    gone: frozenset[str]
    pages: Books
    overfull: bool
    devices: dict[str, int]


class Room:
    """What is free on one host while guests are placed."""

    def __init__(self, host: Host, index: int, overcommit: int, leaving: frozenset[str] = frozenset()) -> None:
        self.host = host
        self.index = index
        self.width = host.width
        self.wishes: dict[str, tuple[Wish, int | None]] = {}
        self.seats: dict[str, Seat] = {}
        self._overcommit = overcommit
        self.gone = leaving  # guests whose domains are there and that no entry of the host keeps
        self.exact = not host.uniform
        self.cores: dict[int, int] = {}
        self.memory: dict[int, int] = {}
        self.slack = 0
        self.floating = 0
        self.devices: dict[str, int] = {}  # that no guest of the list has
        #: what the node's planner has answered; the guests are kept with it, so that no other has their identity
        self._asked: dict[Hashable, tuple[Sequence[tuple[Wish, int | None]], dict[str, Placement] | PinningError]] = {}
        self._settled: dict[Hashable, Saved] = {}  # what the guests of such an answer leave
        self._empty()
        self.overfull = self.pages.short()  # the node's planner refuses whatever is asked

    def _empty(self) -> None:
        """Count what the domains leave that are no guests of the list."""
        host, realtime = self.host, self.host.partition.sets["realtime"]
        others = [domain for domain in host.existing if domain.name not in self.wishes and domain.name not in self.gone]
        taken: frozenset[int] = frozenset().union(*(domain.cpus for domain in others))
        self.cores = dict.fromkeys(sorted(host.partition.nodes), 0)
        for core in host.topology.cores:
            members = core & realtime
            if members and not members & taken:
                self.cores[host.topology.cpus[min(members)].node] += 1
        self.memory = {
            node: (host.memory_mib or {}).get(node, 0 if host.memory_mib is not None else UNKNOWN_MIB) for node in self.cores
        }
        for node, mib in (host.memory_mib or {}).items():
            self.memory.setdefault(node, mib)  # a NUMA node without CPUs
        loose = 0
        for domain in others:
            bound = domain.memory_by_node()
            loose += max(domain.memory_mib - sum(bound.values()), 0)
            for node, mib in bound.items():
                self.memory[node] = self.memory.get(node, 0) - mib
        self.slack = sum(self.memory.values()) - loose
        self.floating = len(host.floating) * self._overcommit - sum(domain.vcpu_count for domain in others if not domain.realtime)
        self.pages = Pages(host, others)
        self.devices = dict(host.devices)

    @property
    def used(self) -> bool:
        """Whether a guest of the list is there."""
        return bool(self.seats)

    # -- what a guest would take -------------------------------------------------------------------

    def count(self, wish: Wish, node: int | None) -> Seat | None:
        """Return what a guest would take, None where it does not fit; for guests that cannot be counted, the least."""
        guest, mib = wish.guest, wish.guest.memory_mib
        if self.slack < mib or self.overfull or (wish.devices and self.lacking(wish)):
            return None
        if wish.strict:
            cores = wish.cores(self.width)
            if node is None or cores is None or self.cores.get(node, 0) < cores or self.memory_for(wish, node) < mib:
                return None
            return Seat(self.host.name, node, ((node, cores),), ((node, mib),))
        if guest.realtime:
            cores = wish.cores(self.width)
            return Seat(self.host.name) if cores is not None and sum(self.cores.values()) >= cores else None
        if self.floating < guest.vcpus:
            return None
        if guest.numa_node is not None:
            if not self.host.floating & self.host.partition.nodes.get(guest.numa_node, frozenset()):
                return None
            if self.memory_for(wish, guest.numa_node) < mib:
                return None
            return Seat(self.host.name, None, (), ((guest.numa_node, mib),), guest.vcpus)
        if guest.hugepages != "none":
            return Seat(self.host.name, floating=guest.vcpus) if max(self.memory.values(), default=0) >= mib else None
        return Seat(self.host.name, floating=guest.vcpus, loose_mib=mib)

    def memory_for(self, wish: Wish, node: int) -> int:
        """Return the memory (MiB) of a NUMA node that a guest could have, in its pages."""
        free, size = self.memory.get(node, 0), wish.guest.hugepages
        return min(free, self.pages.free(node, size)) if self.pages.known and size != "none" else free

    def lacking(self, wish: Wish) -> list[str]:
        """Return the devices that a guest asks for and that others have."""
        return sorted(name for name in wish.devices if self.devices.get(name, 0) < 1)

    # -- changes -----------------------------------------------------------------------------------

    def add(self, wish: Wish, node: int | None) -> bool:
        """Put a guest there; False, and nothing changed, where it does not fit."""
        seat = self.count(wish, node)
        if seat is None:
            return False
        if not self.exact and wish.counted:
            self._put(wish, node, seat)
            return True
        before = self.saved()
        self.wishes[wish.name] = (wish, node)
        self.exact = True
        try:
            self.settle()
        except PinningError:
            self.restore(before)
            return False
        if self.slack < 0 or self.floating < 0 or self.overfull:
            self.restore(before)
            return False
        return True

    def remove(self, name: str) -> bool:
        """Take a guest away; False, and nothing changed, where the node's planner does not place the others without it."""
        before = self.saved()
        wish, _node = self.wishes.pop(name)
        seat = self.seats.pop(name)
        if any(domain.name == name for domain in self.host.existing):
            self.gone |= {name}
        self._book(wish, seat, 1)
        self.overfull = self.overfull and self.pages.short()
        if self.exact:
            try:
                self.settle()
            except PinningError:
                self.restore(before)
                return False
            self.exact = not self.host.uniform or any(not wish.counted for wish, _node in self.wishes.values())
        return True

    def close(self, reason: str) -> None:
        """Let nothing enter: the node's planner refuses the host as it is."""
        self.host = replace(self.host, refusal=reason)
        self.wishes, self.seats = {}, {}
        self.cores = dict.fromkeys(self.cores, 0)

    def put_back(self, wish: Wish, seat: Seat) -> None:
        """Let a guest sit where it was, whatever counting says: it never left."""
        self._put(wish, seat.node, seat)
        self.exact = self.exact or not wish.counted
        if self.exact:
            with suppress(PinningError):  # the books have it; whoever asks the planner in the end is told
                self.settle()
        self.overfull = self.pages.short()

    def settle(self) -> None:
        """Let the node's planner place all guests again, and count what they leave; ``PinningError`` where it refuses them."""
        key = self._key()
        known = self._settled.get(key)
        if known is not None:
            self.seats = {name: known.seats[name] for name in self.wishes}
            self.cores, self.memory, self.devices = dict(known.cores), dict(known.memory), dict(known.devices)
            self.slack, self.floating, self.overfull = known.slack, known.floating, known.overfull
            self.pages.need = dict(known.pages)
            return
        placements = self.arranged()
        self.seats = {}
        self._empty()
        for name, (wish, node) in self.wishes.items():
            seat = self._seat(wish, node, placements[name])
            self.seats[name] = seat
            self._book(wish, seat, -1)
        self.overfull = self.pages.short()
        self._settled[key] = self.saved()

    def arranged(self) -> dict[str, Placement]:
        """Return where the node's planner puts the guests that are here now; ``PinningError`` where it refuses them."""
        key = self._key()
        found = self._asked.get(key)
        if found is None:
            if len(self._asked) > MOST_ASKED:
                self._asked.clear()
                self._settled.clear()
            found = self._asked[key] = (list(self.wishes.values()), self._ask())
        if isinstance(found[1], PinningError):
            raise found[1].with_traceback(None)
        return found[1]

    def _key(self) -> Hashable:
        """Return what the planner's answer depends on."""
        return frozenset((id(wish), node) for wish, node in self.wishes.values()), self.leaving

    def _ask(self) -> dict[str, Placement] | PinningError:
        try:
            return arrange(self.host, list(self.wishes.values()), self.leaving)
        except PinningError as error:
            return error

    @property
    def leaving(self) -> frozenset[str]:
        """The guests whose domains are there and that are here no more."""
        return self.gone.difference(self.wishes)

    def _put(self, wish: Wish, node: int | None, seat: Seat) -> None:
        self.wishes[wish.name] = (wish, node)
        self.seats[wish.name] = seat
        self._book(wish, seat, -1)

    def _book(self, wish: Wish, seat: Seat, sign: int) -> None:
        self.pages.book(seat, wish.guest.hugepages, -sign)
        for name in wish.devices:
            self.devices[name] = self.devices.get(name, 0) + sign
        for node, count in seat.cores:
            self.cores[node] += sign * count
        for node, mib in seat.memory:
            self.memory[node] += sign * mib
            self.slack += sign * mib
        self.slack += sign * seat.loose_mib
        self.floating += sign * seat.floating

    def _seat(self, wish: Wish, node: int | None, placement: Placement) -> Seat:
        guest, topology = wish.guest, self.host.topology
        cpus: frozenset[int] = frozenset()
        if guest.realtime:
            cpus = frozenset().union(*placement.vcpus.values(), placement.emulator if guest.emulator == "own" else ())
        cores: dict[int, int] = {}
        for core in {topology.core_of(cpu) for cpu in cpus}:
            home = topology.cpus[min(core)].node
            cores[home] = cores.get(home, 0) + 1
        memory = placement.memory_by_node(guest.memory_mib, PAGE_MIB.get(guest.hugepages, 1))
        loose = max(guest.memory_mib - sum(memory.values()), 0)
        if wish.strict and node is None:
            node = min(cores, default=None)
        return Seat(
            self.host.name,
            node if wish.strict else None,
            tuple(sorted(cores.items())),
            tuple(sorted(memory.items())),
            0 if guest.realtime else guest.vcpus,
            loose,
        )

    def saved(self) -> Saved:
        """Return what ``restore`` needs."""
        books = dict(self.wishes), dict(self.seats), dict(self.cores), dict(self.memory)
        return Saved(
            *books, self.slack, self.floating, self.exact, self.gone, dict(self.pages.need), self.overfull, dict(self.devices)
        )

    def restore(self, saved: Saved) -> None:
        """Undo all changes since ``saved``."""
        self.wishes, self.seats = saved.wishes, saved.seats
        self.cores, self.memory = saved.cores, saved.memory
        self.slack, self.floating, self.exact, self.gone = saved.slack, saved.floating, saved.exact, saved.gone
        self.pages.need, self.overfull, self.devices = saved.pages, saved.overfull, saved.devices
