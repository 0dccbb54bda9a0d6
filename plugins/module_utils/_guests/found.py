# SPDX-License-Identifier: GPL-3.0-or-later
"""What the list does not name stays as the domain has it. Pure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .._cpus.pages import PAGE_MIB
from .domain_xml import our_devices, whole
from .guest import Attachment, Guest, GuestError
from .hiding import clean
from .network import port_name, socket_path
from .pinning import Existing


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


def as_found(guest: Guest, tree: ET.Element | None, bridge_of: Callable[[str], str] = lambda _network: "") -> Guest:
    """Return a guest with the I/O threads and addresses that its domain has, where the list names none.

    ``bridge_of`` returns the bridge of a network of libvirt, empty where that has none.
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
    return replace(guest, io_thread_ids=ids, networks=tuple(_as_found(guest, item, tree, bridge_of) for item in guest.networks))


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


def _as_found(guest: Guest, attachment: Attachment, tree: ET.Element, bridge_of: Callable[[str], str]) -> Attachment:
    """Return an attachment with the address of the domain's interface on its network: this collection's, or else somebody's."""
    if attachment.mac_given:
        return attachment
    ours = {name for kind, name in our_devices(tree) if kind == "interface"}
    there = [address for address in _on(guest, attachment, tree) if address in ours]
    if there:
        return replace(attachment, mac=there[0]) if len(there) == 1 else attachment
    named = {item.mac for item in guest.networks if item.mac_given}
    theirs = [address for address in _on(guest, attachment, tree) if address not in named]
    if attachment.mac in theirs or not theirs:
        return attachment
    if len(theirs) > 1:
        raise GuestError(
            f"realtime_guests: {guest.name}: its domain has {len(theirs)} interfaces on network {attachment.network.name} "
            f"({clean(', '.join(theirs))}), and networks names none of them; give mac, one of these or a new one"
        )
    _check_same_network(guest, attachment, tree, theirs[0], bridge_of)
    return replace(attachment, mac=theirs[0])


def _check_same_network(
    guest: Guest, attachment: Attachment, tree: ET.Element, mac: str, bridge_of: Callable[[str], str]
) -> None:
    """Refuse to take a network of libvirt for one of the list by its name alone, where the guest would stand on other wires."""
    for interface in tree.findall("devices/interface[@type='network']"):
        found, source, network = interface.find("mac"), interface.find("source"), attachment.network
        if found is None or source is None or found.get("address", "").lower() != mac:
            continue
        bridge, more = (
            source.get("bridge") or bridge_of(source.get("network", "")),
            [item for item in ("vlan", "virtualport") if interface.find(item) is not None],
        )
        more += ["portgroup"] if source.get("portgroup") else []
        if bridge == network.bridge and not more:
            continue
        on = (
            f"on bridge {clean(bridge)}"
            if bridge and bridge != network.bridge
            else "on no bridge"
            if not bridge
            else f"with {', '.join(more)}"
        )
        raise GuestError(
            f"realtime_guests: {guest.name}: its domain has interface {mac} on libvirt's network {network.name}, {on}, and network {network.name} of the list "
            f"is bridge {network.bridge}; give mac: {mac} to move it there, or another mac for an interface beside it"
        )


def _on(guest: Guest, attachment: Attachment, tree: ET.Element) -> list[str]:
    """Return the addresses of a domain's interfaces on a network."""
    network, found = attachment.network, []
    socket = socket_path(port_name(guest.name, network.name))
    for interface in tree.findall("devices/interface"):
        mac, source = interface.find("mac"), interface.find("source")
        address = "" if mac is None else mac.get("address", "").lower()
        if not address or source is None:
            continue
        by_name = interface.get("type") == "network" and source.get("network") == network.name
        if source.get("path") == socket or source.get("bridge") == network.bridge or by_name:
            found.append(address)
    return found
