# SPDX-License-Identifier: GPL-3.0-or-later
"""How many huge pages guests and switch need on each NUMA node, and whether a node can have them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._cpus.errors import RefusalError
from .._cpus.pages import PAGE_MIB
from .._guests.guest import Guest
from .._guests.pinning import Existing, Placement

SWITCH = "the switch"
RESERVE = "kvm_host_hugepages_reserve"

#: Memory of a node in MiB that stays free when pages are made while the node is in use.
MARGIN_MIB = 128

Key = tuple[int, str]  # NUMA node and page size


class HugepageError(RefusalError):
    """Pages cannot be had; the message says how many are asked for, by whom, and what there is."""


@dataclass
class Need:
    """The pages of one size that are needed on one NUMA node, and by whom."""

    node: int
    size: str  # 2M or 1G
    users: dict[str, int] = field(default_factory=dict)  # pages by name

    @property
    def pages(self) -> int:
        """The pages of all users together."""
        return sum(self.users.values())

    @property
    def mib(self) -> int:
        return self.pages * PAGE_MIB[self.size]

    def describe(self, unit_mib: int = 1) -> str:
        """Say who needs how many (with ``unit_mib``: how much memory)."""
        return ", ".join(f"{user} {pages * unit_mib}" for user, pages in self.users.items())


def plan_pages(
    guests: Sequence[Guest],
    placements: Mapping[str, Placement],
    existing: Iterable[Existing] = (),
    *,
    held: Mapping[str, Mapping[Key, int]] | None = None,
    switch_mib: Mapping[int, int] | None = None,
    switch_pages: str = "2M",
    reserve_mib: Mapping[str, Any] | None = None,
    nodes: Iterable[int] = (),
) -> dict[Key, Need]:
    """Return what is needed, by node and page size.

    ``existing`` are all domains that libvirt knows: those that are not listed keep what they have, whoever made them. One
    that is bound to no NUMA node counts with the pages that it has now, if it runs (``held``). ``reserve_mib`` is
    memory by page size that each of ``nodes`` keeps for others.
    """
    listed = {guest.name for guest in guests}
    asked = [*_of_guests(guests, placements)]
    asked += [item for domain in existing if domain.name not in listed for item in _of_domain(domain, held or {})]
    asked += [(node, switch_pages, SWITCH, -(-mib // PAGE_MIB[switch_pages])) for node, mib in (switch_mib or {}).items()]
    reserve = check_reserve(reserve_mib or {})
    asked += [(node, size, RESERVE, mib // PAGE_MIB[size]) for node in nodes for size, mib in reserve.items()]
    needs: dict[Key, Need] = {}
    for node, size, user, pages in asked:
        if pages > 0:
            users = needs.setdefault((node, size), Need(node, size)).users
            users[user] = users.get(user, 0) + pages
    return dict(sorted(needs.items()))


def _of_guests(guests: Sequence[Guest], placements: Mapping[str, Placement]) -> Iterator[tuple[int, str, str, int]]:
    for guest in guests:
        if guest.state != "absent" and guest.hugepages != "none":
            page = PAGE_MIB[guest.hugepages]
            for node, mib in placements[guest.name].memory_by_node(guest.memory_mib, page).items():
                yield node, guest.hugepages, guest.name, mib // page


def _of_domain(domain: Existing, held: Mapping[str, Mapping[Key, int]]) -> Iterator[tuple[int, str, str, int]]:
    if domain.hugepages == "none":
        return
    if not domain.nodes:
        for (node, size), pages in held.get(domain.name, {}).items():
            yield node, size, domain.name, pages
    page = PAGE_MIB[domain.hugepages]
    share = Placement(domain.name, domain.nodes, {}, frozenset()).memory_by_node(domain.memory_mib, page)
    for node, mib in share.items():
        yield node, domain.hugepages, domain.name, -(-mib // page)


def check_reserve(reserve_mib: Mapping[str, Any]) -> dict[str, int]:
    """Return the reserve; refuse one that is not whole pages in MiB by page size."""
    for size, mib in reserve_mib.items():
        if size not in PAGE_MIB:
            raise HugepageError(f"{RESERVE}: {size!r} is not a page size; choose one of {', '.join(PAGE_MIB)}")
        if isinstance(mib, bool) or not isinstance(mib, int) or mib < 0:
            raise HugepageError(f"{RESERVE}: {size}: {mib!r} is not a number of MiB per NUMA node")
        page = PAGE_MIB[size]
        if mib % page:
            raise HugepageError(f"{RESERVE}: {size}: {mib} is no multiple of {page} MiB; {(mib // page + 1) * page} is")
    return dict(reserve_mib)


def check_total(needs: Iterable[Need], total_mib: Mapping[int, int], have: Mapping[Key, int], host_mib: int) -> None:
    """Refuse more pages than a node has memory, of which ``host_mib`` are the operating system's.

    ``have`` are the pages there are. Those beyond what is needed are somebody's and stay.
    """
    by_node: dict[int, dict[str, Need]] = {}
    for need in needs:
        by_node.setdefault(need.node, {})[need.size] = need
    for node, wanted in sorted(by_node.items()):
        total = total_mib.get(node, 0)
        others = {
            size: have.get((node, size), 0) * page - (wanted[size].mib if size in wanted else 0)
            for size, page in PAGE_MIB.items()
        }
        beside = sum(mib for mib in others.values() if mib > 0)
        asked = sum(need.mib for need in wanted.values())
        room = max(total - host_mib - beside, 0)
        if asked > room:
            who = ", ".join(need.describe(PAGE_MIB[need.size]) for need in wanted.values())
            taken = f" and {beside} are in huge pages beyond these" if beside else ""
            raise HugepageError(
                f"realtime_guests: NUMA node {node} has {total} MiB of memory, of which {host_mib} are left to the operating system{taken}; "
                f"{asked} MiB of huge pages are asked for ({who}), {room} can be had. Give guests less memory_mib or another numa_node, "
                f"or the switch less (ovs_dpdk_socket_memory_mib)"
            )


def check_free(need: Need, have: int, free_mib: int) -> None:
    """Refuse pages that a node in use has not the memory for. ``have``: pages there are."""
    missing = (need.pages - have) * PAGE_MIB[need.size]
    room = max(free_mib - MARGIN_MIB, 0)
    if missing > room:
        raise HugepageError(
            f"realtime_guests: NUMA node {need.node} has {have} huge pages of {need.size} and needs {need.pages} ({need.describe()}): {missing} MiB more, "
            f"but only {room} MiB are free for that now. Stop what uses the memory, or reboot the node, and run this again; or give guests less memory_mib"
        )
