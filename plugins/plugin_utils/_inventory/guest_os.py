# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of the inventory that stand for the inside of a guest: each has a node, and its definition in the list of that node. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few, natural

GROUP = "realtime_guest_os"
#: What the guest's definition decides; given for its host, it would be a second list.
DERIVED = (
    "cpu_partition_cpus",
    "cpu_partition_realtime",
    "cpu_partition_smt",
    "cpu_partition_housekeeping_cores_per_node",
    "cpu_partition_dataplane_cores_per_node",
    "cpu_partition_dataplane_devices",
    "cpu_partition_shared_cores_per_node",
)
_OWN_LISTS = ("realtime_guests", "realtime_networks")


@dataclass(frozen=True)
class Inside:
    """A host that stands for the inside of a guest."""

    host: str
    node: str  # guest_os_node
    guest: str  # its name in the list of the node
    given: Collection[str] = ()  # its variables


class Insides:
    """What is wrong with them. ``guests``: those of every host, as far as they are known; ``unknown``: hosts with lists that are not."""

    def __init__(
        self,
        nodes: Collection[str],
        members: Collection[str],
        guests: Mapping[str, Sequence[Guest]],
        unknown: Collection[str] = (),
    ) -> None:
        self._nodes, self._members, self._guests, self._unknown = nodes, members, guests, unknown
        self._seen: dict[tuple[str, str], str] = {}

    def wrong(self, inside: Inside) -> Iterator[str]:
        """Yield what is wrong with a host: its variables, then its place, then the definition."""
        if second := [name for name in DERIVED if name in inside.given]:
            yield (
                f"{', '.join(second)}: the definition of guest {inside.guest} in the list of its node decides the CPU sets of its inside, so there is no "
                "second list; take the variable away from this host and its groups"
            )
        if lists := [name for name in _OWN_LISTS if name in inside.given]:
            yield (
                f"{' and '.join(lists)}: this host is the inside of a guest ({GROUP}), which has no guests of its own; give the list to the group "
                "realtime_nodes, not to all"
            )
        if inside.host in self._nodes:
            yield f"it is in realtime_nodes and in {GROUP}; a node has no definition in a list, so take it out of {GROUP}, or a guest out of realtime_nodes"
            return
        yield from self._place(inside)

    def _place(self, inside: Inside) -> Iterator[str]:
        where = self._hosts_of(inside.guest)
        known = f"; it is in the list of {few(where)}" if where else "; no list of the inventory has it"
        if not inside.node:
            yield f"guest_os_node is not given: name the host of realtime_nodes on which guest {inside.guest} runs{known}"
        elif inside.node in self._members:
            yield f"guest_os_node: {inside.node} is itself the inside of a guest ({GROUP}); guests of guests are not set up{known}"
        elif inside.node not in self._nodes:
            yield f"guest_os_node: {inside.node} is no host of realtime_nodes{known}"
        elif inside.node not in self._unknown:
            yield from self._definition(inside, where)

    def _definition(self, inside: Inside, where: Sequence[str]) -> Iterator[str]:
        named = {guest.name: guest for guest in self._guests.get(inside.node, ())}
        guest = named.get(inside.guest)
        if guest is None or guest.state == "absent":
            gone = (
                "has it as absent" if guest else f"has no guest {inside.guest}, but {few(sorted(named, key=natural)) or 'none'}"
            )
            others = [host for host in where if host != inside.node]
            remedy = f"set guest_os_node: {others[0]}" if others else "correct guest_os_guest, or take this host out of the group"
            yield f"guest_os_node: the list of {inside.node} {gone}; {remedy}"
            return
        other = self._seen.setdefault((inside.node, inside.guest), inside.host)
        if other != inside.host:
            yield f"guest_os_guest: {inside.guest} of {inside.node} is also what {other} stands for; a guest has one host in {GROUP}"
        what = f"realtime_guests of {inside.node}: {guest.name}"
        if guest.guest_os != "linux":
            yield f"{what}: guest_os {guest.guest_os}: only the inside of a Linux guest can be set up; take this host out of {GROUP}"
        elif not guest.realtime_vcpus:
            yield f"{what} has no real-time vCPU, so its inside needs no partition; give it realtime_vcpus there, or take this host out of {GROUP}"
        elif 0 in guest.realtime_vcpus:
            yield (
                f"{what}: realtime_vcpus {format_cpulist(guest.realtime_vcpus)} holds vCPU 0, which boots the guest's Linux and is never isolated; leave it out"
            )

    def _hosts_of(self, guest: str) -> list[str]:
        found = [
            host for host, guests in self._guests.items() if any(one.name == guest and one.state != "absent" for one in guests)
        ]
        return sorted(found, key=natural)
