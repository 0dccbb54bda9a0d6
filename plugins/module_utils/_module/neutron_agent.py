# SPDX-License-Identifier: GPL-3.0-or-later
"""neutron_agent: what Neutron's Open vSwitch agent is told, from the node's networks and its switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.answers import plain
from .._cpus.errors import HostError
from .._guests.network import SOCKET_DIR, parse_networks
from .._host.host import Host
from .._openstack import neutron, nova
from .._openstack.ini import render
from .._openstack.kinds import AGENT, NOVA
from .._openstack.physnets import check_bridges, known_physnets
from .._openstack.restart import plan_restart
from .._openstack.service import Service, copies, elsewhere, node_name, plan_files, restore, serving, undo_service
from .._openstack.switch_database import database_way
from ._common import Outcome
from ._openstack import after_restart, check_ovsdb, check_timeout
from ._switch_edges import SwitchEdges


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the module's changes on the host and return its result."""
    host, runner = edges.host, edges.runner
    check_timeout(parameters)
    check_ovsdb(parameters["ovsdb_connection"], "neutron_agent_ovsdb_connection")
    if parameters["state"] == "absent":
        return _undo(edges, parameters)
    physnets = known_physnets(parse_networks(parameters["networks"]).values(), {})
    service = serving(host, runner, AGENT)
    settings = service.others if service else copies(host, AGENT)
    database = edges.ovsdb(host, runner).read()
    check_bridges(physnets, database)
    neutron.check_roles(physnets, settings)
    neutron.check_operator(physnets, settings, database)
    neutron.check_bandwidths(physnets, settings)
    neutron.check_integration(settings, database)
    _check_folder(host)
    agent_host = (
        nova.check_host(settings, parameters["host"], node_name(host), "nova_compute too") if service else parameters["host"]
    )
    hypervisor = _hypervisor(edges)
    absent = neutron.absent_bridges(settings, database)
    host.notes.extend(
        f"{settings.file_of(neutron.MAPPINGS)}: physical network {plain(name, 64)} is left out, since the switch has no bridge "
        f"{plain(bridge, 64)}, and the agent would end; its bandwidth too"
        for bridge, name in absent.items()
    )
    agent = neutron.Agent(
        physnets,
        parameters["ovsdb_connection"]
        or (
            database_way(host, runner, service, neutron.OVSDB, NOVA, nova.OVSDB)
            if service
            else settings.value(neutron.OVSDB) or ""
        ),
        hypervisor if hypervisor != agent_host else "",
        frozenset(absent),
    )
    options = neutron.neutron_options(agent, settings)
    text = render(options, AGENT.title)
    if service is None:
        raise elsewhere(host, AGENT, {"text": text})
    _check_nova(edges, agent_host)
    result = {
        "bridge_mappings": {physnet.name: physnet.bridge for physnet in physnets},
        "bandwidths": {physnet.bridge: physnet.kbps for physnet in physnets},
        "firewall": "noop" if neutron.FIREWALL in options else settings.value(neutron.FIREWALL) or "",
        "hypervisor": hypervisor,
    }
    plan_files(host, service, text, list(options), [*neutron.READS, nova.HOST])
    return _finish(edges, service, result, parameters)


def _finish(edges: SwitchEdges, service: Service, result: Mapping[str, Any], parameters: Mapping[str, Any]) -> Outcome:
    """Plan the restart. The agent writes its flows again beside the old ones and then removes these, so ports may stall for a moment."""
    due = plan_restart(edges.host, edges.runner, service, "stall")
    found = {**result, "unit": service.unit.name, "file": service.place.path, "active": service.active, "restarted": due}
    return Outcome(found, after=after_restart(edges, service, parameters, due=due))


def _check_nova(edges: SwitchEdges, agent_host: str) -> None:
    """Refuse another host than that of nova-compute on this node: Nova binds ports by its own, and no agent of that name would be there."""
    service, unread = undo_service(edges.host, edges.runner, NOVA)
    if service is None or unread:
        return
    theirs = (service.others.value(nova.HOST) or "").strip() or node_name(edges.host)
    if theirs != agent_host:
        raise neutron.NeutronError(
            f"{service.others.file_of(nova.HOST) or service.unit.name}: the host of nova-compute is {plain(theirs, 80)}, that of Neutron's agent "
            f"{plain(agent_host, 80)}; Nova binds ports by its own, so give both services the same (nova_compute_host, neutron_agent_host)"
        )


def _check_folder(host: Host) -> None:
    if not host.captured and not host.exists(SOCKET_DIR):
        raise HostError(
            f"{SOCKET_DIR} does not exist, in which QEMU makes its sockets for the switch; run the ovs_dpdk role (playbook guests or site) first"
        )


def _hypervisor(edges: SwitchEdges) -> str:
    """Return the name of the node's resource provider in placement: that which libvirt tells Nova."""
    connection = edges.libvirt.connect(edges.host) if edges.libvirt.installed(edges.host) else None
    return connection.hostname() if connection else node_name(edges.host)


def _undo(edges: SwitchEdges, parameters: Mapping[str, Any]) -> Outcome:
    host = edges.host
    result = {"bridge_mappings": {}, "bandwidths": {}, "firewall": "", "hypervisor": ""}
    restore(host)
    service = undo_service(host, edges.runner, AGENT)[0] if host.changes or host.entries("after") else None
    if service is not None and host.changes:
        neutron.check_return(service.others, edges.ovsdb(host, edges.runner).read())
    if service is None:
        return Outcome({**result, "unit": "", "file": "", "active": False, "restarted": False})
    return _finish(edges, service, result, parameters)
