# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what hosts have answered and the inventory says to a plan. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import unknown_keys
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few

from .digests import inputs_digest
from .document import plan_document
from .groups import Lost
from .model import Host, Options, PlacementError, Wish
from .placing import place_guests
from .read import read_host
from .request import GUESTS, WHAT_IF, Listed, Request, check_unread, read_options, read_request
from .values import DEVICES, DOMAINS, read_devices, read_domains
from .whatif import more_guests, more_hosts

_WHAT_IF = ("hosts", "guests")


@dataclass
class Given:
    """Everything that a placement is made from."""

    hosts: Sequence[str]
    answers: Mapping[str, Mapping[str, Any]]  # results of rt_node_info
    lists: Mapping[str, Listed]
    values: Mapping[str, Mapping[str, Any]]  # the hosts' variables
    fleet: Any  # realtime_place_guests
    rules: Any = ()
    drain: Any = ()
    strategy: Any = None
    moves: Any = None
    overcommit: Any = None
    work: Any = None
    what_if: Any = None
    read: dict[str, Host] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    request: Request = field(default_factory=Request)
    options: Options = field(default_factory=Options)
    digest: str = ""

    @property
    def lost(self) -> Lost:
        """The guests of hosts that take no part, with these hosts' fault domains, which the inventory has."""
        away = self.request.away
        return Lost(away, {host: read_domains(self.values[host][DOMAINS]) for host in sorted(set(away.values()))})

    def with_entries(self, fleet: Sequence[Mapping[str, Any]], lists: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Wish]:
        """Return the guests with their entries as the inventory has written them."""
        written = {str(item["name"]): item for host in sorted(lists) for item in lists[host] if item.get("state") != "absent"}
        written.update({str(item["name"]): item for item in fleet})
        entries = {name: {key: value for key, value in item.items() if key != "placement"} for name, item in written.items()}
        return [replace(wish, given=entries.get(wish.name, wish.given)) for wish in self.request.wishes]


def take_in(given: Given) -> Given:
    """Read everything; ``PlacementError`` with all that is wrong with it."""
    faults: list[str] = []
    for name in ("networks", "guests"):
        for host in given.hosts:
            value = getattr(given.lists[host], name)
            if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
                faults.append(f"{host}: realtime_{name} is no list")
    if not isinstance(given.fleet, Sequence) or isinstance(given.fleet, (str, bytes)):
        faults.append(f"{GUESTS} is no list")
    if not isinstance(given.what_if or {}, Mapping) or (
        unknown := [str(key) for key in given.what_if or {} if key not in _WHAT_IF]
    ):
        faults.append(
            f"{WHAT_IF}: {unknown_keys(unknown, _WHAT_IF)}" if isinstance(given.what_if, Mapping) else f"{WHAT_IF} is no mapping"
        )
    faults += list(_value_faults(given))
    sites = sorted({str(given.values[host]["realtime_site"]) for host in given.hosts})
    if len(sites) > 1:
        faults.append(
            f"realtime_site: hosts of several sites ({few([site or 'none' for site in sites], 80)}) take part, and a guest's UUID and MACs come from its site; "
            "run place for one site (--limit)"
        )
    if faults:
        raise PlacementError("\n".join(faults))
    _read_hosts(given)
    options, drained, faults = read_options(vars(given), given.hosts)
    given.options = options
    given.read = {name: replace(host, drained=True) if name in drained else host for name, host in given.read.items()}
    given.request = read_request(given.fleet, given.lists, given.read, given.rules or [], sites[0] if sites else "")
    given.request.faults += faults
    check_unread(given.request)
    hosts = [given.read[name] for name in sorted(given.read)]
    wishes = sorted(given.request.wishes, key=lambda wish: wish.name)
    lost = given.lost
    more = {
        "away": given.request.away,
        "domains": {name: dict(found) for name, found in lost.domains.items()},
        "homes": given.request.homes,
        "what_if": given.what_if or {},
    }
    given.digest = inputs_digest(hosts, given.unread, wishes, given.request.rules, options, more)
    return given


def _value_faults(given: Given) -> Iterator[str]:
    """Yield what is wrong with the fault domains and devices of any host, also of one that takes no part."""
    for host in given.hosts:
        yield from _faults_of(host, lambda values: read_domains(values[DOMAINS]), given.values[host])
        yield from _faults_of(host, lambda values: read_devices(values[DEVICES]), given.values[host])


def _faults_of(host: str, read: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any]) -> Iterator[str]:
    try:
        read(values)
    except PlacementError as error:
        yield f"{host}: {error}"


def _read_hosts(given: Given) -> None:
    for name in given.hosts:
        try:
            networks = parse_networks(given.lists[name].networks)
        except RefusalError as error:
            given.unread[name] = plain(str(error), 300)
            continue
        host, why = read_host(name, given.answers[name], networks, given.values[name])
        if host is None:
            given.unread[name] = why
        else:
            given.read[name] = host


def make_plan(given: Given) -> dict[str, Any]:
    """Return the plan; ``PlacementError`` where no host can be read at all."""
    if not given.read:
        parts = [f"{name}: {why}" for name, why in sorted(given.unread.items())]
        raise PlacementError(f"no host can take guests: {few(parts, 600, 5) or 'there is none'}")
    asked = given.what_if or {}
    hosts = more_hosts([given.read[name] for name in sorted(given.read)], asked.get("hosts"))
    request = given.request
    placed = place_guests(hosts, request.wishes, request.rules, given.options, homes=request.homes, lost=given.lost)
    more: dict[str, Any] = {}
    if asked.get("guests"):
        counts = more_guests(placed, {wish.name: wish for wish in request.wishes}, asked["guests"])
        more = {name: {"more": sum(found.values()), "hosts": found} for name, found in counts.items()}
    if asked:
        more = {"hosts": [host.name for host in hosts if host.name not in given.read], "guests": more}
    return plan_document(placed, given.digest, away=request.away, unread=given.unread, what_if=more)
