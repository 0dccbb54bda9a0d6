# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports of guests that are removed, and the transaction that takes them off the switch. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .._host.change import Change
from .conflicts import AFFINITY_KEY, describe_rows
from .rows import FINISH, Database, change_references


def ports_of_gone(database: Database, guests: Collection[str]) -> tuple[list[Change], list[dict[str, Any]]]:
    """Return the removals of this collection's ports of these guests, and their operations; bridges, settings and other ports stay.

    The class is that of the ovs_dpdk module: a guest that is connected loses its network, threads that poll get new queues.
    """
    rows = [row for row in database.own_ports if row.guest and row.guest in guests]
    polled = any(row.type.startswith("dpdk") or AFFINITY_KEY in row.map("other_config") for row in database.interfaces.values())
    changes: list[Change] = []
    leaving: dict[str, list[list[str]]] = {}
    for row in rows:
        connected = any(interface.connected for interface in database.interfaces_of(row.name))
        disruption = "guest" if connected else "stall" if polled else "none"
        reason = f"network {row.network}, guest {row.guest}"
        changes.append(Change(f"ovs:Port/{row.name}", describe_rows(database, row), None, disruption, reason))
        leaving.setdefault(database.bridge_of(row.name), []).append(["uuid", row.uuid])
    operations = [
        operation
        for bridge, references in leaving.items()
        for operation in change_references("Bridge", database.bridges[bridge], "ports", "delete", references)
    ]
    return changes, [*operations, *FINISH] if operations else []
