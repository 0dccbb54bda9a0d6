# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what is asked of placement: guests, rules between them, options; everything wrong is said at once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import unknown_keys
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Guest
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.guests import read_host as read_guests
from ansible_collections.realtime.kvm.plugins.plugin_utils._natural import few

from .model import HOST, Host, Options, PlacementError, Rule, Wish
from .values import DEVICES

GUESTS, RULES, WHAT_IF = "realtime_place_guests", "realtime_place_rules", "realtime_place_what_if"
_PLACEMENT = ("hosts", "devices", "movable")
_RULE = ("name", "kind", "guests", "class", "by", "most", "required")
_KINDS = ("anti-affinity", "affinity")
#: More than the kernel's threads ever have; each host's own limit is compared with the guest's priority.
_ANY_PRIORITY = 99
MOST_COPIES = 10_000


@dataclass(frozen=True)
class Listed:
    """A host's own lists."""

    networks: Sequence[Mapping[str, Any]] = ()
    guests: Sequence[Mapping[str, Any]] = ()


@dataclass
class Request:
    """What is asked, read; ``faults`` are all that is wrong with it."""

    wishes: list[Wish] = field(default_factory=list)
    homes: dict[str, int | None] = field(default_factory=dict)  # NUMA nodes of the hosts' own entries
    away: dict[str, str] = field(default_factory=dict)  # guests of hosts that take no part: they stay there
    classes: dict[str, str] = field(default_factory=dict)  # of these guests
    rules: list[Rule] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_request(
    fleet: Sequence[Any], lists: Mapping[str, Listed], hosts: Mapping[str, Host], rules: Sequence[Any], site: str
) -> Request:
    """Return the guests and rules of a placement.

    ``fleet`` are the guests of ``realtime_place_guests``, ``lists`` the hosts' own; ``hosts`` those that take part. A guest of the fleet that is
    on a host's list, or whose domain is there, has that host. Where both lists have it, the fleet's entry counts.
    """
    request = Request()
    union = _networks(hosts)
    domains = _domains(hosts, lists)
    plainly = [_without_placement(item) for item in fleet]
    guests = _guests(request, plainly, union, site, GUESTS)
    listed = _listed(lists)
    for item, given in zip(fleet, plainly):
        guest = guests.get(_name(item))
        if guest is not None:
            _read_fleet(request, item, given, guest, listed.get(guest.name, {}), domains.get(guest.name, []), hosts, lists)
    ours = {_name(item) for item in fleet}
    for name, found in sorted(listed.items()):
        if len(found) > 1 and name not in ours:
            request.faults.append(
                f"realtime_guests: {name} is on {few(list(found), 120)}; give it state: absent on those that it has left"
            )
    for host in sorted(lists):
        mine = [found[host] for name, found in listed.items() if host in found and name not in ours]
        request.faults += [fault for item in mine if (fault := _elsewhere(_name(item), host, domains))]
        if host not in hosts:
            request.away.update({_name(item): host for item in mine})
            request.classes.update({_name(item): str(item.get("class") or "") for item in mine})
            continue
        read = _guests(request, mine, lists[host].networks, site, f"{host}: realtime_guests")
        for item in mine:
            if _name(item) in read:
                guest = read[_name(item)]
                request.homes[guest.name] = guest.numa_node  # of this host; on another one it means nothing
                bare = replace(guest, numa_node=None) if guest.realtime and not guest.devices else guest
                request.wishes.append(Wish(bare, dict(item), host))
    request.rules = _rules(rules, request, hosts)
    return request


def _elsewhere(name: str, host: str, domains: Mapping[str, Sequence[str]]) -> str:
    """Return what is wrong where a guest of a host's own list has its domain on another host."""
    others = [other for other in domains.get(name, ()) if other != host]
    if not others:
        return ""
    return (
        f"{host}: realtime_guests: {name} has its domain on {few(others, 120)}; put it on the list of the host that shall have it, with state: absent on "
        f"those that it has left, or give the folder that place has written as the last inventory"
    )


def _name(item: Any) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return name if isinstance(name, str) else ""


def _networks(hosts: Mapping[str, Host]) -> list[dict[str, Any]]:
    """Return a network of each name that any host has; a guest's entry is read with them, and each host's own count where it is placed."""
    found: dict[str, dict[str, Any]] = {}
    for _name_of_host, host in sorted(hosts.items()):
        for network in host.networks.values():
            if network.state != "absent":
                there: dict[str, Any] = {"name": network.name, "realtime": network.realtime, "datapath": network.datapath}
                if network.macvtap:  # a name that is no other network's: devices count where a guest is placed
                    there["device"] = network.name
                found.setdefault(network.name, there)
    return list(found.values())


def _domains(hosts: Mapping[str, Host], lists: Mapping[str, Listed]) -> dict[str, list[str]]:
    """Return the hosts on which each domain of ours is, but for those whose list has it absent."""
    found: dict[str, list[str]] = {}
    for name, host in sorted(hosts.items()):
        gone = {_name(item) for item in lists[name].guests if isinstance(item, Mapping) and item.get("state") == "absent"}
        for domain in host.existing:
            if domain.ours and domain.name not in gone:
                found.setdefault(domain.name, []).append(name)
    return found


def _without_placement(item: Any) -> Any:
    return {key: value for key, value in item.items() if key != "placement"} if isinstance(item, Mapping) else item


def _listed(lists: Mapping[str, Listed]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the entries of each guest that hosts have on their lists, by host."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for host in sorted(lists):
        for item in lists[host].guests:
            if isinstance(item, Mapping) and item.get("state") != "absent":
                found.setdefault(_name(item), {})[host] = item
    return found


def _guests(request: Request, items: Sequence[Any], networks: Sequence[Any], site: str, where: str) -> dict[str, Guest]:
    """Return the guests that can be read, by name; what is wrong with the others goes to the request."""
    read = read_guests(list(networks), list(items), site=site, priority_limit=_ANY_PRIORITY)
    request.faults += [f"{where}: {text.removeprefix('realtime_guests: ')}" for text in read.refusals]
    return {guest.name: guest for guest in read.guests}


def _read_fleet(
    request: Request,
    item: Mapping[str, Any],
    given: Mapping[str, Any],
    guest: Guest,
    listed: Mapping[str, Mapping[str, Any]],
    domains: Sequence[str],
    hosts: Mapping[str, Host],
    lists: Mapping[str, Listed],
) -> None:
    """Take up a guest of the fleet's list; its home is the host that has its domain, else the one that lists it."""
    where = f"{GUESTS}: {guest.name}"
    if guest.state == "absent":
        request.faults.append(
            f"{where}: state absent has no meaning here; remove the entry, and give it state: absent in its host's list"
        )
        return
    there = domains or list(listed)
    if len(there) > 1:
        request.faults.append(
            f"{where} is on {few(there, 120)}; give it state: absent in realtime_guests of those that it has left"
        )
        return
    home = there[0] if there else ""
    wish = _wish(request, guest, given, item.get("placement") or {}, home, hosts, lists)
    if wish is None:
        return
    if home and home not in hosts:
        request.away[guest.name] = home
        request.classes[guest.name] = guest.guest_class
        return
    request.wishes.append(wish)
    if home in listed:
        request.homes[guest.name] = _number(listed[home].get("numa_node"))


def _wish(
    request: Request,
    guest: Guest,
    given: Mapping[str, Any],
    placement: Any,
    home: str,
    hosts: Mapping[str, Host],
    lists: Mapping[str, Listed],
) -> Wish | None:
    where = f"{GUESTS}: {guest.name}: placement"
    if not isinstance(placement, Mapping):
        request.faults.append(f"{where} is no mapping; its keys are {', '.join(_PLACEMENT)}")
        return None
    if unknown := [str(key) for key in placement if key not in _PLACEMENT]:
        request.faults.append(f"{where}: {unknown_keys(unknown, _PLACEMENT)}")
        return None
    movable = placement.get("movable", True)
    if not isinstance(movable, bool):
        request.faults.append(f"{where}.movable is {movable!r}, neither true nor false")
        return None
    only = placement.get("hosts")
    devices = placement.get("devices") or []
    for key, value in (("hosts", only), ("devices", devices)):
        if value is not None and (isinstance(value, (str, Mapping)) or not isinstance(value, Sequence)):
            request.faults.append(f"{where}.{key} is no list of names")
            return None
    chosen = None
    if only is not None:
        chosen = matching(only, lists)
        if not chosen:
            request.faults.append(
                f"{where}.hosts: no host of this run has a name like {few([str(text) for text in only], 80) or 'none'}"
            )
            return None
    if len({str(device) for device in devices}) < len(devices):
        request.faults.append(f"{where}.devices names a device twice; each name is one device of the host")
    for device in devices:
        if not any(host.devices.get(str(device)) for host in hosts.values()):
            request.faults.append(f"{where}.devices: no host has {plain(str(device), 60)} in {DEVICES}")
    wish = Wish(guest, dict(given), home, not movable, chosen, frozenset(map(str, devices)))
    if wish.tied and not home:
        request.faults.append(
            f"{GUESTS}: {guest.name}: nothing says which hosts have its devices; name these hosts (placement.hosts), or what they have in "
            f"{DEVICES} (placement.devices)"
        )
    return wish


def matching(patterns: Iterable[Any], names: Iterable[str]) -> frozenset[str]:
    """Return the names that are like any of the patterns (* and ?)."""
    patterns = [str(pattern) for pattern in patterns]
    return frozenset(name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns))


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


# -- rules -----------------------------------------------------------------------------------------


def _rules(items: Any, request: Request, hosts: Mapping[str, Host]) -> list[Rule]:
    if isinstance(items, (str, Mapping)) or not isinstance(items, Sequence):
        request.faults.append(f"{RULES} is no list")
        return []
    names = [*(wish.name for wish in request.wishes), *request.away]
    classes = {**request.classes, **{wish.name: wish.guest.guest_class for wish in request.wishes}}
    rules: list[Rule] = []
    for number, item in enumerate(items):
        wrong = _rule_fault(item, number, hosts)
        if wrong:
            request.faults.append(wrong)
            continue
        found = matching(item.get("guests") or [], names)
        found |= frozenset(name for name, of in classes.items() if item.get("class") and of == item["class"])
        name = str(item.get("name") or f"{item['kind']} {number}")
        if name in {rule.name for rule in rules}:
            request.faults.append(f"{RULES}: two rules have the name {name}; give one of them another")
            continue
        if not found:
            request.faults.append(f"{RULES}: {name}: no guest is like what it names")
            continue
        rules.append(Rule(name, item["kind"], found, item.get("by") or HOST, item.get("most", 1), item.get("required", True)))
    request.faults += list(_contradictions(rules))
    return rules


def _rule_fault(item: Any, number: int, hosts: Mapping[str, Host]) -> str:
    where = f"{RULES}[{number}]"
    if not isinstance(item, Mapping):
        return f"{where} is no mapping with at least kind and guests"
    if unknown := [str(key) for key in item if key not in _RULE]:
        return f"{where}: {unknown_keys(unknown, _RULE)}"
    if item.get("kind") not in _KINDS:
        return f"{where}: kind {item.get('kind')!r} is not one of {', '.join(_KINDS)}"
    guests = item.get("guests", [])
    if isinstance(guests, (str, Mapping)) or not isinstance(guests, Sequence) or not (guests or item.get("class")):
        return f"{where}: guests is no list of names (or give class)"
    most = item.get("most", 1)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        return f"{where}: most {most!r} is no number of guests from 1 on"
    if most != 1 and item["kind"] == "affinity":
        return f"{where}: most belongs to anti-affinity; affinity keeps all guests together"
    if not isinstance(item.get("required", True), bool):
        return f"{where}: required {item.get('required')!r} is neither true nor false"
    by = item.get("by") or HOST
    if not isinstance(by, str):
        return f"{where}: by {by!r} is no kind of fault domain"
    if by != HOST and not any(by in host.domains for host in hosts.values()):
        return f"{where}: by {plain(by, 40)}: no host has this kind in realtime_place_domains"
    return ""


def _contradictions(rules: Sequence[Rule]) -> Iterable[str]:
    """Yield a fault for each two required rules that no host can keep: together, and apart."""
    for apart in rules:
        for mates in rules:
            if not apart.apart or mates.apart or not (apart.required and mates.required):
                continue
            both = apart.guests & mates.guests
            if len(both) > apart.most and (apart.by == mates.by or mates.by == HOST):
                yield (
                    f"{RULES}: {apart.name} keeps {few(sorted(both), 80)} apart and {mates.name} keeps them together; "
                    "take them out of one of the two, or give it required: false"
                )


def read_options(given: Mapping[str, Any], hosts: Collection[str]) -> tuple[Options, frozenset[str], list[str]]:
    """Return the options, the drained hosts, and what is wrong with them."""
    faults = []
    options = Options()
    values = {}
    for key, choices in (("strategy", ("pack", "spread")), ("moves", ("needed", "drain", "none"))):
        value = given.get(key) or getattr(options, key)
        if value not in choices:
            faults.append(f"realtime_place_{key}: {value!r} is not one of {', '.join(choices)}")
        values[key] = value
    for key, most in (("overcommit", 1000), ("work", 10_000_000)):
        value = given.get(key)
        value = getattr(options, key) if value in (None, "") else value
        number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            faults.append(f"realtime_place_{key}: {value!r} is no number in 1-{most}")
        values[key] = number
    drain = given.get("drain") or []
    drain = [part.strip() for part in drain.split(",") if part.strip()] if isinstance(drain, str) else drain
    drained: frozenset[str] = frozenset()
    if isinstance(drain, Mapping) or not isinstance(drain, Sequence):
        faults.append("realtime_place_drain is no list of hosts")
    else:
        drained = matching(drain, hosts)
        if strange := [str(item) for item in drain if not matching([item], hosts)]:
            faults.append(f"realtime_place_drain: no host of this run has a name like {few(strange, 80)}")
    if drained and values["moves"] == "none":
        faults.append("realtime_place_drain needs moves, and realtime_place_moves is none; choose drain or needed")
    return (Options(**values) if not faults else options), drained, faults


def check_unread(request: Request) -> None:
    """Refuse a request with faults; the message has all of them."""
    if request.faults:
        raise PlacementError("\n".join(request.faults))
