# SPDX-License-Identifier: GPL-3.0-or-later
"""The differences of the database from the planned switch, and the one transaction that removes them. Pure.

This collection owns the rows marked in ``external_ids`` and the keys of ``other_config`` that ``_switch`` names. All
others belong to other users: a foreign bridge may get ports of this collection, but is neither changed nor removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._guests.network import Network
from .conflicts import AFFINITY_KEY, check_conflicts, describe_port, describe_rows
from .plan import PHYSICAL, QUEUE_KEYS, RESTART_KEYS, VHOST, Port, Switch, format_affinity, parse_affinity, same_setting
from .rows import (
    DEVICE_KEY,
    FINISH,
    GUEST_KEY,
    NETWORK_KEY,
    ROOT,
    Database,
    Row,
    change_references,
    encode_map,
    encode_optional,
    set_keys,
    unchanged,
    where,
)

#: The interface options that the inventory decides; n_rxq_desc and the like are the administrator's.
_OPTION_KEYS = {PHYSICAL: ("dpdk-devargs", "n_rxq"), VHOST: ("vhost-server-path",)}


@dataclass(frozen=True)
class Difference:
    """One difference from the plan."""

    resource: str
    before: str | None
    after: str | None
    disruption: str = "none"
    reason: str = ""
    setting: str = ""  # the key of other_config, whose original must be journalled


@dataclass
class SwitchPlan:
    """Differences, and the operations that remove all of them together."""

    differences: list[Difference] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)
    unlisted: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # PCI addresses of the physical ports after the change


def setting_resource(key: str) -> str:
    """Return the name of a key of other_config in changes and journal."""
    return f"ovs:Open_vSwitch other_config:{key}"


def plan_switch(
    database: Database,
    switch: Switch,
    networks: Mapping[str, Network],
    guests: Collection[str],
    *,
    kernel_names: Collection[str] = (),
    in_use: bool = False,
) -> SwitchPlan:
    """Compare and return the plan; ``SwitchError`` where rows of other users conflict with it.

    ``guests`` are the names of the listed guests, ``kernel_names`` the kernel's interfaces. ``in_use``: real-time guests
    use the switch, so that a restart of the daemon disturbs them.
    """
    check_conflicts(database, switch, kernel_names)
    return _Planner(database, switch, networks, guests, in_use=in_use).plan()


class _Planner:
    """One comparison; collects differences and operations."""

    def __init__(
        self, database: Database, switch: Switch, networks: Mapping[str, Network], guests: Collection[str], *, in_use: bool
    ) -> None:
        self.database = database
        self.switch = switch
        self.networks = networks
        self.guests = guests
        self.restart_class = "guest" if in_use else "stall"
        #: polling threads get new queues; a guest can notice that only where they already poll
        polled = any(
            row.type.startswith("dpdk") or AFFINITY_KEY in row.map("other_config") for row in database.interfaces.values()
        )
        self.queue_class = "stall" if polled else "none"
        self.result = SwitchPlan()
        self.guards: dict[str, dict[str, Any]] = {}
        self.inserts: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.joining: dict[str, list[Any]] = {}  # bridge to references of new ports
        self.leaving: dict[str, list[str]] = {}  # bridge to UUIDs of ports to remove

    def plan(self) -> SwitchPlan:
        self._settings()
        for port in self.switch.ports.values():
            self._port(port)
        self._gone_ports()
        self._bridges()
        self._gone_bridges()
        self._references()
        if self.result.differences:
            self.result.operations = [*self.guards.values(), *self.inserts, *self.updates, *FINISH]
        self.result.used = self._used_devices()
        return self.result

    def _used_devices(self) -> set[str]:
        wanted = {port.options.get("dpdk-devargs", "") for port in self.switch.ports.values()}
        left_alone = [row["port"] for row in self.result.unlisted if row["port"]]
        rows = [interface for port in left_alone for interface in self.database.interfaces_of(port)]
        return wanted | {row.map("options").get("dpdk-devargs", "") for row in rows}

    def _differs(self, resource: str, before: str | None, after: str | None, disruption: str = "none", reason: str = "") -> None:
        self.result.differences.append(Difference(resource, before, after, disruption, reason))

    def _guard(self, table: str, row: Row, *columns: str) -> None:
        """Make the transaction fail if another user changes the row meanwhile."""
        known = self.guards.get(row.uuid)
        names = sorted({*columns, *(known["columns"] if known else ())})
        self.guards[row.uuid] = unchanged(table, row, names)

    # -- settings ----------------------------------------------------------------------------------

    def _settings(self) -> None:
        current = self.database.other_config
        changed = {key: value for key, value in self.switch.settings.items() if not same_setting(key, current.get(key), value)}
        for key, value in changed.items():
            if key in RESTART_KEYS:
                disruption, reason = self.restart_class, "read when the daemon starts"
            else:
                disruption, reason = (self.queue_class if key in QUEUE_KEYS else "none"), "poll-mode threads"
            self.result.differences.append(
                Difference(setting_resource(key), current.get(key), value, disruption, reason, setting=key)
            )
        root = self.database.root
        if root is None:
            values = {key: value for key, value in changed.items() if value is not None}
            self.inserts.append({"op": "insert", "table": ROOT, "row": {"other_config": encode_map(values)}})
        elif changed:
            self._guard(ROOT, root, "other_config")
            self.updates += set_keys(ROOT, root, "other_config", changed)

    # -- ports -------------------------------------------------------------------------------------

    def _port(self, port: Port) -> None:
        row = self.database.ports.get(port.name)
        if row is None:
            self._new_port(port)
            return
        current = self.database.bridge_of(port.name)
        if current != port.bridge:
            self._differs(f"ovs:Port/{port.name} bridge", current, port.bridge, self.queue_class)
            self.leaving.setdefault(current, []).append(row.uuid)
            self.joining.setdefault(port.bridge, []).append(["uuid", row.uuid])
        if row.columns.get("tag") != port.tag:
            before = row.columns.get("tag")
            self._differs(f"ovs:Port/{port.name} tag", _text(before), _text(port.tag), reason=f"VLAN of network {port.network}")
            self._guard("Port", row, "tag")
            self._update("Port", row, {"tag": encode_optional(port.tag)})
        self._marks("Port", row, port)
        interface = self.database.interfaces.get(port.name)
        if interface is not None:
            self._interface(interface, port)

    def _new_port(self, port: Port) -> None:
        number = len(self.inserts)
        interface, name = f"interface{number}", f"port{number}"
        marks = encode_map(_marks_of(port))
        self._differs(f"ovs:Port/{port.name}", None, describe_port(port), self.queue_class, f"network {port.network}")
        self.inserts.append(
            {
                "op": "insert",
                "table": "Interface",
                "uuid-name": interface,
                "row": {
                    "name": port.name,
                    "type": port.type,
                    "options": encode_map(port.options),
                    "mtu_request": port.mtu,
                    "other_config": encode_map({AFFINITY_KEY: format_affinity(port.affinity)}),
                    "external_ids": marks,
                },
            }
        )
        row = {
            "name": port.name,
            "tag": encode_optional(port.tag),
            "interfaces": ["named-uuid", interface],
            "external_ids": marks,
        }
        self.inserts.append({"op": "insert", "table": "Port", "uuid-name": name, "row": row})
        self.joining.setdefault(port.bridge, []).append(["named-uuid", name])

    def _interface(self, row: Row, port: Port) -> None:
        resource = f"ovs:Interface/{port.name}"
        self._marks("Interface", row, port)
        if row.type != port.type:
            self._differs(f"{resource} type", row.type, port.type, "stall")
            self._guard("Interface", row, "type")
            self._update("Interface", row, {"type": port.type})
        if row.columns.get("mtu_request") != port.mtu:
            self._differs(f"{resource} mtu_request", _text(row.columns.get("mtu_request")), str(port.mtu), "stall")
            self._guard("Interface", row, "mtu_request")
            self._update("Interface", row, {"mtu_request": port.mtu})
        # also options of its former type
        wanted = {key: port.options.get(key) for keys in _OPTION_KEYS.values() for key in keys}
        self._keys(row, "options", {key: value for key, value in wanted.items() if row.map("options").get(key) != value}, "stall")
        current = row.map("other_config").get(AFFINITY_KEY)
        if current is None or parse_affinity(current) != port.affinity:
            self._keys(row, "other_config", {AFFINITY_KEY: format_affinity(port.affinity)}, "stall")

    def _keys(self, row: Row, column: str, wanted: Mapping[str, str | None], disruption: str) -> None:
        for key, value in wanted.items():
            self._differs(f"ovs:Interface/{row.name} {column}:{key}", row.map(column).get(key), value, disruption)
        if wanted:
            self._guard("Interface", row, column)
            self.updates += set_keys("Interface", row, column, wanted)

    def _marks(self, table: str, row: Row, port: Port) -> None:
        wanted: dict[str, str | None] = {GUEST_KEY: None, DEVICE_KEY: None, **_marks_of(port)}
        changed = {key: value for key, value in wanted.items() if row.map("external_ids").get(key) != value}
        for key, value in changed.items():
            self._differs(f"ovs:{table}/{row.name} external_ids:{key}", row.map("external_ids").get(key), value, reason="mark")
        self.updates += set_keys(table, row, "external_ids", changed)

    def _update(self, table: str, row: Row, columns: Mapping[str, Any]) -> None:
        self.updates.append({"op": "update", "table": table, "where": where(row), "row": dict(columns)})

    def _gone_ports(self) -> None:
        for row in self.database.own_ports:
            network = self.networks.get(row.network or "")
            if row.name in self.switch.ports:
                continue
            if network is None or (_stays(network) and row.guest and row.guest not in self.guests):
                found = {
                    "port": row.name,
                    "bridge": self.database.bridge_of(row.name),
                    "network": row.network or "",
                    "guest": row.guest,
                }
                self.result.unlisted.append(found)
                continue
            self._remove_port(row)

    def _remove_port(self, row: Row) -> None:
        bridge = self.database.bridge_of(row.name)
        reason = f"network {row.network}" + (f", guest {row.guest}" if row.guest else "")
        connected = any(interface.connected for interface in self.database.interfaces_of(row.name))
        disruption = "guest" if connected else self.queue_class
        self._differs(f"ovs:Port/{row.name}", describe_rows(self.database, row), None, disruption, reason)
        self.leaving.setdefault(bridge, []).append(row.uuid)

    # -- bridges -----------------------------------------------------------------------------------

    def _bridges(self) -> None:
        for name, network in self.switch.bridges.items():
            row = self.database.bridges.get(name)
            if row is None:
                self._new_bridge(name, network)
                continue
            if row.network is None:
                continue  # a foreign bridge only gets ports
            if row.columns.get("datapath_type") != "netdev":
                before = str(row.columns.get("datapath_type"))
                self._differs(f"ovs:Bridge/{name} datapath_type", before, "netdev", "stall", "the userspace datapath")
                self._guard("Bridge", row, "datapath_type")
                self._update("Bridge", row, {"datapath_type": "netdev"})
            if row.network != network:
                self._differs(f"ovs:Bridge/{name} external_ids:{NETWORK_KEY}", row.network, network, reason="mark")
                for table, rows in (
                    ("Bridge", self.database.bridges),
                    ("Port", self.database.ports),
                    ("Interface", self.database.interfaces),
                ):
                    if name in rows:
                        self.updates += set_keys(table, rows[name], "external_ids", {NETWORK_KEY: network})

    def _new_bridge(self, name: str, network: str) -> None:
        number = len(self.inserts)
        marks = encode_map({NETWORK_KEY: network})
        self._differs(f"ovs:Bridge/{name}", None, "datapath_type: netdev", reason=f"network {network}")
        self.inserts += [
            {
                "op": "insert",
                "table": "Interface",
                "uuid-name": f"interface{number}",
                "row": {"name": name, "type": "internal", "external_ids": marks},
            },
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": f"port{number}",
                "row": {"name": name, "interfaces": ["named-uuid", f"interface{number}"], "external_ids": marks},
            },
            {
                "op": "insert",
                "table": "Bridge",
                "uuid-name": f"bridge{number}",
                "row": {
                    "name": name,
                    "datapath_type": "netdev",
                    "ports": ["set", [["named-uuid", f"port{number}"], *self.joining.pop(name, [])]],
                    "external_ids": marks,
                },
            },
        ]
        mutation = ["bridges", "insert", ["set", [["named-uuid", f"bridge{number}"]]]]
        self.updates.append({"op": "mutate", "table": ROOT, "where": [], "mutations": [mutation]})

    def _gone_bridges(self) -> None:
        for row in self.database.bridges.values():
            if row.network is None or row.name in self.switch.bridges:
                continue
            if row.network not in self.networks:
                self.result.unlisted.append({"port": "", "bridge": row.name, "network": row.network, "guest": ""})
                continue
            leaving = set(self.leaving.get(row.name, ()))
            others = [
                port.name for port in self.database.ports_of(row.name) if port.name != row.name and port.uuid not in leaving
            ]
            if others:
                self.result.notes.append(
                    f"bridge {row.name} of network {row.network} stays, since other ports are on it: {', '.join(sorted(others))}"
                )
                continue
            self._differs(f"ovs:Bridge/{row.name}", "datapath_type: netdev", None, reason=f"network {row.network}")
            self._guard("Bridge", row, "ports")
            if self.database.root is not None:
                self.updates += change_references(ROOT, self.database.root, "bridges", "delete", [["uuid", row.uuid]])

    def _references(self) -> None:
        for bridge, uuids in self.leaving.items():
            references = [["uuid", uuid] for uuid in uuids]
            self.updates += change_references("Bridge", self.database.bridges[bridge], "ports", "delete", references)
        for bridge, found in self.joining.items():
            row = self.database.bridges[bridge]
            self._guard("Bridge", row, "datapath_type")
            self.updates += change_references("Bridge", row, "ports", "insert", found)


def _stays(network: Network) -> bool:
    return network.on_switch and network.state == "present"


def _marks_of(port: Port) -> dict[str, str]:
    marks = {NETWORK_KEY: port.network}
    if port.guest:
        marks[GUEST_KEY] = port.guest
    if port.device:
        marks[DEVICE_KEY] = port.device
    return marks


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def plan_removal(database: Database, originals: Mapping[str, str | None], drop: Iterable[str] = ()) -> SwitchPlan:
    """Return the plan that removes every row of this collection and restores the settings in ``originals``.

    ``drop`` are this collection's keys of the root's external_ids. A bridge with ports of other users stays, unmarked.
    """
    networks = {row.network for row in (*database.bridges.values(), *database.own_ports) if row.network}
    everything = {network: Network(network, "", state="absent") for network in networks}
    planner = _Planner(database, Switch(dict(originals), {}, {}, {}), everything, (), in_use=False)
    plan = planner.plan()
    root = database.root
    updates: list[dict[str, Any]] = []
    if root is not None:
        updates += set_keys(ROOT, root, "external_ids", {key: None for key in drop if key in database.external_ids})
    going = {difference.resource for difference in plan.differences}
    for bridge in database.bridges.values():
        if bridge.network is not None and f"ovs:Bridge/{bridge.name}" not in going:
            plan.differences.append(Difference(f"ovs:Bridge/{bridge.name} external_ids:{NETWORK_KEY}", bridge.network, None))
            for table, rows in (("Bridge", database.bridges), ("Port", database.ports), ("Interface", database.interfaces)):
                if bridge.name in rows:
                    updates += set_keys(table, rows[bridge.name], "external_ids", {NETWORK_KEY: None})
    if updates and not plan.operations:
        plan.operations = list(FINISH)
    end = len(plan.operations) - len(FINISH)
    plan.operations[end:end] = updates
    return plan
