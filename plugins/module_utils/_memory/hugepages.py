# SPDX-License-Identifier: GPL-3.0-or-later
"""How many huge pages guests and switch need on each NUMA node, and whether a node has the memory. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._cpus.errors import RefusalError
from .._cpus.pages import PAGE_MIB
from .._guests.guest import Guest
from .._guests.pinning import Existing, Placement

SWITCH = "the switch"
RESERVE = "kvm_host_hugepages_reserve"

#: Memory of a node in MiB that must stay free when pages are made at run time.
MARGIN_MIB = 128

Key = tuple[int, str]  # NUMA node and page size


class HugepageError(RefusalError):
    """Not enough pages; the message names how many are requested, by which guests, and how many are possible."""


@dataclass
class Need:
    """The pages of one size that are needed on one NUMA node, and their users."""

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
        """Return the users, each with its number of pages (with ``unit_mib``: its memory)."""
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
    """Return the needed pages, by node and page size.

    ``existing`` are all domains that libvirt knows: those that the inventory does not list keep their pages, whoever made
    them. A domain without a NUMA node counts with the pages that it has now, if it runs (``held``). ``reserve_mib`` is
    memory by page size that each of ``nodes`` keeps for other users; instances of Nova, which come and go, take theirs from it.
    """
    listed = {guest.name for guest in guests}
    asked = [*_of_guests(guests, placements)]
    others = [domain for domain in existing if domain.name not in listed]
    asked += [item for domain in others for item in _of_domain(domain, held or {})]
    drawn: dict[Key, int] = {}
    for node, size, _user, pages in (item for domain in others if domain.nova for item in _of_domain(domain, held or {})):
        drawn[node, size] = drawn.get((node, size), 0) + pages
    asked += [(node, switch_pages, SWITCH, -(-mib // PAGE_MIB[switch_pages])) for node, mib in (switch_mib or {}).items()]
    reserve = check_reserve(reserve_mib or {})
    asked += [
        (node, size, RESERVE, mib // PAGE_MIB[size] - drawn.get((node, size), 0))
        for node in nodes
        for size, mib in reserve.items()
    ]
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
    for node, mib in domain.memory_by_node(page).items():
        yield node, domain.hugepages, domain.name, -(-mib // page)


def check_reserve(reserve_mib: Mapping[str, Any], name: str = RESERVE) -> dict[str, int]:
    """Return the reserve; raise ``HugepageError`` unless it is whole pages in MiB by page size."""
    for size, mib in reserve_mib.items():
        if size not in PAGE_MIB:
            raise HugepageError(f"{name}: {size!r} is not a page size; choose one of {', '.join(PAGE_MIB)}")
        if isinstance(mib, bool) or not isinstance(mib, int) or mib < 0:
            raise HugepageError(f"{name}: {size}: {mib!r} is not a number of MiB per NUMA node")
        page = PAGE_MIB[size]
        if mib % page:
            raise HugepageError(f"{name}: {size}: {mib} is no multiple of {page} MiB; choose {(mib // page + 1) * page}")
    return dict(reserve_mib)


def check_total(needs: Iterable[Need], total_mib: Mapping[int, int], have: Mapping[Key, int], host_mib: int) -> None:
    """Refuse more pages than fit a node's memory, of which ``host_mib`` belong to the operating system.

    ``have`` are the existing pages. Those beyond the needed ones may have other users and stay.
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
        if asked and not total:
            users = ", ".join(dict.fromkeys(user for need in wanted.values() for user in need.users))
            raise HugepageError(
                f"realtime_guests: NUMA node {node} has no memory, but {users} would have huge pages there; "
                "give these guests another numa_node, or none"
            )
        if asked > room:
            who = ", ".join(need.describe(PAGE_MIB[need.size]) for need in wanted.values())
            taken = f" and {beside} are in huge pages beyond these" if beside else ""
            raise HugepageError(
                f"realtime_guests: NUMA node {node} has {total} MiB of memory, "
                f"of which {host_mib} are left to the operating system{taken}; "
                f"{asked} MiB of huge pages are requested for ({who}), "
                f"{room} are available. {_remedy({user for need in wanted.values() for user in need.users})}"
            )


def _remedy(users: Collection[str]) -> str:
    """Return what those who ask for pages could do."""
    ways = ["guests less memory_mib or another numa_node"] if set(users) - {SWITCH, RESERVE} else []
    ways += ["the switch less (ovs_dpdk_socket_memory_mib)"] if SWITCH in users else []
    ways += [f"other users less ({RESERVE})"] if RESERVE in users else []
    return f"Give {', or '.join(ways)}"


def check_free(need: Need, have: int, free_mib: int) -> None:
    """Refuse pages for which a running node has no free memory. ``have`` are the existing pages."""
    missing = (need.pages - have) * PAGE_MIB[need.size]
    room = max(free_mib - MARGIN_MIB, 0)
    if missing > room:
        raise HugepageError(
            f"realtime_guests: NUMA node {need.node} has {have} huge pages of {need.size} and needs {need.pages} "
            f"({need.describe()}): {missing} MiB more, but only {room} MiB are free for that now. "
            "Stop what uses the memory, or reboot the node, and run this again; or give guests less memory_mib"
        )
