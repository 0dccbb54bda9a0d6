# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_domain: the guests of a node, from the inventory's list to running threads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError
from .._cpus.pages import PAGE_MIB
from .._cpus.partition import Partition
from .._devices.binding import release_unused
from .._devices.settings import restore_settings
from .._guests.bases import Bases
from .._guests.changes import Changes
from .._guests.checks import check_domains, check_live_macs, check_node, check_pages, check_saved
from .._guests.device_plan import MODULES, Devices
from .._guests.disk_checks import check_disks
from .._guests.disk_paths import with_paths
from .._guests.domain_xml import describe, is_ours
from .._guests.found import as_found, with_sizes
from .._guests.guest import IMAGE_FOLDER, Device, Guest, GuestError
from .._guests.guest_list import parse_guests
from .._guests.guest_reader import path_fault
from .._guests.image_users import ImageUsers
from .._guests.known_disks import with_known_disks
from .._guests.kvm import check_slices
from .._guests.libvirt import Connection, Domain, NoConnection, PoolError
from .._guests.made_images import MadeImages
from .._guests.near import with_near
from .._guests.network import parse_networks
from .._guests.pinning import core_of, place
from .._guests.plan import GuestPlan, plan_guest, unfinished
from .._guests.qemu_img import QemuImg
from .._guests.roles import VHOST
from .._guests.seeds import Seeds
from .._guests.threads import guest_pid, polling_cpus, wanted_threads
from .._guests.vhost import scheduler_text
from .._guests.vhost_threads import check_vhost, settle_vhost
from .._guests.workers import settle_workers
from .._host.current import require_current_partition
from .._host.host import Host
from .._memory.pools import guest_memory_mib
from .._runtime.gate import explain, overridden, why_closed
from .._runtime.priorities import check_priority_limit
from .._switch.daemon import find_daemon
from .._switch.gone import ports_of_gone
from .._switch.ovsdb import Once
from .._switch.ready import require_switch, switch_sockets
from ._common import LIMIT, Outcome, check_seconds
from ._ends import ENDS
from ._specs import GUESTS
from ._switch_edges import SwitchEdges

#: The module's options; M(rt_domain) describes them.
OPTIONS: dict[str, Any] = {
    **ENDS,
    **GUESTS,
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "restart": {"type": "bool", "default": False},
    "shutdown_timeout_s": {"type": "int", "default": 120},
    "force_off": {"type": "bool", "default": False},
    "switch_timeout_s": {"type": "int", "default": 60},
    "stop_running": {"type": "bool", "default": False},
    "remove_ports": {"type": "bool", "default": True},
    "priority_limit": {"type": "int", "default": 1},
    "site": {"type": "str", "default": ""},
    "image_folder": {"type": "str", "default": IMAGE_FOLDER},
    "hugepages": {"type": "dict"},
    "virtual_functions": {"type": "dict"},
    "switch": {"type": "dict"},
    "fsroot": {"type": "path", "default": "/"},
}


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the guests; definitions, states and threads are read back from libvirt and /proc."""
    host = edges.host
    check_seconds(parameters, shutdown_timeout_s=1, switch_timeout_s=0)
    if parameters["state"] == "absent":
        return _remove_all(edges, parameters)
    check_priority_limit(parameters["priority_limit"])
    networks = parse_networks(parameters["networks"])
    guests = parse_guests(
        parameters["guests"],
        networks,
        site=parameters["site"],
        priority_limit=parameters["priority_limit"],
        image_folder=_image_folder(parameters),
    )
    partition, topology = require_current_partition(host, parameters["partition"])
    if host.captured:
        host.not_counted.append("guests of the machine: captured files show none")
    connection = edges.libvirt.connect(host) or NoConnection()
    domains = connection.domains()
    existing = [describe(domain.tree, running=domain.running) for domain in domains.values()]
    trees = {name: domain.on_files() for name, domain in domains.items()}
    guests = [as_found(guest, trees.get(guest.name), connection.network) for guest in with_sizes(guests, existing)]
    guests = with_paths(guests, trees, partial(_pool_folder, connection))
    guests = [with_known_disks(guest, trees.get(guest.name)) for guest in guests]
    devices = Devices(host, edges.runner, domains, _counts(parameters.get("virtual_functions")))
    guests = with_near(host, devices.choose(guests))
    check_domains(guests, domains, parameters["site"])
    listed = [guest.name for guest in guests if guest.state != "absent"]
    gone = {guest.name for guest in guests} - set(listed)
    check_slices(host, partition, [trees[name] for name in listed if name in trees])
    placements = place(
        partition,
        topology,
        guests,
        existing,
        memory_mib=guest_memory_mib(host),
        polling=_polling(host, partition, parameters.get("switch")),
    )
    plans = [
        plan_guest(host, guest, placements[guest.name], domains, parameters["site"])
        for guest in guests
        if guest.state != "absent"
    ]
    check_vhost(host, partition, guests, placements)
    check_node(host, guests, networks, networks_needed={plan.guest.name for plan in plans if plan.guest.state == "running"})
    check_saved(plans)
    check_disks(host, plans)
    restarting = [plan for plan in plans if plan.restart_for and parameters["restart"] and plan.guest.state != "stopped"]
    starting = [plan for plan in plans if plan.guest.state == "running" and not plan.running]
    check_live_macs(plans, restarting)
    devices.check(plans, restarting)
    ImageUsers(host, plans, domains, gone=gone, restarting=restarting).check()
    _check_gate(host, [*starting, *restarting])
    check_pages(host, [*starting, *restarting], parameters["hugepages"], restarting)

    images = _plan_images(
        edges, connection, domains, plans, _image_folder(parameters)
    )  # first: they fail before a guest is stopped
    removed = [guest for guest in guests if guest.state == "absent" and guest.name in domains]
    stopped = [plan.guest.name for plan in plans if plan.guest.state == "stopped" and plan.running]
    changes = _changes(edges, connection, domains, parameters)
    changes.stop([*(guest.name for guest in removed if domains[guest.name].running), *stopped])  # frees their CPUs
    for guest in removed:
        changes.remove(guest, plans)
    if parameters.get("remove_ports"):
        _remove_ports(edges, {guest.name for guest in guests if guest.state == "absent"})
    devices.plan(plans)
    for plan in plans:
        changes.define(plan)
    live = [plan for plan in plans if plan.guest.name not in changes.stopping and plan not in restarting]
    changes.move(live, partition, max(topology.possible) + 1)
    devices.plan_interrupts(live)
    for plan in restarting:
        changes.restart(plan)
    for plan in starting:
        changes.start(plan)
    used = devices.used(plans, [*changes.stopping, *gone, *(plan.guest.name for plan in restarting)])
    restore_settings(host, edges.runner, used, devices.asked(plans))
    release_unused(host, edges.runner, used)
    known = {guest.name for guest in guests}
    results = {
        "domains": [_result(plan) for plan in plans],
        "restart_required": _pending_restarts(plans, restarting),
        "defined": sorted(known.intersection(domains)),
        "unlisted": sorted(name for name, domain in domains.items() if name not in known and is_ours(domain.tree)),
    }
    return Outcome(results, after=partial(_look, host, connection, plans, removed, images) if host.changes else None)


def _counts(planned: Mapping[str, Any] | None) -> dict[str, int]:
    """Return how many virtual functions the kvm_host role makes, by function."""
    return {str(address): int(count) for address, count in (planned or {}).items()}


def _image_folder(parameters: Mapping[str, Any]) -> str:
    folder = str(parameters.get("image_folder") or IMAGE_FOLDER)
    if wrong := path_fault(folder, "a folder"):
        raise GuestError(f"rt_guest_image_folder: {wrong}")
    return folder


def _pool_folder(connection: Connection, guest: Guest, pool: str) -> str:
    try:
        return connection.pool_folder(pool)
    except PoolError as error:
        raise GuestError(f"realtime_guests: {guest.name}: {error}") from None


def _plan_images(
    edges: SwitchEdges, connection: Connection, domains: Mapping[str, Domain], plans: Sequence[GuestPlan], image_folder: str
) -> MadeImages:
    """Plan images and seeds that are made, and disks that grow."""
    host = edges.host
    tool = QemuImg(host, edges.runner)
    made = MadeImages(host, tool, grow=connection.grow_disk, image_folder=image_folder)
    made.plan(plans, Bases(host, tool, domains, [plan.guest for plan in plans]))
    seeds = Seeds(host, edges.runner, image_folder=image_folder)
    for plan in plans:
        seeds.plan(plan)
    return made


def _polling(host: Host, partition: Partition, switch: Mapping[str, Any] | None) -> dict[int, str]:
    """Return the CPUs of poll-mode threads; in check mode without those on real-time CPUs that ``switch``, the plan of ovs_dpdk, takes away before.

    The switch ends the threads of CPUs that its mask no longer names. One of another CPU that was moved by hand stays where it is.
    """
    polling = polling_cpus(host)
    planned = parse_or_empty(str((switch or {}).get("pmd_cpus") or ""))
    if not host.dry or not planned:
        return polling
    staying = polling_cpus(host, lambda name: core_of(name) in {None, *planned})
    leaving = {cpu: name for cpu, name in polling.items() if cpu in partition.sets["realtime"] and cpu not in staying}
    if leaving:
        host.notes.append(
            f"realtime CPUs {format_cpulist(leaving)} are polled by {', '.join(sorted(set(leaving.values())))} until the ovs_dpdk role, "
            "which comes first, has sent these threads back"
        )
    return staying


def _check_gate(host: Host, starting: Sequence[GuestPlan]) -> None:
    """Refuse to start real-time guests that libvirt's hook would refuse; in check mode a note, since a reboot may come before."""
    if overridden(host):
        return
    for plan in starting:
        others = plan.guest.emulator_scheduler or plan.guest.io_thread_scheduler
        cpus = frozenset().union(
            *(plan.placement.vcpus.get(vcpu, frozenset()) for vcpu in plan.guest.schedulers),
            plan.placement.emulator if others else (),
        )
        why = why_closed(host, cpus) if cpus else ""
        if why and not host.dry:
            raise HostError(f"realtime_guests: {plan.guest.name} cannot start: {explain(why)}")
        if why:
            host.notes.append(f"{plan.guest.name} cannot start on the node as it is: {why}")


def _changes(edges: SwitchEdges, connection: Connection, domains: Mapping[str, Domain], parameters: Mapping[str, Any]) -> Changes:
    host, timeout_s = edges.host, parameters["shutdown_timeout_s"]

    def ready(plan: GuestPlan) -> None:
        read = edges.ovsdb(host, edges.runner).read
        require_switch(host, read, plan.guest.name, switch_sockets(plan.tree), parameters["switch_timeout_s"])

    return Changes(host, connection, domains, timeout_s=timeout_s, force_off=parameters["force_off"], ready=ready)


def _remove_ports(edges: SwitchEdges, names: Collection[str]) -> None:
    """Plan to remove the switch's ports of guests that are removed; without their guest they would be polled for nothing."""
    if not names:
        return
    host = edges.host
    ovsdb = edges.ovsdb(host, edges.runner)
    removals, operations = ports_of_gone(ovsdb.read(), names)
    if removals and not ovsdb.running():
        ports = ", ".join(change.resource.rpartition("/")[2] for change in removals)
        host.notes.append(
            f"ports {ports} stay on the switch, since ovsdb-server does not run; run the ovs_dpdk role when it does"
        )
        return

    def transact() -> None:
        number = ovsdb.transact(operations)
        if find_daemon(host):
            ovsdb.settle(number)

    act = Once(transact)
    for change in removals:
        host.follow_up(change, act)


def _look(
    host: Host, connection: Connection, plans: Sequence[GuestPlan], removed: Sequence[Guest], images: MadeImages
) -> dict[str, Any]:
    """Compare libvirt and the kernel with the plan after the changes; a difference is an error that names the guest."""
    for plan in plans:
        guest = plan.guest
        pid = guest_pid(host, guest.name) if guest.state == "running" and (guest.realtime or guest.vhost) else None
        if pid is not None and guest.realtime:
            settle_workers(host, pid)
        if pid is not None and guest.vhost_beside:
            settle_vhost(host, pid, guest.vhost_beside, scheduler_text(guest.vhost_scheduler))
    domains = connection.domains()
    wrong = {plan.guest.name: unfinished(host, plan, domains.get(plan.guest.name)) for plan in plans}
    wrong.update({guest.name: "libvirt still knows it" for guest in removed if guest.name in domains})
    wrong.update(images.unfinished())
    differing = [f"{name}: {what}" for name, what in wrong.items() if what]
    if differing:
        raise HostError(
            f"guests differ from what was just made ({'; '.join(differing)}); "
            "another program may have changed them. Run the playbook again"
        )
    return {}


# -- results ---------------------------------------------------------------------------------------


def _pending_restarts(plans: Sequence[GuestPlan], restarting: Sequence[GuestPlan]) -> dict[str, list[str]]:
    return {
        plan.guest.name: plan.restart_for
        for plan in plans
        if plan.restart_for and plan not in restarting and plan.guest.state != "stopped"
    }


def _result(plan: GuestPlan) -> dict[str, Any]:
    placement, page = plan.placement, PAGE_MIB.get(plan.guest.hugepages, 1)
    return {
        "name": plan.guest.name,
        "state": plan.guest.state,
        "realtime": plan.guest.realtime,
        "vcpu_count": plan.guest.vcpus,
        "realtime_vcpus": format_cpulist(plan.guest.realtime_vcpus),
        "vcpus": {str(vcpu): format_cpulist(cpus) for vcpu, cpus in sorted(placement.vcpus.items())},
        "floating": format_cpulist(placement.floating),
        "emulator": format_cpulist(placement.emulator),
        "vhost": format_cpulist(wanted_threads(plan.guest, placement)[0].get(VHOST, ())),
        "nodes": list(placement.nodes),
        "memory_mib": plan.guest.memory_mib,
        "disks": {disk.target: disk.path for disk in plan.guest.disks},
        "hugepages": plan.guest.hugepages,
        "memory_by_node": {str(node): mib for node, mib in placement.memory_by_node(plan.guest.memory_mib, page).items()},
        "macs": {attachment.network.name: attachment.mac for attachment in plan.guest.networks},
        "devices": [_device(device) for device in plan.guest.devices],
    }


def _device(device: Device) -> dict[str, Any]:
    return {"address": device.address, "physical_function": device.physical_function, "mac": device.mac if device.network else ""}


# -- removal of everything -------------------------------------------------------------------------


def _remove_all(edges: SwitchEdges, parameters: Mapping[str, Any]) -> Outcome:
    """Plan to remove every definition that this collection made, and to restore adopted domains. Disks stay."""
    host = edges.host
    # without libvirt there is nothing to remove
    connection = edges.libvirt.connect(host) if edges.libvirt.installed(host) else None
    domains = connection.domains() if connection else {}
    ours = {name: domain for name, domain in domains.items() if is_ours(domain.tree)}
    running = sorted(name for name, domain in ours.items() if domain.running)
    originals = {resource.split(": ")[0][len("domain ") :]: resource for resource in host.entries("domain")}
    if running and not parameters["stop_running"]:
        raise HostError(
            f"guests {', '.join(running)} are running, so their definitions are kept and nothing is undone; shut them down, "
            "or set rt_guest_undo_running: true to let undo do it"
        )
    if connection is not None:
        changes = _changes(edges, connection, domains, parameters)
        changes.stop(running)
        for name in sorted(ours):
            if name not in originals:
                changes.remove_definition(name)
        for name, resource in sorted(originals.items()):
            changes.restore(name, resource)
    used = Devices(host, edges.runner, domains, {}).used([], [*ours])
    restore_settings(host, edges.runner, used)
    release_unused(host, edges.runner, used)
    host.restore_files(only=(MODULES,))
    return Outcome({"domains": [], "restart_required": {}, "unlisted": []})
