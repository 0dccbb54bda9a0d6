# SPDX-License-Identifier: GPL-3.0-or-later
"""What Neutron's Open vSwitch agent is told: options from networks and switch, beside the operator's own. Pure.

Options: neutron/conf/plugins/ml2/drivers/ovs_conf.py and neutron/conf/agent/securitygroups_rpc.py. Mappings are one to one
(neutron_lib/utils/helpers.py, ``parse_mappings``); the agent ends where a mapped bridge does not exist.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .._cpus.answers import plain
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
FIREWALL: Option = ("securitygroup", "firewall_driver")

#: Firewalls that need the kernel's datapath: a vhost-user port has no interface that iptables could filter.
_OF_THE_KERNEL = ("iptables", "iptables_hybrid")


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
    mappings = {name: bridge for name, bridge in _pairs(others.value(MAPPINGS)) if bridge not in agent.missing}
    bandwidths = [item for item in split_list(others.value(BANDWIDTHS)) if item.partition(":")[0] not in bridges]
    bandwidths += [f"{physnet.bridge}:{physnet.kbps}:{physnet.kbps}" for physnet in agent.physnets]
    hypervisors = {name: host for name, host in _pairs(others.value(HYPERVISORS)) if name not in bridges}
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
    if (others.value(FIREWALL) or "").strip() in ("", *_OF_THE_KERNEL):
        options[FIREWALL] = ["noop"]
    return {option: values for option, values in options.items() if values != [""] or others.value(option)}


def _pairs(text: str | None) -> list[tuple[str, str]]:
    return [(name.strip(), value.strip()) for item in split_list(text) for name, sign, value in [item.partition(":")] if sign]


def _joined(pairs: Mapping[str, str]) -> str:
    return ",".join(f"{name}:{value}" for name, value in pairs.items())


def absent_bridges(others: Settings, database: Database) -> dict[str, str]:
    """Return the bridges that the operator maps and the switch does not have, each with its physical network."""
    return {bridge: name for name, bridge in _pairs(others.value(MAPPINGS)) if bridge not in database.bridges}


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
    for name, bridge in _pairs(others.value(MAPPINGS)):
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
            f"the integration bridge {plain(name, 64)} has the datapath of the kernel and {len(used)} ports ({plain(', '.join(sorted(used)), 120)}); "
            "with datapath_type netdev the agent would make it anew under them. Migrate the instances away first, then run this again"
        )


def _is_patch(database: Database, port: str) -> bool:
    return all(interface.type == "patch" for interface in database.interfaces_of(port))


def _folder(path: str) -> str:
    found = posixpath.normpath(path.strip())
    return found[len("/var") :] if found.startswith("/var/run/") else found
