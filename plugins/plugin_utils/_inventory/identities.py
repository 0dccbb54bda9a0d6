# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be there once only in a whole inventory: a guest's name at its site, its UUID, its MACs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._guests.fragment import macs_of
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import uuid_of

try:
    from netaddr import EUI

    HAS_NETADDR = True
except ImportError:
    HAS_NETADDR = False

MISSING = (
    "realtime.kvm compares the MACs of guests with the Python library netaddr, which this machine lacks. Install it for the Python that runs Ansible "
    "(pip install netaddr, or the package python3-netaddr), or into the execution environment (meta/execution-environment.yml asks for it)"
)


@dataclass(frozen=True)
class Owner:
    """A host with its guests."""

    host: str
    guests: Sequence[Guest]
    site: str = ""  # realtime_site, from which UUIDs and MACs are derived, as from the name
    asked: bool = True  # whether the run works on it


class Identities:
    """Remembers who has which name, UUID and MAC; each owner is looked at once."""

    def __init__(self) -> None:
        self._owners: dict[Any, tuple[Owner, str]] = {}

    def clashes(self, owner: Owner) -> Iterator[tuple[str, str]]:
        """Yield host and refusal for each guest that has something of a guest on an earlier host. Guests of one host are compared where they are read.

        Where neither host is asked, nothing is said: this run changes neither. A guest that moved is ``absent`` on its old host and has nothing there.
        """
        for guest in owner.guests:
            if guest.state == "absent":
                continue
            me = (owner, guest.name)
            named = self._owners.setdefault((owner.site, guest.name), me)
            if named[0] is not owner:
                yield from _told(named, me, _ONE_NAME)
                continue
            for what, key, shown in _identities(guest, owner.site):
                other = self._owners.setdefault(key, me)
                if other[0] is not owner:
                    yield from _told(other, me, f"{what} {shown} is also that of {{guest}} on {{host}}")


_ONE_NAME = (
    "{host} has a guest of this name too, so both would have the same UUID and MACs; give one another name, or, where it has moved, "
    "state: absent on the old node (realtime_site tells guests of two plants apart)"
)


def _told(first: tuple[Owner, str], second: tuple[Owner, str], text: str) -> Iterator[tuple[str, str]]:
    """Yield the refusal for the second host, for the first where only that is asked."""
    (host, guest), (other, of_other) = (second, first) if second[0].asked else (first, second)
    if host.asked:
        yield host.host, f"realtime_guests: {guest}: {text.format(host=other.host, guest=of_other)}"


def _identities(guest: Guest, site: str) -> Iterator[tuple[str, Any, str]]:
    """Yield kind, key and text of what only this guest may have."""
    if own := uuid_of(guest, site):
        yield "uuid", own.lower(), own if guest.uuid else f"{own}, derived from its name,"
    for mac in macs_of(guest):
        yield "MAC", int(EUI(mac)), mac
