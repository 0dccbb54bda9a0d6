# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of Open vSwitch's database that describe a switch. Pure.

Tables and columns: ovs-vswitchd.conf.db(5); how values look in JSON: RFC 7047, section 5.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DATABASE = "Open_vSwitch"
ROOT = "Open_vSwitch"

#: The columns that are read of each table; all exist since Open vSwitch 2.10.
COLUMNS: dict[str, tuple[str, ...]] = {
    ROOT: ("_uuid", "bridges", "cur_cfg", "dpdk_initialized", "external_ids", "next_cfg", "other_config"),
    "Bridge": ("_uuid", "datapath_type", "external_ids", "name", "ports"),
    "Port": ("_uuid", "external_ids", "interfaces", "name", "tag"),
    "Interface": (
        "_uuid",
        "error",
        "external_ids",
        "link_state",
        "mtu_request",
        "name",
        "options",
        "other_config",
        "status",
        "type",
    ),
}
#: Columns that hold a map, and those that hold any number of row references.
_MAPS = ("external_ids", "options", "other_config", "status")
_REFERENCES = ("bridges", "interfaces", "ports")

#: external_ids that mark this collection's rows, with network, guest and device as the inventory names them.
NETWORK_KEY = "realtime-kvm"
GUEST_KEY = "realtime-kvm-guest"
DEVICE_KEY = "realtime-kvm-device"
#: In external_ids of the root: which process of the daemon runs with which values (see ``restart.py``).
DAEMON_KEY = "realtime-kvm-daemon"


@dataclass(frozen=True)
class Row:
    """One row; sets of at most one element are the element or None."""

    uuid: str
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.columns.get("name", ""))

    def map(self, column: str) -> Mapping[str, str]:
        found: Mapping[str, str] = self.columns.get(column, {})
        return found

    def references(self, column: str) -> tuple[str, ...]:
        found: tuple[str, ...] = self.columns.get(column, ())
        return found

    @property
    def network(self) -> str | None:
        """The network that the row was made for; None for a foreign row."""
        return self.map("external_ids").get(NETWORK_KEY)

    @property
    def guest(self) -> str:
        return self.map("external_ids").get(GUEST_KEY, "")

    @property
    def type(self) -> str:
        return str(self.columns.get("type") or "")

    @property
    def connected(self) -> bool:
        """Whether a guest is at the other end of a vhost-user interface."""
        return self.map("status").get("status") == "connected"


@dataclass(frozen=True)
class Database:
    """Open vSwitch's configuration; ``root`` None: there is no database yet."""

    root: Row | None = None
    bridges: Mapping[str, Row] = field(default_factory=dict)  # by name
    ports: Mapping[str, Row] = field(default_factory=dict)  # by name
    interfaces: Mapping[str, Row] = field(default_factory=dict)  # by name

    @property
    def other_config(self) -> Mapping[str, str]:
        return self.root.map("other_config") if self.root else {}

    @property
    def external_ids(self) -> Mapping[str, str]:
        return self.root.map("external_ids") if self.root else {}

    @property
    def dpdk_initialized(self) -> bool:
        return bool(self.root and self.root.columns.get("dpdk_initialized"))

    def bridge_of(self, port: str) -> str:
        """Return the name of the bridge that a port is on."""
        uuid = self.ports[port].uuid
        return next((bridge.name for bridge in self.bridges.values() if uuid in bridge.references("ports")), "")

    def ports_of(self, bridge: str) -> list[Row]:
        """Return the ports of a bridge, including its own."""
        uuids = set(self.bridges[bridge].references("ports")) if bridge in self.bridges else set()
        return [port for port in self.ports.values() if port.uuid in uuids]

    def interfaces_of(self, port: str) -> list[Row]:
        uuids = self.ports[port].references("interfaces")
        return [interface for interface in self.interfaces.values() if interface.uuid in uuids]

    @property
    def own_ports(self) -> list[Row]:
        """This collection's ports, without the bridges' own."""
        return [port for port in self.ports.values() if port.network is not None and port.name not in self.bridges]


def decode(column: str, value: Any) -> Any:
    """Return a column's value as a Python value."""
    if column in _MAPS:
        return dict(value[1])
    is_set = isinstance(value, list) and value[0] == "set"
    items = [_atom(item) for item in value[1]] if is_set else [_atom(value)]
    if column in _REFERENCES:
        return tuple(items)
    return (items[0] if items else None) if is_set else items[0]


def _atom(value: Any) -> Any:
    return value[1] if isinstance(value, list) else value  # ["uuid", "..."]


def select_operations() -> list[dict[str, Any]]:
    """Return the operations that read everything in one transaction."""
    return [{"op": "select", "table": table, "where": [], "columns": list(columns)} for table, columns in COLUMNS.items()]


def parse_database(results: Sequence[Mapping[str, Any]]) -> Database:
    """Return what ``select_operations`` have read."""
    tables = {
        table: [
            Row(
                str(decode("_uuid", row["_uuid"])),
                {column: decode(column, row[column]) for column in columns if column != "_uuid"},
            )
            for row in result["rows"]
        ]
        for (table, columns), result in zip(COLUMNS.items(), results)
    }

    def by_name(table: str) -> dict[str, Row]:
        return {row.name: row for row in sorted(tables[table], key=lambda row: row.name)}

    root = tables[ROOT][0] if tables[ROOT] else None
    return Database(root, by_name("Bridge"), by_name("Port"), by_name("Interface"))


# -- operations ------------------------------------------------------------------------------------


def encode_map(items: Mapping[str, str]) -> list[Any]:
    return ["map", [[key, value] for key, value in sorted(items.items())]]


def encode_optional(value: Any) -> Any:
    return ["set", []] if value is None else value


def where(row: Row) -> list[Any]:
    return [["_uuid", "==", ["uuid", row.uuid]]]


def set_keys(table: str, row: Row, column: str, wanted: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return the operations that set (None: remove) keys of a map and leave the others."""
    if not wanted:
        return []
    # "insert" does not replace an existing key
    mutations: list[Any] = [[column, "delete", ["set", sorted(wanted)]]]
    values = {key: value for key, value in wanted.items() if value is not None}
    if values:
        mutations.append([column, "insert", encode_map(values)])
    return [{"op": "mutate", "table": table, "where": where(row), "mutations": mutations}]


def change_references(table: str, row: Row, column: str, how: str, references: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the operations that add rows to a set of references (``insert``) or remove them (``delete``)."""
    found = list(references)
    if not found:
        return []
    return [{"op": "mutate", "table": table, "where": where(row), "mutations": [[column, how, ["set", found]]]}]


def unchanged(table: str, row: Row, columns: Sequence[str]) -> dict[str, Any]:
    """Return the operation that fails if another user has changed the row since it was read."""
    values = {}
    for column in columns:
        value = row.columns[column]
        if column in _MAPS:
            values[column] = encode_map(value)
        elif column in _REFERENCES:
            values[column] = ["set", [["uuid", uuid] for uuid in value]]
        else:
            values[column] = encode_optional(value)
    return {
        "op": "wait",
        "timeout": 0,
        "table": table,
        "where": where(row),
        "columns": list(columns),
        "until": "==",
        "rows": [values],
    }


#: Ends every transaction: it notifies the daemon, and the answer comes after the write to disk.
FINISH: tuple[dict[str, Any], ...] = (
    {"op": "mutate", "table": ROOT, "where": [], "mutations": [["next_cfg", "+=", 1]]},
    {"op": "select", "table": ROOT, "where": [], "columns": ["next_cfg"]},
    {"op": "commit", "durable": True},
)
