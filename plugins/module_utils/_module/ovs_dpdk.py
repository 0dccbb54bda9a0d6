# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs_dpdk: the userspace switch, from the partition and the networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._devices.binding import kernel_arguments
from .._devices.pci import NET, VFIO, node_of
from .._guests.guest import Guest
from .._guests.guest_list import parse_guests
from .._guests.near import with_near
from .._guests.network import Network, parse_networks
from .._guests.pinning import Existing, PinningError, place
from .._host.change import Change
from .._host.current import require_current_partition
from .._host.host import Host
from .._host.kernel import read_machine
from .._host.sysfs import read_topology
from .._host.threads import restore_threads
from .._memory.pools import guest_memory_mib, read_memory
from .._node.hook import run_switch
from .._runtime.feature import must_wait
from .._switch.changes import (
    SERVICE,
    SwitchNode,
    check_restart,
    plan_reload,
    plan_start,
    plan_transaction,
    ports_in_error,
    transaction,
)
from .._switch.conflicts import AFFINITY_KEY, check_devices
from .._switch.daemon import (
    DROP_IN,
    find_daemon,
    is_installed,
    last_errors,
    note_selinux,
    plan_enabled,
    plan_files,
    plan_program,
    plan_threads,
    remove_folder,
    restore_program,
    socket_folder,
    start,
)
from .._switch.diff import SwitchPlan, plan_removal, plan_switch, setting_resource
from .._switch.nic import find_device, plan_binding, release_devices
from .._switch.plan import (
    PHYSICAL,
    Port,
    Switch,
    SwitchError,
    SwitchOptions,
    assign_queues,
    check_dataplane,
    check_extra,
    desired_bridges,
    desired_ports,
    desired_settings,
    parse_affinity,
    socket_memory_mib,
)
from .._switch.restart import restart_reasons
from .._switch.rows import DAEMON_KEY, Database
from ._common import LIMIT, Outcome
from ._specs import GUESTS
from ._switch_edges import SwitchEdges

#: The module's options; M(ovs_dpdk) describes them.
OPTIONS: dict[str, Any] = {
    **GUESTS,
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "socket_memory_mib": {"type": "int", "default": 0},
    "pmd_sleep_max_us": {"type": "int", "default": 0},
    "dpdk_extra": {"type": "str", "default": ""},
    "socket_group": {"type": "str", "default": ""},
    "restart_with_guests": {"type": "bool", "default": False},
    "fsroot": {"type": "path", "default": "/"},
}


@dataclass
class _Node(SwitchNode):
    """The data of this run."""

    edges: SwitchEdges
    parameters: Mapping[str, Any]


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the module's changes on the host and return its result."""
    host, runner = edges.host, edges.runner
    if host.captured:
        host.not_counted.append("a switch of the machine: captured files show none")
    ovsdb = edges.ovsdb(host, runner)
    node = _Node(host, runner, ovsdb, ovsdb.read(), find_daemon(host), edges, parameters)
    if parameters["state"] == "absent":
        return _undo(node)
    networks = parse_networks(parameters["networks"])
    guests = parse_guests(parameters["guests"], networks, priority_limit=99)
    if any(_is_there(network) for network in networks.values()):
        partition, _topology = require_current_partition(host, parameters["partition"])
        return _configure(node, partition, networks, guests)
    # no real-time network is left: remove what the inventory names; only undo removes the switch itself
    plan = plan_switch(node.database, Switch({}, {}, {}, {}), networks, {guest.name for guest in guests})
    plan_transaction(node, plan, waits=node.daemon is not None)
    release_devices(host, runner, plan.used)
    return Outcome(_result(node, plan))


def _is_there(network: Network) -> bool:
    return network.on_switch and network.state == "present"


def _configure(node: _Node, partition: Partition, networks: Mapping[str, Network], guests: Sequence[Guest]) -> Outcome:
    host, runner = node.host, node.runner
    vendor = read_machine(host).vendor
    addresses = {
        network.name: find_device(host, network, node.database)
        for network in networks.values()
        if _is_there(network) and network.device is not None
    }
    check_devices(addresses)
    nodes = {name: node_of(host, address) for name, address in addresses.items()}
    check_dataplane(partition, networks, nodes, read_memory(host))
    domains = _domains(node.edges)
    _check_domains(partition, domains)
    switch = _desired(node, partition, networks, guests, addresses, domains)
    names = {guest.name for guest in guests}
    kernel_names = host.listdir(NET)
    plan = plan_switch(node.database, switch, networks, names, kernel_names=kernel_names, in_use=bool(node.users))
    reasons = restart_reasons(node.database, switch.settings, node.daemon.process) if node.daemon else []
    check_restart(node, switch.settings, reasons, with_guests=node.parameters["restart_with_guests"])
    if not host.dry and must_wait(host, partition):
        host.notes.append(
            "the running kernel does not isolate the dataplane CPUs yet, so poll-mode threads share them until the reboot"
        )

    devices = {address: networks[name] for name, address in addresses.items()}
    note_selinux(host)
    plan_files(host, runner, partition, socket_folder(host, node.parameters["socket_group"]))
    plan_program(host, runner, devices=bool(devices))
    plan_enabled(host)
    plan_binding(host, runner, devices, vendor)
    plan_transaction(node, plan, waits=node.daemon is not None and not reasons)
    plan_start(node, switch, reasons)
    release_devices(host, runner, plan.used)
    if node.daemon and not reasons:
        plan_threads(host, node.daemon, partition)
    plan_reload(node, reasons)
    result = _result(node, plan, reasons, switch, addresses)
    result["switch"]["pmd_cpus"] = format_cpulist(partition.sets["dataplane"])
    if any(network.driver == VFIO for network in devices.values()):
        result["kernel_arguments"] = kernel_arguments(vendor)
    return Outcome(result, after=partial(_settle, node, result, partition=partition))


def _desired(
    node: _Node,
    partition: Partition,
    networks: Mapping[str, Network],
    guests: Sequence[Guest],
    addresses: Mapping[str, str],
    domains: Sequence[Existing],
) -> Switch:
    database, parameters = node.database, node.parameters
    memory = socket_memory_mib(partition, networks, guests, parameters["socket_memory_mib"], read_memory(node.host))
    settings = desired_settings(partition, memory, _options(node))
    ports = desired_ports(networks, guests, addresses, {})
    nodes = _port_nodes(node.host, partition, ports, guests, addresses, domains)
    ports = desired_ports(networks, guests, addresses, nodes)
    ours = {port.name for port in ports}
    existing: dict[str, dict[int, int]] = {}
    foreign: list[int] = []
    for row in database.interfaces.values():
        pinned = parse_affinity(row.map("other_config").get(AFFINITY_KEY, ""))
        if row.name in ours and row.network is not None:
            existing[row.name] = pinned
        else:
            foreign += pinned.values()
    return Switch(
        settings,
        desired_bridges(networks.values(), {name: row.network for name, row in database.bridges.items()}),
        assign_queues(ports, partition, existing, foreign),
        memory,
    )


def _options(node: _Node) -> SwitchOptions:
    """Return the switch's options; unless given, DPDK's arguments keep their value or get their original value back."""
    parameters = node.parameters
    extra = parameters["dpdk_extra"] or None
    current = node.database.other_config.get("dpdk-extra")
    if extra is None:
        ours = node.host.entries("ovs").get(setting_resource("dpdk-extra"))
        extra = current if ours is None else ours["value"] or ""
        if extra:
            check_extra(extra, "other_config:dpdk-extra of the switch")
    return SwitchOptions(parameters["socket_memory_mib"], parameters["pmd_sleep_max_us"], extra)


def _port_nodes(
    host: Host,
    partition: Partition,
    ports: Sequence[Port],
    guests: Sequence[Guest],
    addresses: Mapping[str, str],
    domains: Sequence[Existing],
) -> dict[str, tuple[int, ...]]:
    """Return the NUMA nodes of ports: the device's, and the guest's present or planned ones."""
    try:
        placements = place(
            partition, read_topology(host), with_near(host, guests), domains, memory_mib=guest_memory_mib(host) or None
        )
        of_guest = {name: placement.nodes for name, placement in placements.items()}
    except PinningError:  # the guests' own module reports it
        of_guest = {}
    nodes: dict[str, tuple[int, ...]] = {}
    for port in ports:
        near = node_of(host, addresses[port.network]) if port.type == PHYSICAL else None
        nodes[port.name] = of_guest.get(port.guest, ()) if port.guest else () if near is None else (near,)
    return nodes


# -- checks ----------------------------------------------------------------------------------------


def _domains(edges: SwitchEdges) -> list[Existing]:
    """Return the domains that libvirt knows; the switch does not need a libvirt that answers."""
    try:
        return edges.libvirt.existing(edges.host)
    except HostError as error:
        edges.host.notes.append(f"{error}; so it was not checked whether guests are pinned to dataplane CPUs")
        return []


def _check_domains(partition: Partition, domains: Sequence[Existing]) -> None:
    """Refuse dataplane CPUs that a guest is pinned to, since a poll-mode thread uses all of its CPU."""
    dataplane = partition.sets["dataplane"]
    for domain in domains:
        pins = frozenset().union(*domain.vcpus.values()) if domain.vcpus else frozenset()
        taken = (pins | domain.emulator | domain.io_threads) & dataplane
        if taken:
            raise SwitchError(
                f"ovs_dpdk: dataplane CPUs {format_cpulist(taken)} are used by domain {domain.name}, "
                "although poll-mode threads use them completely; re-pin "
                f"it (virsh vcpupin {domain.name}, virsh emulatorpin {domain.name}), or choose other CPUs (cpu_partition_cpus)"
            )


def _settle(node: _Node, planned: Mapping[str, Any], *, partition: Partition | None = None) -> dict[str, Any]:
    """Read the ports that the daemon has made, and return them; a port that it could not make is an error."""
    database = node.ovsdb.read()
    errors = ports_in_error(database)
    if partition is not None and partition.isolation == "runtime" and node.host.changes:
        run_switch("started")
    if errors:
        listed = "; ".join(f"{name}: {error}" for name, error in sorted(errors.items()))
        raise HostError(f"ovs-vswitchd could not make a port ({listed}){last_errors(node.host)}")
    return {"ports": [_as_found(port, database) for port in planned["ports"]]}


def _as_found(port: Mapping[str, Any], database: Database) -> dict[str, Any]:
    """Return a port with its present queues in the database."""
    row = database.interfaces.get(port["name"])
    if row is None:
        raise HostError(f"port {port['name']} was made, but the switch's database does not hold it; run the playbook again")
    affinity = parse_affinity(row.map("other_config").get(AFFINITY_KEY, ""))
    return {**port, "affinity": {str(queue): cpu for queue, cpu in affinity.items()}}


# -- undo ------------------------------------------------------------------------------------------


def _undo(node: _Node) -> Outcome:
    """Plan to remove everything that this collection made, and to restore settings, devices and files."""
    host, runner = node.host, node.runner
    originals = {resource.rsplit(":", 1)[1]: entry["value"] for resource, entry in host.entries("ovs").items()}
    plan = plan_removal(node.database, originals, drop=[DAEMON_KEY]) if node.database.root else SwitchPlan()
    reasons = restart_reasons(node.database, originals, node.daemon.process) if node.daemon and originals else []
    if node.daemon and not reasons and DROP_IN in host.entries("file"):
        reasons = ["the CPUs of its threads"]
    check_restart(node, originals, reasons, with_guests=node.parameters["restart_with_guests"])
    act = transaction(node, plan, waits=node.daemon is not None and not reasons)
    settings = {difference.setting: difference for difference in plan.differences if difference.setting}
    for difference in plan.differences:
        if not difference.setting:
            host.follow_up(
                Change(difference.resource, difference.before, difference.after, difference.disruption, "restored"), act
            )
    for key in originals:
        found = settings.get(key)
        change = Change(found.resource, found.before, found.after, found.disruption, "restored") if found else None
        host.restore(change, setting_resource(key), act)
    restore_threads(host)
    restore_program(host, runner)
    host.restore_links()
    release_devices(host, runner, ())
    host.restore_files()
    remove_folder(host)
    if reasons:
        disruption = "guest" if node.users else "stall"
        change = Change(SERVICE, "started with this collection's settings", "started without them", disruption, "restored")
        host.follow_up(change, partial(start, host, runner, restart=True, after=lambda: None))
    plan_reload(node, reasons)
    result = _result(node, plan, reasons)
    return Outcome(result, after=partial(_settle, node, result))


# -- result ----------------------------------------------------------------------------------------


def _result(
    node: _Node,
    plan: SwitchPlan,
    reasons: Sequence[str] = (),
    switch: Switch | None = None,
    addresses: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    node.host.notes.extend(plan.notes)
    memory = switch.socket_memory_mib if switch else {}
    return {
        "ports": [_describe(port, addresses or {}) for port in switch.ports.values()] if switch else [],
        "switch": {"pmd_cpus": "", "socket_memory_mib": {str(numa): mib for numa, mib in memory.items()}},
        "restart_required": bool(reasons),
        "restart_reasons": list(reasons),
        "unlisted": plan.unlisted,
        "kernel_arguments": [],
        "installed": is_installed(node.host, devices=bool(addresses)),
    }


def _describe(port: Port, addresses: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": port.name,
        "bridge": port.bridge,
        "network": port.network,
        "guest": port.guest,
        "socket": port.options.get("vhost-server-path", ""),
        "address": addresses.get(port.network, "") if port.type == PHYSICAL else "",
        "affinity": {str(queue): cpu for queue, cpu in port.affinity.items()},
    }
