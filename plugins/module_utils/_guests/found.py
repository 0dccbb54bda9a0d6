# SPDX-License-Identifier: GPL-3.0-or-later
"""What the list does not name stays as the domain has it. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from .._cpus.pages import PAGE_MIB
from .domain_xml import our_devices, whole
from .guest import Attachment, Guest, GuestError
from .hiding import clean
from .network import Network, port_name, socket_path
from .pinning import Existing

#: Returns the definition of a network of libvirt by its name, None where libvirt has none.
Networks = Callable[[str], "ET.Element | None"]
#: What makes an interface a port of its own kind.
_OWN = ("vlan", "virtualport")


def with_sizes(guests: Sequence[Guest], existing: Iterable[Existing]) -> list[Guest]:
    """Return the guests with the number of vCPUs and the page size that their domains have, where the list names none.

    A guest that stops being real-time gives its huge pages back.
    """
    known = {domain.name: domain for domain in existing}
    return [_with_sizes(_with_vcpus(guest, known.get(guest.name)), known.get(guest.name)) for guest in guests]


def _with_vcpus(guest: Guest, domain: Existing | None) -> Guest:
    if domain is None or guest.vcpus_given or guest.state == "absent" or not domain.vcpu_count:
        return guest
    return replace(guest, vcpus=domain.vcpu_count)


def _with_sizes(guest: Guest, domain: Existing | None) -> Guest:
    if domain is None or guest.hugepages_given or guest.state == "absent" or domain.hugepages == guest.hugepages:
        return guest
    if (domain.hugepages == "none" and guest.realtime) or (domain.realtime and not guest.realtime):
        return guest
    page = PAGE_MIB[domain.hugepages] if domain.hugepages != "none" else 1
    if guest.memory_mib % page:
        raise GuestError(
            f"realtime_guests: {guest.name}: its domain has pages of {domain.hugepages}, of which memory_mib {guest.memory_mib} is no "
            f"multiple; give {(guest.memory_mib // page + 1) * page}, or another page size with hugepages"
        )
    return replace(guest, hugepages=domain.hugepages)


def as_found(guest: Guest, tree: ET.Element | None, network_of: Networks = lambda _name: None) -> Guest:
    """Return a guest with the I/O threads and addresses that its domain has, where the list names none.

    ``network_of`` returns the definition of a network of libvirt.
    """
    if guest.state == "absent":
        return guest
    ids = guest.io_thread_ids if guest.io_threads is not None or tree is None else io_thread_ids(tree)
    if guest.io_thread_scheduler and not ids:
        raise GuestError(
            f"realtime_guests: {guest.name}: io_thread_scheduler, but neither the list nor its domain has io_threads"
        )
    if tree is None:
        return guest
    return replace(guest, io_thread_ids=ids, networks=tuple(_as_found(guest, item, tree, network_of) for item in guest.networks))


def io_thread_ids(tree: ET.Element) -> tuple[int, ...]:
    """Return the numbers of a domain's I/O threads; libvirt numbers those that ``iothreadids`` does not name itself, from 1 on."""
    named = [whole(item.get("id")) for item in tree.findall("iothreadids/iothread")]
    ids = {number for number in named if number is not None}
    count = min(whole(tree.findtext("iothreads")) or 0, 1024)
    number = 1
    while len(ids) < count:
        ids.add(number)
        number += 1
    return tuple(sorted(ids))


def _as_found(guest: Guest, attachment: Attachment, tree: ET.Element, network_of: Networks) -> Attachment:
    """Return an attachment with the address of the domain's interface on its network: this collection's, or else somebody's."""
    if attachment.mac_given:
        return attachment
    ours = {name for kind, name in our_devices(tree) if kind == "interface"}
    on = [_address(item) for item in tree.findall("devices/interface") if is_on(item, guest.name, attachment.network, network_of)]
    on = list(dict.fromkeys(filter(None, on)))
    there = [address for address in on if address in ours]
    if there:
        return replace(attachment, mac=there[0]) if len(there) == 1 else attachment
    named = {item.mac for item in guest.networks if item.mac_given}
    theirs = [address for address in on if address not in named]
    if not theirs:
        _check_namesake(guest, attachment, tree, named | ours, network_of)
    if attachment.mac in theirs or not theirs:
        return attachment
    if len(theirs) > 1:
        raise GuestError(
            f"realtime_guests: {guest.name}: its domain has {len(theirs)} interfaces on network {attachment.network.name} "
            f"({clean(', '.join(theirs))}), and networks names none of them; give mac, one of these or a new one"
        )
    return replace(attachment, mac=theirs[0])


def _check_namesake(guest: Guest, attachment: Attachment, tree: ET.Element, known: Collection[str], network_of: Networks) -> None:
    """Refuse to guess whether an interface on libvirt's network of the same name is meant, which is not the listed one."""
    network = attachment.network
    target = network.place.removeprefix("bridge ")
    for interface in tree.findall("devices/interface[@type='network']"):
        source, address = interface.find("source"), _address(interface)
        if source is None or source.get("network") != network.name or not address or address in known:
            continue
        definition = network_of(network.name)
        bridge = "" if definition is None else bridge_of(definition)
        where = "a VLAN, a port group or a port profile of its own there"
        if bridge != network.bridge or network.macvtap:
            where = f"bridge {clean(bridge)} there" if bridge else "no bridge there"
        raise GuestError(
            f"realtime_guests: {guest.name}: network {network.name} is {network.place}, but its domain's interface {clean(address)} is on "
            f"libvirt's network of that name, and has {where}; give mac: {clean(address)} to move it to {target}, or another mac for one more "
            "interface"
        )


def is_on(interface: ET.Element, guest: str, network: Network, network_of: Networks) -> bool:
    """Return whether an interface is on a network as a run of this collection would put it there."""
    source = interface.find("source")
    if source is None or network.macvtap:
        return source is not None and interface.get("type") == "direct" and source.get("dev") == network.device
    if interface.get("type") == "network":
        plain = not any(interface.find(tag) is not None for tag in _OWN) and not source.get("portgroup")
        definition = network_of(source.get("network", "")) if plain else None
        return definition is not None and _is_plain(definition) and bridge_of(definition) == network.bridge
    return source.get("path") == socket_path(port_name(guest, network.name)) or source.get("bridge") == network.bridge


def bridge_of(definition: ET.Element) -> str:
    """Return the bridge that a network of libvirt puts interfaces on, empty where it has none (a pool of NICs)."""
    bridge = definition.find("bridge")
    return "" if bridge is None else bridge.get("name", "")


def _is_plain(definition: ET.Element) -> bool:
    """Return whether a network of libvirt adds nothing to an interface that names no port group (formatnetwork)."""
    parts = [definition, *definition.findall("portgroup[@default='yes']")]
    return not any(part.find(tag) is not None for part in parts for tag in _OWN)


def _address(interface: ET.Element) -> str:
    mac = interface.find("mac")
    return "" if mac is None else mac.get("address", "").lower()
