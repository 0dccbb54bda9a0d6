# SPDX-License-Identifier: GPL-3.0-or-later
"""nova_compute: what nova-compute is told, from the partition and what others have on the node."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

from .._cpus.cpulist import format_cpulist, parse_cpulist
from .._cpus.document import to_document
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._devices.pci import node_of
from .._guests.domain_xml import describe
from .._guests.found import with_sizes
from .._guests.guest import Guest
from .._guests.guest_list import parse_guests
from .._guests.libvirt import Connection, Domain
from .._guests.near import with_near
from .._guests.network import Network, parse_networks
from .._guests.nova import NodeInstance, instance_of
from .._guests.pinning import Existing, Placement, place
from .._guests.threads import guest_pid
from .._host.current import require_current_partition
from .._host.host import Host
from .._host.kernel import read_online
from .._memory.hugepages import Key, Need, check_reserve, plan_pages
from .._memory.pools import guest_memory_mib, process_pages, read_memory
from .._openstack import neutron, nova
from .._openstack.ini import Settings, parse_ini, render
from .._openstack.instances import Sets, astray, check_instances
from .._openstack.kinds import AGENT, NOVA
from .._openstack.order import BESIDE, IN_FOLDER
from .._openstack.physnets import Physnet, check_nodes, known_physnets
from .._openstack.provider import FOLDER, NAME, described_by, provider_text, read_blocks, traits_of
from .._openstack.restart import plan_restart
from .._openstack.service import Service, copies, elsewhere, node_name, plan_files, restore, serving, undo_service
from .._openstack.sets import nova_sets
from .._openstack.switch_database import database_way
from .._openstack.traits import KVM_TRAIT, physnet_traits
from .._runtime.priorities import check_priority_limit
from .._switch.nic import find_device
from .._switch.plan import socket_memory_mib
from ._common import LIMIT, Outcome
from ._openstack import after_restart, check_ovsdb, check_timeout
from ._specs import GUESTS
from ._switch_edges import SwitchEdges

_PROVIDER_TITLE = "traits by which flavors find real-time hosts and their physical networks"

#: The module's options; M(nova_compute) describes them.
OPTIONS: dict[str, Any] = {
    **GUESTS,
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "priority": {"type": "int", "default": 1},
    "priority_limit": {"type": "int", "default": 1},
    "plain_pinned": {"type": "bool", "default": False},
    "host": {"type": "str", "default": ""},
    "hugepages_reserve": {"type": "dict", "default": {}},
    "socket_memory_mib": {"type": "int", "default": 0},
    "switch_pages": {"type": "str", "choices": ["2M", "1G"], "default": "2M"},
    "ovsdb_connection": {"type": "str", "default": ""},
    "timeout_s": {"type": "int", "default": 120},
    "fsroot": {"type": "path", "default": "/"},
}


@dataclass(frozen=True)
class _Others:
    """Who else is on the node: Nova's instances, and all other guests."""

    instances: Sequence[NodeInstance]
    existing: Sequence[Existing]  # all domains
    nova: frozenset[str]  # names of Nova's

    @property
    def foreign(self) -> list[Existing]:
        """The domains that are not Nova's."""
        return [domain for domain in self.existing if domain.name not in self.nova]


def run(edges: SwitchEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the module's changes on the host and return its result."""
    host, runner = edges.host, edges.runner
    check_timeout(parameters)
    check_ovsdb(parameters["ovsdb_connection"], "nova_compute_ovsdb_connection")
    if parameters["state"] == "absent":
        return _undo(edges, parameters)
    check_priority_limit(parameters["priority_limit"])
    nova.check_priority(parameters["priority"], parameters["priority_limit"])
    networks = parse_networks(parameters["networks"])
    guests = parse_guests(parameters["guests"], networks, priority_limit=99)
    partition, topology = require_current_partition(host, parameters["partition"])
    service = serving(host, runner, NOVA)
    connection = edges.libvirt.connect(host)
    others = _others(connection.domains() if connection else {})
    guests = with_near(host, with_sizes(guests, others.existing))
    placements = place(partition, topology, guests, others.existing, memory_mib=guest_memory_mib(host))

    taken = _taken(partition, topology, placements, others.foreign)
    sets = _sets(partition, taken)
    nova.check_sets(sets, partition, read_online(host) or sets.dedicated | sets.shared)
    physnets = known_physnets(networks.values(), _nodes(edges, networks))
    check_nodes(physnets, partition, sets.dedicated)
    reserved = {
        key: need.pages
        for key, need in _reserved(host, partition, networks, guests, placements, others.foreign, parameters).items()
    }
    settings = service.others if service else copies(host, NOVA)
    nova.check_operator(settings)
    if service:
        nova.check_host(settings, parameters["host"], node_name(host), "neutron_agent too")
    ovsdb = parameters["ovsdb_connection"] or (
        database_way(host, runner, service, nova.OVSDB, AGENT, neutron.OVSDB) if service else settings.value(nova.OVSDB) or ""
    )
    node = nova.Node(sets, parameters["priority"], reserved, physnets, ovsdb)
    options = nova.nova_options(node, settings)
    text = render({option: values for option, values in options.items() if values != [""]}, NOVA.title)
    traits = [KVM_TRAIT, *physnet_traits(physnet.name for physnet in physnets).values()]
    result = _result(sets, taken, reserved, physnets, traits, parameters["plain_pinned"])
    before = nova.known_sets(service.settings if service else settings)
    check_instances(others.instances, before, sets)
    host.notes.extend(
        f"Nova's instance {text} has CPUs that neither the sets of before nor the new ones have; hard reboot or migrate it"
        for text in astray(others.instances, before, sets)
    )
    if service is None:
        raise elsewhere(host, NOVA, {"text": text, "provider": provider_text(traits, _PROVIDER_TITLE)})
    nova.check_reserved_last(reserved, service.settings.after(service.place.path))
    _note(host, settings, others.instances, reserved, parameters["plain_pinned"])
    names = {node_name(host), connection.hostname() if connection else node_name(host)}
    provider = _provider(host, settings, traits, names)
    plan_files(host, service, text, list(options), nova.READS, nova.COLLECTED, provider)
    return _finish(edges, service, result, parameters)


def _finish(edges: SwitchEdges, service: Service, result: Mapping[str, Any], parameters: Mapping[str, Any]) -> Outcome:
    """Plan the restart: it touches no guest, since QEMU is a child of libvirt's."""
    due = plan_restart(edges.host, edges.runner, service, "none")
    found = {**result, "unit": service.unit.name, "file": service.place.path, "active": service.active, "restarted": due}
    return Outcome(found, after=after_restart(edges, service, parameters, due=due))


# -- who else is on the node -----------------------------------------------------------------------


def _others(domains: Mapping[str, Domain]) -> _Others:
    found = [(domain, instance_of(domain.tree, running=domain.running)) for domain in domains.values()]
    return _Others(
        [instance for _domain, instance in found if instance],
        [describe(domain.tree, running=domain.running) for domain, _instance in found],
        frozenset(domain.name for domain, instance in found if instance),
    )


def _taken(
    partition: Partition, topology: Topology, placements: Mapping[str, Placement], foreign: Sequence[Existing]
) -> dict[str, frozenset[int]]:
    """Return the realtime CPUs that other guests have, by guest: whole cores, since nothing may run beside a real-time vCPU."""
    realtime = partition.sets["realtime"]
    pinned = {name: frozenset().union(*item.vcpus.values(), item.emulator) for name, item in placements.items()}
    pinned.update({domain.name: domain.cpus for domain in foreign if domain.name not in pinned})
    cores = {
        name: frozenset().union(*(topology.cpus[cpu].siblings for cpu in cpus & realtime)) & realtime
        for name, cpus in pinned.items()
    }
    return {name: cpus for name, cpus in sorted(cores.items()) if cpus}


def _sets(partition: Partition, taken: Mapping[str, frozenset[int]]) -> Sets:
    found = nova_sets(to_document(partition), frozenset().union(*taken.values()))
    return Sets(parse_cpulist(found["dedicated"]), parse_cpulist(found["shared"]))


def _reserved(
    host: Host,
    partition: Partition,
    networks: Mapping[str, Network],
    guests: Sequence[Guest],
    placements: Mapping[str, Placement],
    foreign: Sequence[Existing],
    parameters: Mapping[str, Any],
) -> dict[Key, Need]:
    """Return the pages that are not Nova's: of the switch, of other guests, and those that it must leave."""
    check_reserve(parameters["hugepages_reserve"], "nova_compute_hugepages_reserve")
    listed = {guest.name for guest in guests}
    adrift = [domain for domain in foreign if domain.running and not domain.nodes and domain.name not in listed]
    pids = {domain.name: guest_pid(host, domain.name) for domain in adrift}
    memory = read_memory(host)
    needs = plan_pages(
        guests,
        placements,
        foreign,
        held={name: process_pages(host, pid) for name, pid in pids.items() if pid},
        switch_mib=socket_memory_mib(partition, networks, guests, parameters["socket_memory_mib"], memory),
        switch_pages=parameters["switch_pages"],
        reserve_mib=parameters["hugepages_reserve"],
        nodes=[node for node in partition.nodes if node in memory or not memory],
    )
    nova.check_reserved(needs.values(), {node: found.total for node, found in memory.items()})
    return needs


def _nodes(edges: SwitchEdges, networks: Mapping[str, Network]) -> dict[str, int | None]:
    """Return the NUMA nodes of the devices of physical networks."""
    known = [item for item in networks.values() if item.physical_network and item.device and item.state == "present"]
    if not known:
        return {}
    database = edges.ovsdb(edges.host, edges.runner).read()
    return {network.name: node_of(edges.host, find_device(edges.host, network, database)) for network in known}


# -- what is written -------------------------------------------------------------------------------


def _provider(host: Host, settings: Settings, traits: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """Return the file of traits by its path; none where a file of the operator's has them already. ``names``: of the node's provider."""
    folder = nova.provider_folder(settings, FOLDER)
    files = {
        f"{folder}/{name}": host.read(f"{folder}/{name}") or ""
        for name in host.listdir(folder)
        if name.endswith(".yaml") and not name.startswith(".") and name != NAME
    }
    _note_traits(host, f"{folder}/{NAME}", traits)
    described = described_by(read_blocks(files, yaml_load), traits, names, partial(_uuid, host, settings))
    return {} if described else {f"{folder}/{NAME}": provider_text(traits, _PROVIDER_TITLE)}


def _note_traits(host: Host, path: str, traits: Sequence[str]) -> None:
    """Note traits of ours that go: placement keeps them (nova/compute/resource_tracker.py only adds)."""
    gone = [trait for trait in traits_of(host.read(path) or "") if trait not in traits]
    if gone:
        host.notes.append(
            f"placement keeps the traits {', '.join(gone)} of this node, since Nova never takes one back, and schedules by them; take them out: openstack "
            "resource provider trait list, then trait set with the other ones"
        )


def _uuid(host: Host, settings: Settings) -> str:
    """Return the node's uuid, empty where Nova has not made one yet: beside its files or in its state_path (nova/virt/node.py)."""
    folders = [
        *dict.fromkeys(posixpath.dirname(file.path) for file in settings.files),
        settings.value(nova.STATE) or "/var/lib/nova",
    ]
    return next((found.lower() for folder in folders if (found := host.value(f"{folder}/compute_id"))), "")


def _note(
    host: Host, settings: Settings, instances: Sequence[NodeInstance], reserved: Mapping[Key, int], plain_pinned: bool
) -> None:
    free = [str(item.instance) for item in instances if not item.cpus.pins]
    if free:
        host.notes.append(
            f"Nova's instances {', '.join(free[:10])} are not pinned; each gets cpu_shared_set at its next hard reboot"
        )
    host.notes.extend(f"{line} is replaced by this collection's count" for line in nova.overlaid(reserved, settings))
    if plain_pinned:
        host.notes.append(
            "nova_compute_plain_pinned: real-time and plainly pinned instances share the realtime CPUs of this node; an ordinary instance with "
            "dedicated CPUs can be the neighbour of a real-time one on its cache and memory"
        )


def _result(
    sets: Sets,
    taken: Mapping[str, frozenset[int]],
    reserved: Mapping[Key, int],
    physnets: Sequence[Physnet],
    traits: Sequence[str],
    plain_pinned: bool,
) -> dict[str, Any]:
    return {
        "sets": {"dedicated": format_cpulist(sets.dedicated), "shared": format_cpulist(sets.shared)},
        "left_out": {name: format_cpulist(cpus) for name, cpus in taken.items()},
        "reserved_pages": [{"node": node, "size": size, "pages": pages} for (node, size), pages in sorted(reserved.items())],
        "physnets": {
            physnet.name: {"bridge": physnet.bridge, "node": physnet.node, "kbps": physnet.kbps} for physnet in physnets
        },
        "traits": list(traits),
        "plain_pinned": plain_pinned,
    }


# -- undo ------------------------------------------------------------------------------------------


def _undo(edges: SwitchEdges, parameters: Mapping[str, Any]) -> Outcome:
    """Plan to take our files back; refused while instances have CPUs that the operator's files do not give them."""
    host = edges.host
    result = _result(Sets(), {}, {}, [], [], plain_pinned=False)
    for path in host.entries("file"):
        if path.endswith(f"/{NAME}"):
            _note_traits(host, path, [])
    restore(host)
    if not (host.changes or host.entries("after")):
        return Outcome({**result, "unit": "", "file": "", "active": False, "restarted": False})
    service, unread = undo_service(host, edges.runner, NOVA)
    if service is None:
        return Outcome({**result, "unit": "", "file": "", "active": False, "restarted": False})
    if edges.libvirt.installed(host):
        connection: Connection | None = edges.libvirt.connect(host)
        others = _others(connection.domains() if connection else {})
        remedy = "Migrate, shelve or delete these instances first; undo takes Nova's sets back"
        if unread:  # what the operator's files give instances is not known
            before, after = nova.known_sets(_written(host)), Sets()
            remedy = f"{remedy}. Which sets Nova has then cannot be read: {unread}"
        else:
            before, after = nova.known_sets(service.settings), nova.known_sets(service.others)
        pinned = [instance for instance in others.instances if _has_dedicated(instance, before)]
        check_instances(pinned, before, after, remedy)
    return _finish(edges, service, result, parameters)


def _written(host: Host) -> Settings:
    """Return what our own file says."""
    return Settings(
        [
            parse_ini(host.read(path) or "", path)
            for path in host.entries("file")
            if posixpath.basename(path) in (BESIDE, IN_FOLDER)
        ]
    )


def _has_dedicated(instance: NodeInstance, before: Sets) -> bool:
    return any(cpus <= before.dedicated for cpus in instance.cpus.pins.values())
