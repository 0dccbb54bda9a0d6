# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node must have before guests are changed: names, addresses, bridges, TPM, TSC, huge pages. Edge, read-only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._cpus.pages import PAGE_MIB
from .._host.host import Host
from .._host.kernel import read_machine
from .domain_xml import describe, is_ours
from .fragment import macs_of
from .guest import Guest, GuestError
from .guest_list import derive_uuid
from .kernel_networks import check_kernel_networks
from .libvirt import Domain
from .network import Network
from .nova import read_instance
from .plan import GuestPlan, lets_go
from .programs import SWTPM


def check_domains(guests: Sequence[Guest], domains: Mapping[str, Domain], site: str = "") -> None:
    """Refuse to take over foreign domains, and names, UUIDs or addresses that other domains have; ``site``: of the inventory."""
    macs, uuids = _other_macs(guests, domains), _uuids_that_stay(guests, domains)
    listed: dict[str, str] = {}
    for guest in guests:
        domain = domains.get(guest.name)
        instance = read_instance(domain.tree) if domain is not None else None
        if instance is not None:
            raise GuestError(
                f"realtime_guests: {guest.name}: this domain is the instance {instance} of Nova, which alone defines, starts and stops it, so it is "
                f"neither taken over nor removed; delete its entry from the list, or choose another name"
            )
        if domain is not None and not is_ours(domain.tree) and not guest.adopt:
            what, hint = (
                "changed",
                "adopt: true takes it over (settings that the inventory does not name stay), or choose another name",
            )
            if guest.state == "absent":
                what, hint = "removed", f"delete its entry from the list, or remove it with virsh undefine {guest.name}"
            raise GuestError(
                f"realtime_guests: {guest.name}: a domain of this name exists that this collection did not make, "
                f"so it is not {what}; {hint}"
            )
        if domain is not None and not domain.persistent:
            raise GuestError(
                f"realtime_guests: {guest.name}: a transient domain of this name runs; "
                "define it (virsh define) or shut it down first"
            )
        own = derive_uuid(site, guest.name) if guest.uuid is None else guest.uuid
        if domain is None and guest.state != "absent" and own in uuids:
            raise GuestError(
                f"realtime_guests: {guest.name}: uuid {own} is that of domain {uuids[own]}, which is on this node; give the guest another uuid, or the "
                "name of this domain and adopt: true where they are one"
            )
        for mac in [] if guest.state == "absent" else macs_of(guest):
            if mac in macs:
                raise GuestError(f"realtime_guests: {guest.name}: MAC {mac} is used by domain {macs[mac]}")
            other = listed.setdefault(mac, guest.name)
            if other != guest.name:  # one of them has it from its domain; those that are given were compared before
                raise GuestError(
                    f"realtime_guests: {guest.name} and {other} have the same MAC {mac}; give one of them another mac"
                )


def _other_macs(guests: Sequence[Guest], domains: Mapping[str, Domain]) -> dict[str, str]:
    listed = {guest.name for guest in guests}
    return {
        (mac.get("address") or "").lower(): name
        for name, domain in domains.items()
        if name not in listed
        for mac in domain.tree.findall("devices/interface/mac")
    }


def _uuids_that_stay(guests: Sequence[Guest], domains: Mapping[str, Domain]) -> dict[str, str]:
    """Return the UUIDs of the domains that this run does not remove."""
    gone = {guest.name for guest in guests if guest.state == "absent"}
    found = {(domain.tree.findtext("uuid") or "").strip().lower(): name for name, domain in domains.items() if name not in gone}
    return {uuid: name for uuid, name in found.items() if uuid}


def check_saved(plans: Sequence[GuestPlan]) -> None:
    """Refuse to change a guest whose next start restores the memory and the definition that it had when it was saved."""
    for plan in plans:
        if plan.domain is not None and plan.domain.saved and not plan.running and plan.definition:
            name = plan.guest.name
            raise GuestError(
                f"realtime_guests: {name}: it has a saved state (virsh managedsave), with which its next start would bring back its former CPUs, memory "
                f"and disks, and its definition changes ({', '.join(item.element for item in plan.definition[:4])}); start it first (virsh start {name}), "
                f"or give up what is in its memory (virsh managedsave-remove {name})"
            )


def check_live_macs(plans: Sequence[GuestPlan], restarting: Sequence[GuestPlan]) -> None:
    """Refuse an address with which another guest of the list still runs, though its definition no longer has it."""
    live = {
        (mac.get("address") or "").lower(): plan
        for plan in plans
        if plan.domain is not None and plan.running
        for mac in plan.domain.live_tree().findall("devices/interface/mac")
    }
    for plan in plans if live else ():
        for mac in macs_of(plan.guest):
            other = live.get(mac, plan)
            if other is not plan and not lets_go(other, plan, restarting):
                name = other.guest.name
                raise GuestError(
                    f"realtime_guests: {plan.guest.name}: {name} runs with MAC {mac} until it is restarted or off; take it from {name} in a run of its "
                    "own first, with rt_guest_restart: true or state: stopped for that guest"
                )


def check_node(host: Host, guests: Sequence[Guest], networks: Mapping[str, Network], networks_needed: Collection[str]) -> None:
    """Refuse guests whose bridges, devices, TPM or TSC the node does not have; the networks count for those that are named."""
    for guest in guests:
        if guest.state == "absent":
            continue
        _check_platform(host, guest)
        if guest.name in networks_needed:
            check_kernel_networks(host, guest, networks)


def _check_platform(host: Host, guest: Guest) -> None:
    if guest.tpm and not host.exists(SWTPM):
        what = f"realtime_guests: {guest.name}: tpm needs {SWTPM}, which this node does not have; the kvm_host role installs it"
        if not host.dry:
            raise GuestError(what)
        host.notes.append(what)
    if guest.invariant_tsc and not read_machine(host).tsc_invariant:
        raise GuestError(
            f"realtime_guests: {guest.name}: invariant_tsc, but this node's TSC is not invariant (constant_tsc and nonstop_tsc in /proc/cpuinfo), "
            "so its guests' is not either; remove the key, or let the hypervisor of a virtual node show it (QEMU: -cpu host,+invtsc)"
        )


def check_pages(
    host: Host, starting: Sequence[GuestPlan], planned: Mapping[str, Any] | None, restarting: Sequence[GuestPlan]
) -> None:
    """Refuse to start guests for which the node has not enough free huge pages."""
    asked: dict[tuple[int, str], dict[str, int]] = {}
    for plan in starting:
        if plan.guest.hugepages != "none":
            for node, mib in plan.placement.memory_by_node(plan.guest.memory_mib, PAGE_MIB[plan.guest.hugepages]).items():
                asked.setdefault((node, plan.guest.hugepages), {})[plan.guest.name] = mib // PAGE_MIB[plan.guest.hugepages]
    for (node, size), guests in sorted(asked.items()):
        base = f"/sys/devices/system/node/node{node}/hugepages/hugepages-{PAGE_MIB[size] * 1024}kB"
        have, free = (int(host.value(f"{base}/{name}") or 0) for name in ("nr_hugepages", "free_hugepages"))
        for plan in restarting:  # its present pages become free first
            before = describe(plan.domain.tree) if plan.domain else None
            if before and before.hugepages == size:
                free += before.memory_by_node(PAGE_MIB[size]).get(node, 0) // PAGE_MIB[size]
        if host.dry:  # plus the pages that kvm_host would add before
            free += max(int(((planned or {}).get(str(node)) or {}).get(size, 0)) - have, 0)
        if sum(guests.values()) > free:
            who = ", ".join(f"{name} {pages}" for name, pages in guests.items())
            raise GuestError(
                f"realtime_guests: not enough huge pages of {size} on NUMA node {node}: "
                f"{free} of {have} are free, {sum(guests.values())} are needed "
                f"({who}); run the kvm_host role, which reserves them, or give a guest less memory_mib"
            )
