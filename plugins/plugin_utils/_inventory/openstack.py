# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller can know to be wrong with the variables of Nova and Neutron, by the rules of the modules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import check_reserve
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.nova import check_priority
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import TraitError, physnet_trait, physnet_traits


def wrong_values(value: Callable[[str, Any], Any], limit: int) -> Iterator[str]:
    """Yield what is wrong with a host's values; ``value(name, default)`` returns one, ``limit`` is the highest priority of guests' threads."""
    priority = value("nova_compute_priority", 1)
    reserve = value("nova_compute_hugepages_reserve", {})
    if isinstance(priority, str) and priority.strip().isdecimal():
        priority = int(priority)
    try:
        if isinstance(priority, int) and not isinstance(priority, bool):  # other types are refused for themselves
            check_priority(priority, limit)
        if isinstance(reserve, Mapping) and all(isinstance(mib, int) for mib in reserve.values()):
            check_reserve({str(size): mib for size, mib in reserve.items()}, "nova_compute_hugepages_reserve")
    except RefusalError as error:
        yield str(error)


def physnets_of(networks: Any) -> list[str]:
    """Return the names of a host's physical networks; none where its networks are not known or not sound, which is said elsewhere."""
    if not isinstance(networks, Sequence) or isinstance(networks, (str, bytes)):
        return []
    try:
        found = parse_networks(networks).values()
    except RefusalError:
        return []
    return [network.physical_network for network in found if network.physical_network is not None and network.state == "present"]


class Physnets:
    """The physical networks of all hosts: a trait is the whole cloud's."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, str]] = {}  # trait to name and host

    def clash(self, host: str, names: Sequence[str]) -> str:
        """Return what is wrong with a host's names beside those of the hosts before it, an empty text where nothing is."""
        for name in names:
            other, first = self._first.setdefault(physnet_trait(name), (name, host))
            try:
                physnet_traits([other, name])
            except TraitError as error:
                return f"{error} ({other} is of {first})" if first != host else str(error)
        return ""
