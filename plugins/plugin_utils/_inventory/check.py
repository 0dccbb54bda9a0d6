# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is wrong with the variables of many hosts, found without a connection. Pure: the caller looks variables up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import IMAGE_FOLDER
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_reader import path_fault
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import natural

from .guest_os import GROUP, Inside, Insides
from .guests import HostGuests, Later, read_host
from .identities import Identities, Owner
from .known import BATCHES, GROUPS, PLACED, PLACED_FILE, PLACED_FILES, Known
from .openstack import Physnets, physnets_of, wrong_values
from .refusals import Refusals, named
from .templates import Worked, is_plain
from .variables import Names, Values

#: Worked out for each host; the others are checked where they are no templates.
_LISTS = ("realtime_guests", "realtime_networks")
#: The highest real-time priority there is, for a limit that the controller does not know.
_ANY_PRIORITY = 99
PLAY, WHOLE = "playbook", "inventory"
END = "Nothing was changed on any node, and none was asked."
SILENCE = "Variables of other programs whose names begin like those of this collection: list them in realtime_known_variables."


@dataclass(frozen=True)
class Inventory:
    """What is looked at."""

    raw: Callable[[str], Mapping[str, Any]]  # a host's variables, as they are written
    worked: Callable[[Mapping[str, Any]], Worked]  # works out values with such variables
    asked: Sequence[str]  # the hosts of the run
    everyone: Collection[str] = ()  # all hosts
    nodes: Collection[str] = ()  # those of the group realtime_nodes
    play: Mapping[str, Any] | None = None  # the play's own variables, which win over the hosts'
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)  # all groups with their hosts
    made: Mapping[str, Collection[str]] = field(
        default_factory=dict
    )  # those that this run has made, with the hosts that it put there


class Check:
    """One look at an inventory; ``refusals`` grows with each part."""

    def __init__(self, inventory: Inventory, known: Known) -> None:
        self._inventory, self._known = inventory, known
        self._play = inventory.play or {}
        self._workers: dict[str, Worked] = {}
        self.refusals = Refusals()
        self._hosts = {host: self._raw(host) for host in sorted(inventory.asked, key=natural)}
        self.unknown = False  # whether a name was refused
        self.guests_read = 0
        self.unread: list[str] = []  # hosts beyond the run whose variables cannot be read

    def variables(self) -> None:
        """Check names and values of the variables of hosts and play."""
        names, values = Names(self._known), Values(self._known.options)
        checked = self._known.options.keys() - set(_LISTS)
        for host, given in [*self._hosts.items(), (PLAY, self._play)]:
            for text in names.unknown(given, partial(self._silenced, host)):
                self.refusals.add(host, text)
                self.unknown = True
            for text in values.wrong({name: value for name, value in given.items() if name in checked and is_plain(value)}):
                self.refusals.add(host, text)
        for name in sorted(BATCHES):
            self._one_for_all(name)

    def _one_for_all(self, name: str) -> None:
        """Refuse hosts whose value of what divides a whole play differs from the first one's."""
        if name in self._play:
            return
        given = {host: self._value(host, name, None) for host in self._hosts if name in self._hosts[host]}
        said = {host: str(given[host]) if given.get(host) else "not given" for host in self._hosts}
        first = next(iter(said), "")
        for host, text in said.items():
            if text != said[first]:
                remedy = "a run has one: set it for the whole group realtime_nodes, or with -e"
                self.refusals.add(host, f"{name} is {text} here, and {said[first]} on {first}; {remedy}")

    def groups(self) -> None:
        """Refuse groups of the inventory with names of those that the playbooks make and then work on; an earlier playbook of the run may have made them."""
        groups, made = self._inventory.groups, self._inventory.made
        for name in (name for name in GROUPS if name in groups):
            strangers = sorted(set(groups[name]) - set(made.get(name, ())), key=natural)
            for host in strangers or ([] if name in made else [WHOLE]):
                self.refusals.add(
                    host,
                    f"the group {name} has a name that the playbooks keep for a group of their own, of nodes on which they work; rename it in the inventory",
                )

    def guests(self) -> None:
        """Check networks and guests of each host, and what guests of all hosts have in common."""
        identities, physnets = Identities(), Physnets()
        read: dict[str, HostGuests] = {}
        for host in sorted([*self._hosts, *self._others], key=natural):
            asked = host in self._hosts
            found = read[host] = self._read(host)
            self.guests_read += len(found.guests) if asked else 0
            for text in found.refusals if asked else ():
                self.refusals.add(host, self._worker(host).hide(text))
            for text in self._placed(host) if asked else ():
                self.refusals.add(host, text)
            for text in self._openstack(host, physnets) if asked else ():
                self.refusals.add(host, self._worker(host).hide(text))
            for told, text in identities.clashes(Owner(host, found.guests, self._site(host), asked)):
                self.refusals.add(told, self._worker(host).hide(self._worker(told).hide(text)))
        self._insides(read)

    def _insides(self, read: Mapping[str, HostGuests]) -> None:
        """Check the hosts that stand for the inside of a guest."""
        members = self._inventory.groups.get(GROUP, ())
        unknown = {host for host, found in read.items() if found.refusals or not found.known} | set(self.unread)
        insides = Insides(self._inventory.nodes, members, {host: found.guests for host, found in read.items()}, unknown)
        for host in [host for host in self._hosts if host in members]:
            names = [self._value(host, f"guest_os_{name}", "") for name in ("node", "guest")]
            if any(isinstance(name, Later) for name in names):
                continue  # not known yet
            node, guest = (str(name or "") for name in names)
            given = {name for name, value in self._hosts[host].items() if value or value == 0}
            for text in insides.wrong(Inside(host, node, guest or host, given)):
                self.refusals.add(host, self._worker(host).hide(text))

    def warnings(self) -> list[str]:
        """Return what the check could not do."""
        hosts = named(sorted(self.unread, key=natural))
        return [f"the guests of {hosts} were not compared, since the variables of these hosts cannot be read"] if hosts else []

    def message(self) -> str:
        """Return all refusals as one text."""
        return "\n".join([*self.refusals.lines(), END, *([SILENCE] if self.unknown else [])])

    @cached_property
    def _others(self) -> dict[str, Mapping[str, Any]]:
        """The hosts beyond this run with guests of their own: a host that is no node may have inherited the list of one, from the group all."""
        nodes, seen = set(self._inventory.nodes), set()
        found: dict[str, Mapping[str, Any]] = {}
        beyond = set(self._inventory.everyone) - self._hosts.keys()
        for host in [*self._hosts, *sorted(beyond, key=lambda host: (host not in nodes, natural(host)))]:
            raw = self._hosts[host] if host in self._hosts else self._raw_beyond(host)
            listed = _listed(raw.get("realtime_guests"))
            if host in beyond and listed and (host in nodes or listed not in seen):
                found[host] = raw
            seen.add(listed)
        return found

    def _raw(self, host: str) -> Mapping[str, Any]:
        try:
            return self._inventory.raw(host)
        except AnsibleError as error:
            self.refusals.add(host, f"the variables cannot be read: {str(error).splitlines()[0]}")
            return {}

    def _raw_beyond(self, host: str) -> Mapping[str, Any]:
        try:
            return self._inventory.raw(host)
        except AnsibleError:  # in a vault of which this run has no password
            self.unread.append(host)
            return {}

    def _worker(self, host: str) -> Worked:
        if host not in self._workers:
            raw = self._hosts[host] if host in self._hosts else self._others[host]
            self._workers[host] = self._inventory.worked({**raw, **self._play} if host in self._hosts else raw)
        return self._workers[host]

    def _value(self, host: str, name: str, default: Any) -> Any:
        if host in self._hosts:
            given = self._play[name] if name in self._play else self._hosts[host].get(name, default)
        else:
            given = self._others[host].get(name, default)
        return given if is_plain(given) and not isinstance(given, list) else self._worker(host).value(given)

    def _read(self, host: str) -> HostGuests:
        networks, guests = (self._value(host, name, []) for name in reversed(_LISTS))
        folder = self._value(host, "rt_guest_image_folder", IMAGE_FOLDER)
        wrong = path_fault(folder, "a folder") if isinstance(folder, str) and folder else ""
        if wrong and host in self._hosts:
            self.refusals.add(host, self._worker(host).hide(f"rt_guest_image_folder: {wrong}"))
        folder = (
            folder if isinstance(folder, str) and folder and not wrong else IMAGE_FOLDER
        )  # not known yet, or refused for itself
        return read_host(networks, guests, site=self._site(host), priority_limit=self._limit(host), image_folder=folder)

    def _placed(self, host: str) -> list[str]:
        """Return a refusal of a folder that place has written by half, or of a list that hides the one that place has written."""
        files, own = self._hosts[host].get(PLACED_FILES), self._hosts[host].get(PLACED_FILE)
        due = files.get(host) if isinstance(files, Mapping) else None
        if due != own:
            what = "is missing" if own is None else "is of another plan than its hosts.yml"
            text = f"the inventory that place has written is not whole: host_vars/{host}.yml {what}"
            return [f"{text}. Take the whole folder as place has written it, from a commit or a copy of it"]
        placed, guests = self._hosts[host].get(PLACED), self._value(host, "realtime_guests", [])
        if not isinstance(placed, list) or not isinstance(guests, list) or not all(isinstance(item, Mapping) for item in guests):
            return []
        names = {str(item.get("name")) for item in guests}
        if not (other := sorted(names ^ set(map(str, placed)), key=natural)):
            return []
        text = (
            f"realtime_guests is not the list that place has written: they differ in {named(other)}. A stronger list hides it (-e, host_vars "
            "beside the playbook, a later inventory, or a change by hand); take that away, or leave out the inventory that place has written"
        )
        return [text]

    def _openstack(self, host: str, physnets: Physnets) -> list[str]:
        """Return what is wrong with a host's variables of Nova and Neutron."""
        clash = physnets.clash(host, physnets_of(self._value(host, "realtime_networks", [])))
        wrong = wrong_values(partial(self._value, host), self._limit(host))
        return [*wrong, *([clash] if clash else [])]

    def _limit(self, host: str) -> int:
        limit = self._value(host, "realtime_priority_limit", 1)
        try:
            return int(limit)
        except (TypeError, ValueError, OverflowError):
            return _ANY_PRIORITY  # not known yet, or refused for itself

    def _site(self, host: str) -> str:
        site = self._value(host, "realtime_site", "")
        return str(site.raw if isinstance(site, Later) else site)

    def _silenced(self, host: str) -> list[str]:
        name = "realtime_known_variables"
        given = self._value(host, name, []) if host in self._hosts else self._play.get(name, [])
        return [str(item) for item in given] if isinstance(given, (list, tuple)) else str(given).split(",")


def _listed(guests: Any) -> Any:
    """Return what tells one list of guests from another."""
    if isinstance(guests, (list, tuple)):
        return tuple(str(item.get("name")) if isinstance(item, Mapping) else str(item) for item in guests)
    return str(guests) if guests else ""
