# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neutron's Open vSwitch agent is told: options from networks and switch, beside the operator's own. Pure.

Options: neutron/conf/plugins/ml2/drivers/ovs_conf.py and neutron/conf/agent/securitygroups_rpc.py. Mappings are one to one
(neutron_lib/utils/helpers.py, ``parse_mappings``); the agent ends where a mapped bridge does not exist.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .._cpus.answers import counted, plain
from .._cpus.errors import RefusalError
from .._guests.network import SOCKET_DIR
from .._switch.rows import Database
from .ini import Option, Settings, split_list
from .physnets import Physnet

DATAPATH: Option = ("ovs", "datapath_type")
SOCKETS: Option = ("ovs", "vhostuser_socket_dir")
MAPPINGS: Option = ("ovs", "bridge_mappings")
BANDWIDTHS: Option = ("ovs", "resource_provider_bandwidths")
HYPERVISORS: Option = ("ovs", "resource_provider_hypervisors")
OVSDB: Option = ("ovs", "ovsdb_connection")
INTEGRATION: Option = ("ovs", "integration_bridge")
TUNNEL: Option = ("ovs", "tunnel_bridge")
TUNNELLED: Option = ("ml2", "tunnelled_network_rp_name")
FIREWALL: Option = ("securitygroup", "firewall_driver")
#: What is taken from the operator's files.
READS = (SOCKETS, MAPPINGS, BANDWIDTHS, HYPERVISORS, OVSDB, INTEGRATION, TUNNEL, TUNNELLED, FIREWALL)

#: In the names and in the class paths of firewalls that need the kernel's datapath: a vhost-user port has no interface that iptables could filter
#: (neutron/agent/firewall.py, ``load_firewall_driver_class``, takes both).
_OF_THE_KERNEL = "iptables"


class NeutronError(RefusalError):
    """The agent cannot be configured so; the message names variable or file, and what would work."""


@dataclass(frozen=True)
class Agent:
    """What the agent's options come from."""

    physnets: Sequence[Physnet]
    ovsdb: str
    hypervisor: str = ""  # its name, where it is not the agent's host
    missing: frozenset[str] = field(default_factory=frozenset)  # bridges of the operator's mappings that the switch does not have


def neutron_options(agent: Agent, others: Settings) -> dict[Option, list[str]]:
    """Return the options to write; mappings of the operator's for other bridges are kept."""
    ours = {physnet.name: physnet.bridge for physnet in agent.physnets}
    bridges = set(ours.values())
    replaced = bridges | agent.missing
    mappings = {name: bridge for name, bridge in _pairs(others, MAPPINGS) if bridge not in agent.missing}
    bandwidths = [item for bridge, item in _bandwidths(others) if bridge not in replaced]
    bandwidths += [f"{physnet.bridge}:{physnet.kbps}:{physnet.kbps}" for physnet in agent.physnets]
    hypervisors = {name: host for name, host in _pairs(others, HYPERVISORS) if name not in replaced}
    if agent.hypervisor:
        hypervisors.update(dict.fromkeys(sorted(bridges), agent.hypervisor))
    options = {
        DATAPATH: ["netdev"],
        SOCKETS: [SOCKET_DIR],
        MAPPINGS: [_joined({**mappings, **ours})],
        BANDWIDTHS: [",".join(bandwidths)],
        HYPERVISORS: [_joined(hypervisors)],
        OVSDB: [agent.ovsdb],
    }
    firewall = (others.value(FIREWALL) or "").strip().lower()
    if firewall in ("", "noop") or _OF_THE_KERNEL in firewall:  # noop too: a text for containers replaces an earlier one
        options[FIREWALL] = ["noop"]
    return {option: values for option, values in options.items() if values != [""] or others.value(option)}


def _pairs(others: Settings, option: Option) -> list[tuple[str, str]]:
    found = []
    for item in split_list(others.value(option)):
        name, sign, value = (part.strip() for part in item.partition(":"))
        if not (name and sign and value) or ":" in value:
            raise _unclear(others, option, item, "name:value")
        found.append((name, value))
    return found


def _bandwidths(others: Settings) -> list[tuple[str, str]]:
    """Return the operator's bandwidths, each with its bridge (neutron_lib/placement/utils.py, ``parse_rp_bandwidths``)."""
    found = []
    for item in split_list(others.value(BANDWIDTHS)):
        parts = [part.strip() for part in item.split(":")]
        if len(parts) not in (1, 3) or not parts[0]:  # both numbers may be left out
            raise _unclear(others, BANDWIDTHS, item, "bridge:egress:ingress")
        found.append((parts[0], item))
    return found


def _unclear(others: Settings, option: Option, item: str, form: str) -> NeutronError:
    return NeutronError(
        f"{others.file_of(option)}: [{option[0]}] {option[1]}: {plain(item, 80)} is no {form}, with which the agent ends; repair it"
    )


def _joined(pairs: Mapping[str, str]) -> str:
    return ",".join(f"{name}:{value}" for name, value in pairs.items())


def absent_bridges(others: Settings, database: Database) -> dict[str, str]:
    """Return the bridges that the operator maps and the switch does not have, each with its physical network."""
    return {bridge: name for name, bridge in _pairs(others, MAPPINGS) if bridge not in database.bridges}


def check_bandwidths(physnets: Iterable[Physnet], others: Settings) -> None:
    """Refuse a bandwidth of a bridge that is mapped nowhere: the agent would end (neutron/common/utils.py, ``validate_rp_bandwidth``)."""
    mapped = {bridge for _name, bridge in _pairs(others, MAPPINGS)} | {physnet.bridge for physnet in physnets}
    tunnelled = (others.value(TUNNELLED) or "").strip()
    for bridge, item in _bandwidths(others):
        if bridge not in mapped and bridge != tunnelled:
            raise NeutronError(
                f"{others.file_of(BANDWIDTHS)}: [ovs] resource_provider_bandwidths has {plain(item, 80)}, but bridge_mappings has no such bridge, with "
                "which the agent ends; take it out, or map the bridge"
            )


def check_roles(physnets: Iterable[Physnet], others: Settings) -> None:
    """Refuse a bridge of the agent's own as that of a physical network: it would be patched to itself and its flows be written anew."""
    own = {(others.value(option) or default).strip(): option for option, default in ((INTEGRATION, "br-int"), (TUNNEL, "br-tun"))}
    named = [(f"realtime_networks: {physnet.network}", physnet.name, physnet.bridge) for physnet in physnets]
    named += [(f"{others.file_of(MAPPINGS)}: [ovs] bridge_mappings", name, bridge) for name, bridge in _pairs(others, MAPPINGS)]
    for where, name, bridge in named:
        if bridge in own:
            group, option = own[bridge]
            raise NeutronError(
                f"{where}: physical network {plain(name, 64)} is on bridge {plain(bridge, 64)}, which is the agent's own ([{group}] {option}); give the "
                "physical network a bridge of its own"
            )


def check_operator(physnets: Iterable[Physnet], others: Settings, database: Database) -> None:
    """Refuse options in the operator's files that contradict ours."""
    found = others.value(SOCKETS)
    if found and _folder(found) != SOCKET_DIR:
        raise NeutronError(
            f"{others.file_of(SOCKETS)}: [ovs] vhostuser_socket_dir is {plain(found, 120)}, but QEMU may make sockets for this switch only in "
            f"{SOCKET_DIR}; remove the option"
        )
    ours = {physnet.name: physnet.bridge for physnet in physnets}
    where = others.file_of(MAPPINGS)
    for name, bridge in _pairs(others, MAPPINGS):
        if name in ours and ours[name] != bridge:
            raise NeutronError(
                f"{where}: [ovs] bridge_mappings has {plain(name, 64)} on bridge {plain(bridge, 64)}, realtime_networks on {ours[name]}; "
                "take it out of one of them"
            )
        other = next((physnet for physnet, own in ours.items() if own == bridge and physnet != name), "")
        if other:
            raise NeutronError(
                f"{where}: [ovs] bridge_mappings has {plain(name, 64)} on bridge {bridge}, which is that of {other} in realtime_networks; a bridge "
                "can be only one physical network"
            )
        if (row := database.bridges.get(bridge)) is not None and (row.columns.get("datapath_type") or "system") != "netdev":
            raise NeutronError(
                f"{where}: bridge {plain(bridge, 64)} of physical network {plain(name, 64)} has the datapath of the kernel, and the agent cannot "
                "patch it to an integration bridge with the userspace datapath; set its datapath_type to netdev, or take it out of the mappings"
            )


def check_integration(others: Settings, database: Database) -> None:
    """Refuse an integration bridge in the kernel that has ports: the agent would move it to the other datapath under them."""
    name = (others.value(INTEGRATION) or "br-int").strip()
    row = database.bridges.get(name)
    if row is None or (row.columns.get("datapath_type") or "system") == "netdev":
        return
    used = [port.name for port in database.ports_of(name) if port.name != name and not _is_patch(database, port.name)]
    if used:
        raise NeutronError(
            f"the integration bridge {plain(name, 64)} has the datapath of the kernel and {counted(len(used), 'port')} "
            f"({plain(', '.join(sorted(used)), 120)}); with datapath_type netdev the agent would make it anew under "
            "them. Migrate the instances away first, then run this again"
        )


def check_return(others: Settings, database: Database) -> None:
    """Refuse to take our file back while vhost-user ports are on the integration bridge: without ``datapath_type`` the agent moves that bridge to the
    kernel's datapath (ovsdbapp, AddBridgeCommand), which carries none of them."""
    name = (others.value(INTEGRATION) or "br-int").strip()
    row = database.bridges.get(name)
    if row is None or row.columns.get("datapath_type") != "netdev" or (others.value(DATAPATH) or "").strip() == "netdev":
        return
    used = sorted(
        port.name
        for port in database.ports_of(name)
        if any(interface.type.startswith("dpdkvhostuser") for interface in database.interfaces_of(port.name))
    )
    if used:
        raise NeutronError(
            f"the integration bridge {plain(name, 64)} has {counted(len(used), 'port')} of instances ({plain(', '.join(used), 120)}), and the agent would "
            "move it to the kernel's datapath, where they carry nothing. Nothing was changed. Migrate, shelve or delete these instances first, or write "
            "datapath_type = netdev below [ovs] into the agent's own configuration"
        )


def _is_patch(database: Database, port: str) -> bool:
    return all(interface.type == "patch" for interface in database.interfaces_of(port))


def _folder(path: str) -> str:
    found = posixpath.normpath(path.strip())
    return found[len("/var") :] if found.startswith("/var/run/") else found
