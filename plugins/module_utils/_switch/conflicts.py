# SPDX-License-Identifier: GPL-3.0-or-later
"""Conflicts of planned bridges and ports with those of other users, and how differences describe ports. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .plan import Port, Switch, SwitchError, format_affinity
from .rows import Database, Row

AFFINITY_KEY = "pmd-rxq-affinity"


def check_conflicts(database: Database, switch: Switch, kernel_names: Collection[str]) -> None:
    """Refuse what would change other users' rows, or would not work beside them."""
    for name, network in switch.bridges.items():
        row = database.bridges.get(name)
        if row is None and (name in kernel_names or name in database.ports):
            where_ = (
                f"port {name} of bridge {database.bridge_of(name)}"
                if name in database.ports
                else f"an interface {name} of the kernel"
            )
            raise SwitchError(
                f"realtime_networks: {network}: {where_} already exists, so no userspace bridge of that name can be made; "
                "name another bridge, "
                "or give the network realtime: false if that bridge is meant"
            )
        if row is not None and row.network is None and row.columns.get("datapath_type") != "netdev":
            kind = row.columns.get("datapath_type") or "system"
            raise SwitchError(
                f"realtime_networks: {network}: bridge {name} exists with the kernel's datapath (datapath_type {kind}) and is "
                "not this collection's; "
                "name another bridge, or set its datapath_type to netdev yourself"
            )
    for port in switch.ports.values():
        _check_port(database, port)


def check_devices(addresses: Mapping[str, str]) -> None:
    """Refuse two networks (network to PCI address) on one device, which may be named by its interface and by its address."""
    owners: dict[str, str] = {}
    for network, address in addresses.items():
        other = owners.setdefault(address, network)
        if other != network:
            raise SwitchError(f"realtime_networks: {other} and {network} name the same device, {address}; give each its own")


def _check_port(database: Database, port: Port) -> None:
    label = f"realtime_guests: {port.guest}" if port.guest else f"realtime_networks: {port.network}"
    row = database.ports.get(port.name)
    if row is not None and row.network is None:
        raise SwitchError(
            f"{label}: port {port.name} exists on bridge {database.bridge_of(port.name)} and is not this collection's; "
            "remove or rename it"
        )
    for interface in database.interfaces.values():
        if interface.network is not None:
            continue
        if interface.name == port.name:
            raise SwitchError(
                f"{label}: an interface {port.name} exists on the switch and is not this collection's; remove or rename it"
            )
        for key in ("dpdk-devargs", "vhost-server-path"):
            value = port.options.get(key)
            if value is not None and interface.map("options").get(key) == value:
                raise SwitchError(
                    f"{label}: interface {interface.name}, which is not this collection's, has {key} {value} already; "
                    "remove it, or choose another device"
                )


def _lines(items: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(f"{key}: {value}" for key, value in items if value not in (None, ""))


def describe_port(port: Port) -> str:
    """Return a port as the differences show it."""
    options = [(f"options:{key}", value) for key, value in sorted(port.options.items())]
    head = [("bridge", port.bridge), ("type", port.type), *options]
    return _lines([*head, ("mtu_request", port.mtu), ("tag", port.tag), (AFFINITY_KEY, format_affinity(port.affinity))])


def describe_rows(database: Database, row: Row) -> str:
    """Return a port of the database as the differences show it."""
    interface = database.interfaces.get(row.name, row)
    options = [(f"options:{key}", value) for key, value in sorted(interface.map("options").items())]
    head = [("bridge", database.bridge_of(row.name)), ("type", interface.type), *options]
    affinity = interface.map("other_config").get(AFFINITY_KEY)
    return _lines(
        [*head, ("mtu_request", interface.columns.get("mtu_request")), ("tag", row.columns.get("tag")), (AFFINITY_KEY, affinity)]
    )
