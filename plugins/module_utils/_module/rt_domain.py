# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain: all guests of a node, from the list to running threads."""

from __future__ import annotations

import os
import platform
import stat
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist
from .._cpus.pages import PAGE_MIB
from .._cpus.partition import Partition
from .._guests.domain_merge import merge, new_domain
from .._guests.domain_xml import Difference, describe, differences, is_ours, our_devices, parse, pretty, shape, to_text
from .._guests.guest import Guest, GuestError, parse_guests
from .._guests.libvirt import Connection, Domain, connect, installed
from .._guests.network import parse_networks
from .._guests.pinning import Placement, place
from .._guests.threads import ThreadDifference, polling_cpus, read_guest_threads, set_scheduler, thread_differences
from .._host.change import Change
from .._host.document import require_current_partition
from .._host.errors import HostError
from .._host.host import Host
from .._host.runner import Runner
from .._host.sysfs import read_topology
from .._isolation.moves import Moves
from .._memory.pools import guest_memory_mib
from .._runtime.settings import check_priority_limit


@dataclass
class _Plan:
    """What one guest needs."""

    guest: Guest
    placement: Placement
    domain: Domain | None
    tree: ET.Element  # as it shall be defined
    definition: list[Difference]
    restart_for: list[str] = field(default_factory=list)  # elements that the running guest lacks
    threads: list[ThreadDifference] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.domain is not None and self.domain.running


def run(host: Host, runner: Runner, parameters: dict[str, Any]) -> dict[str, Any]:
    """Plan the module's changes on the host and return its result."""
    del runner
    if parameters["state"] == "absent":
        return _remove_all(host, parameters)
    node = host.value("/proc/sys/kernel/hostname") or platform.node()
    check_priority_limit(parameters["priority_limit"])
    networks = parse_networks(parameters["networks"])
    guests = parse_guests(parameters["guests"], networks, node=node, priority_limit=parameters["priority_limit"])
    topology = read_topology(host)
    partition = require_current_partition(host, topology, parameters["partition"])
    connection = connect(host)
    domains = connection.domains() if connection else {}
    _check_domains(guests, domains)
    placements = place(
        partition,
        topology,
        guests,
        [describe(domain.tree, running=domain.running) for domain in domains.values()],
        memory_mib=guest_memory_mib(host),
        polling=polling_cpus(host),
    )
    plans = [_plan_guest(host, guest, placements[guest.name], domains, node) for guest in guests if guest.state != "absent"]
    _check_node(host, guests, networks_needed={plan.guest.name for plan in plans if plan.guest.state == "running"})
    restarting = [plan for plan in plans if plan.restart_for and parameters["restart"] and plan.guest.state != "stopped"]
    starting = [plan for plan in plans if plan.guest.state == "running" and not plan.running]
    _check_pages(host, [*starting, *restarting], parameters["hugepages"], restarting)
    removed = [guest for guest in guests if guest.state == "absent" and guest.name in domains]
    _make(host, connection, parameters, domains, plans, removed, restarting, starting, max(topology.possible) + 1, partition)
    listed = {guest.name for guest in guests}
    return {
        "domains": [_result(plan) for plan in plans],
        "restart_required": _pending_restarts(plans, restarting),
        "unlisted": sorted(name for name, domain in domains.items() if name not in listed and is_ours(domain.tree)),
    }


# -- checks ----------------------------------------------------------------------------------------


def _check_domains(guests: Sequence[Guest], domains: Mapping[str, Domain]) -> None:
    """Refuse to take over what is not ours, and names or addresses that others have."""
    macs = _other_macs(guests, domains)
    for guest in guests:
        domain = domains.get(guest.name)
        if domain is not None and not is_ours(domain.tree) and not guest.adopt:
            what, hint = (
                "changed",
                "adopt: true takes it over (what it has beside the guest's own settings stays), or choose another name",
            )
            if guest.state == "absent":
                what, hint = "removed", f"take it out of the list, or remove it with virsh undefine {guest.name}"
            raise GuestError(
                f"realtime_guests: {guest.name}: a domain of this name exists that this collection has not made, so it is not {what}; {hint}"
            )
        if domain is not None and not domain.persistent:
            raise GuestError(
                f"realtime_guests: {guest.name}: a transient domain of this name runs; define it (virsh define) or shut it down first"
            )
        for attachment in guest.networks if guest.state != "absent" else ():
            if attachment.mac in macs:
                raise GuestError(f"realtime_guests: {guest.name}: MAC {attachment.mac} is used by domain {macs[attachment.mac]}")


def _other_macs(guests: Sequence[Guest], domains: Mapping[str, Domain]) -> dict[str, str]:
    listed = {guest.name for guest in guests}
    return {
        (mac.get("address") or "").lower(): name
        for name, domain in domains.items()
        if name not in listed
        for mac in domain.tree.findall("devices/interface/mac")
    }


def _check_node(host: Host, guests: Sequence[Guest], networks_needed: Collection[str]) -> None:
    """Refuse guests whose disks or bridges the node does not have."""
    for guest in guests:
        if guest.state == "absent":
            continue
        for disk in guest.disks:
            try:
                mode = os.stat(host.path(disk.path)).st_mode
            except OSError as error:
                raise GuestError(
                    f"realtime_guests: {guest.name}: disk {disk.path} is not on this node ({error.strerror}); put the image there first, "
                    "guests are made of existing images"
                ) from None
            if not (stat.S_ISBLK(mode) if disk.block else stat.S_ISREG(mode)):
                raise GuestError(
                    f"realtime_guests: {guest.name}: disk {disk.path} is no {'block device' if disk.block else 'regular file'}"
                )
        for attachment in guest.networks if guest.name in networks_needed else ():
            network = attachment.network
            if not network.realtime and not host.exists(f"/sys/class/net/{network.bridge}/bridge"):
                raise GuestError(
                    f"realtime_guests: {guest.name}: network {network.name} is the ordinary bridge {network.bridge}, which this node does not have; "
                    "make it with the node's own network configuration, or give the network realtime: true"
                )


def _check_pages(host: Host, starting: Sequence[_Plan], planned: Mapping[str, Any] | None, restarting: Sequence[_Plan]) -> None:
    """Refuse to start guests for which the node has not enough free huge pages."""
    asked: dict[tuple[int, str], dict[str, int]] = {}
    for plan in starting:
        if plan.guest.hugepages != "none":
            for node, mib in plan.placement.memory_by_node(plan.guest.memory_mib, PAGE_MIB[plan.guest.hugepages]).items():
                asked.setdefault((node, plan.guest.hugepages), {})[plan.guest.name] = mib // PAGE_MIB[plan.guest.hugepages]
    for (node, size), guests in sorted(asked.items()):
        base = f"/sys/devices/system/node/node{node}/hugepages/hugepages-{PAGE_MIB[size] * 1024}kB"
        have, free = (int(host.value(f"{base}/{name}") or 0) for name in ("nr_hugepages", "free_hugepages"))
        for plan in restarting:  # what it has now comes back first
            if plan.domain and describe(plan.domain.tree).hugepages == size and node in describe(plan.domain.tree).nodes:
                free += describe(plan.domain.tree).memory_mib // PAGE_MIB[size]
        if host.dry:  # what kvm_host would add before
            free += max(int(((planned or {}).get(str(node)) or {}).get(size, 0)) - have, 0)
        if sum(guests.values()) > free:
            who = ", ".join(f"{name} {pages}" for name, pages in guests.items())
            raise GuestError(
                f"realtime_guests: not enough huge pages of {size} on NUMA node {node}: {free} of {have} are free, {sum(guests.values())} are needed "
                f"({who}); run the kvm_host role, which reserves them, or give a guest less memory_mib"
            )


# -- planning --------------------------------------------------------------------------------------


def _plan_guest(host: Host, guest: Guest, placement: Placement, domains: Mapping[str, Domain], node: str) -> _Plan:
    domain = domains.get(guest.name)
    tree = merge(domain.tree if domain else new_domain(guest, node, platform.machine()), guest, placement)
    plan = _Plan(guest, placement, domain, tree, differences(domain.tree if domain else None, tree))
    if domain is not None and domain.running:
        live = domain.live_tree()
        found = differences(live, merge(live, guest, placement, live=True))
        plan.restart_for = [difference.element for difference in found if not difference.live]
        plan.threads = list(thread_differences(read_guest_threads(host, guest.name), guest, placement))
    return plan


def _make(
    host: Host,
    connection: Connection | None,
    parameters: Mapping[str, Any],
    domains: Mapping[str, Domain],
    plans: Sequence[_Plan],
    removed: Sequence[Guest],
    restarting: Sequence[_Plan],
    starting: Sequence[_Plan],
    cpus: int,
    partition: Partition,
) -> None:
    """Plan all changes: removals first (they free CPUs), definitions, live changes, restarts, starts."""
    if connection is None:
        if not host.dry:
            raise HostError("libvirt is not installed on this node; run the kvm_host role first")
        connection = Connection.__new__(Connection)  # never used: check mode makes nothing
    timeout_s, force = parameters["shutdown_timeout_s"], parameters["force_off"]
    stopping = [guest.name for guest in removed if domains[guest.name].running]
    stopping += [plan.guest.name for plan in plans if plan.guest.state == "stopped" and plan.running]
    _plan_stop(host, connection, stopping, timeout_s, force=force)
    for guest in removed:
        _plan_remove(host, connection, guest, domains, plans)
    for plan in plans:
        _plan_definition(host, connection, plan)
    live = [plan for plan in plans if plan.guest.name not in stopping and plan not in restarting]
    moves = _moves(host, partition, live)
    for plan in live:
        _plan_threads(host, connection, plan, cpus, moves)
    for plan in restarting:
        name = plan.guest.name
        what = f"restarted for {', '.join(plan.restart_for)}"
        host.follow_up(
            Change(f"domain {name}: restart", "running as before", what, "guest", "a running guest cannot take these"),
            partial(_restart, connection, name, timeout_s, force=force),
        )
    for plan in starting:
        change = Change(f"domain {plan.guest.name}: state", "shut off", "running")
        host.follow_up(change, partial(connection.start, plan.guest.name))


def _restart(connection: Connection, name: str, timeout_s: int, *, force: bool) -> None:
    connection.stop([name], timeout_s, force=force)
    connection.start(name)


def _plan_stop(host: Host, connection: Connection, names: Sequence[str], timeout_s: int, *, force: bool) -> None:
    for number, name in enumerate(names):
        change = Change(f"domain {name}: state", "running", "shut off", "guest", "asked for by its state")
        # all of them are asked at once, by the first
        host.follow_up(change, partial(connection.stop, names if number == 0 else (), timeout_s, force=force))


def _plan_remove(host: Host, connection: Connection, guest: Guest, domains: Mapping[str, Domain], plans: Sequence[_Plan]) -> None:
    tree = domains[guest.name].tree
    if guest.remove_disks:  # before the definition, which names them: a run killed in between is completed by the next
        _plan_remove_disks(host, guest, domains, plans)
    host.follow_up(Change(f"domain {guest.name}", pretty(tree), None), partial(connection.remove, guest.name))


def _plan_remove_disks(host: Host, guest: Guest, domains: Mapping[str, Domain], plans: Sequence[_Plan]) -> None:
    tree = domains[guest.name].tree
    users = {
        item.get("file"): name
        for name, other in domains.items()
        if name != guest.name
        for item in other.tree.findall("devices/disk/source")
    }
    users.update({disk.path: plan.guest.name for plan in plans for disk in plan.guest.disks})
    ours = {name for kind, name in our_devices(tree) if kind == "disk"}
    for disk in tree.findall("devices/disk[@device='disk']"):
        target, source = disk.find("target"), disk.find("source")
        path = source.get("file") if source is not None else None
        if path is None or target is None or target.get("dev") not in ours or disk.find("readonly") is not None:
            continue
        if path in users:
            raise GuestError(f"realtime_guests: {guest.name}: disk {path} is not removed, since domain {users[path]} has it too")
        if host.exists(path):
            host.follow_up(Change(path, "disk image", None, reason="remove_disks"), partial(_unlink, host.path(path)))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{path} cannot be removed: {error.strerror}") from None


def _plan_definition(host: Host, connection: Connection, plan: _Plan) -> None:
    name, domain = plan.guest.name, plan.domain
    define = partial(connection.define, name, to_text(plan.tree), shape(plan.tree))
    for number, item in enumerate(plan.definition):
        resource = f"domain {name}" if item.element == "domain" else f"domain {name}: {item.element}"
        change, make = Change(resource, item.before, item.after), define if number == 0 else _nothing
        if domain is not None and not is_ours(domain.tree) and number == 0:  # adopted: undo defines it as it was
            host.change(change, make, kind="domain", original={"xml": to_text(domain.tree), "autostart": domain.autostart})
        else:
            host.follow_up(change, make)
    autostart = domain.autostart if domain else False
    if autostart != plan.guest.autostart:
        words = {True: "on", False: "off"}
        change = Change(f"domain {name}: autostart", words[autostart], words[plan.guest.autostart])
        host.follow_up(change, partial(connection.set_autostart, name, plan.guest.autostart))


def _nothing() -> None:
    """Made with the first change of the domain: a definition is one call."""


def _moves(host: Host, partition: Partition, plans: Sequence[_Plan]) -> Moves | None:
    """Return the vCPUs that move while they run, where each is in a partition of its own."""
    if partition.isolation != "runtime":
        return None
    return Moves(
        host,
        partition,
        {
            (plan.guest.name, difference.role): plan.placement.vcpus.get(int(difference.role[4:]), plan.placement.floating)
            for plan in plans
            for difference in plan.threads
            if difference.aspect == "cpus" and difference.role.startswith("vcpu")
        },
    )


def _plan_threads(host: Host, connection: Connection, plan: _Plan, cpus: int, moves: Moves | None) -> None:
    name = plan.guest.name
    for difference in plan.threads:
        change = Change(
            f"domain {name}: {difference.role} {difference.aspect}", difference.before, difference.after, reason="live"
        )
        if difference.aspect == "scheduler":
            host.follow_up(change, partial(set_scheduler, name, difference))
            continue
        wanted = (
            plan.placement.vcpus.get(int(difference.role[4:]), plan.placement.floating) if difference.role[:4] == "vcpu" else None
        )
        target = plan.placement.emulator if wanted is None else wanted
        pin = partial(connection.pin, name, difference.role, target, cpus)
        host.follow_up(change, partial(moves.pin, pin) if moves and wanted is not None else pin)


# -- results ---------------------------------------------------------------------------------------


def _pending_restarts(plans: Sequence[_Plan], restarting: Sequence[_Plan]) -> dict[str, list[str]]:
    return {
        plan.guest.name: plan.restart_for
        for plan in plans
        if plan.restart_for and plan not in restarting and plan.guest.state != "stopped"
    }


def _result(plan: _Plan) -> dict[str, Any]:
    placement = plan.placement
    return {
        "name": plan.guest.name,
        "state": plan.guest.state,
        "realtime": plan.guest.realtime,
        "vcpus": {str(vcpu): format_cpulist(cpus) for vcpu, cpus in sorted(placement.vcpus.items())},
        "floating": format_cpulist(placement.floating),
        "emulator": format_cpulist(placement.emulator),
        "nodes": list(placement.nodes),
        "memory_mib": plan.guest.memory_mib,
        "macs": {attachment.network.name: attachment.mac for attachment in plan.guest.networks},
    }


# -- removal of everything -------------------------------------------------------------------------


def _remove_all(host: Host, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Plan to take back every definition that is ours; adopted domains become what they were. Disks stay."""
    connection = connect(host) if installed(host) else None  # without libvirt there is nothing to take back
    domains = connection.domains() if connection else {}
    ours = {name: domain for name, domain in domains.items() if is_ours(domain.tree)}
    running = sorted(name for name, domain in ours.items() if domain.running)
    originals = {resource.split(": ")[0][len("domain ") :]: resource for resource in host.entries("domain")}
    if running and not parameters["stop_running"]:
        raise HostError(
            f"guests {', '.join(running)} are running, so their definitions are kept and nothing is undone; shut them down, "
            "or set rt_guest_undo_running: true to have it done"
        )
    if connection is not None:
        _plan_stop(host, connection, running, parameters["shutdown_timeout_s"], force=parameters["force_off"])
        for name, domain in sorted(ours.items()):
            if name not in originals:
                host.follow_up(Change(f"domain {name}", pretty(domain.tree), None), partial(connection.remove, name))
        for name, resource in sorted(originals.items()):
            _plan_original(host, connection, domains.get(name), name, resource)
    return {"domains": [], "restart_required": {}, "unlisted": []}


def _plan_original(host: Host, connection: Connection, domain: Domain | None, name: str, resource: str) -> None:
    original = host.entries("domain")[resource]
    tree = parse(original["xml"])
    found = differences(domain.tree if domain else None, tree)
    before, after = (
        ("\n".join(text or "" for text in texts) for texts in zip(*((d.before, d.after) for d in found))) if found else ("", "")
    )
    define = partial(_redefine, connection, name, original)
    host.restore(Change(f"domain {name}", before, after, reason="restored") if found else None, resource, define)


def _redefine(connection: Connection, name: str, original: Mapping[str, Any]) -> None:
    connection.define(name, original["xml"])
    connection.set_autostart(name, original["autostart"])
