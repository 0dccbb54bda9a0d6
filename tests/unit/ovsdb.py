# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open vSwitch's database in memory, to carry out the transactions that the switch's comparison returns, and a switch in it."""

from __future__ import annotations

import copy

from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import plan_switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import PHYSICAL, Port, Switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import COLUMNS, FINISH, ROOT, Database, Row, decode

EMPTY = {
    ROOT: {"bridges": (), "cur_cfg": 0, "dpdk_initialized": True, "external_ids": {}, "next_cfg": 0, "other_config": {}},
    "Bridge": {"datapath_type": "", "external_ids": {}, "ports": ()},
    "Port": {"external_ids": {}, "interfaces": (), "tag": None},
    "Interface": {
        "error": None,
        "external_ids": {},
        "link_state": None,
        "mtu_request": None,
        "options": {},
        "other_config": {},
        "status": {},
        "type": "",
    },
}


class ConflictError(Exception):
    """A row is not as it was read."""


class Ovsdb:
    """Open vSwitch's database as far as a transaction of ours needs it (RFC 7047); the real one is in tests/conformance."""

    def __init__(self, root=True):
        self.tables = {table: {} for table in COLUMNS}
        if root:
            self.tables[ROOT]["root"] = copy.deepcopy(EMPTY[ROOT])

    def row(self, table, name):
        return next(row for row in self.tables[table].values() if row.get("name") == name)

    @property
    def root(self):
        (row,) = self.tables[ROOT].values()
        return row

    def database(self):
        """What a module reads."""
        by_name = [
            {row.name: row for row in sorted((Row(uuid, columns) for uuid, columns in rows.items()), key=lambda row: row.name)}
            for table, rows in copy.deepcopy(self.tables).items()
            if table != ROOT
        ]
        roots = [Row(uuid, columns) for uuid, columns in self.tables[ROOT].items()]
        return Database(roots[0] if roots else None, *by_name)

    def run(self, operations):
        """Carry out a transaction, which ends as all of ours do; rows that nothing refers to go."""
        assert tuple(operations[len(operations) - len(FINISH) :]) == FINISH
        self.names = {
            op["uuid-name"]: f"new-{op['uuid-name']}-{len(self.tables[op['table']])}" for op in operations if "uuid-name" in op
        }
        assert len(self.names) == sum("uuid-name" in op for op in operations)
        for operation in operations[: len(operations) - len(FINISH)]:
            getattr(self, operation["op"])(**{key.replace("-", "_"): value for key, value in operation.items() if key != "op"})
        used = {uuid for row in self.tables[ROOT].values() for uuid in row["bridges"]}
        for table, column in (("Bridge", "ports"), ("Port", "interfaces"), ("Interface", None)):
            self.tables[table] = {uuid: row for uuid, row in self.tables[table].items() if uuid in used}
            used = {uuid for row in self.tables[table].values() for uuid in row.get(column, ())}

    def insert(self, table, row, uuid_name="root"):
        values = {column: self._value(table, column, value) for column, value in row.items()}
        self.tables[table][self.names.get(uuid_name, uuid_name)] = {**copy.deepcopy(EMPTY[table]), **values}

    def update(self, table, where, row):
        for uuid in self._where(table, where):
            self.tables[table][uuid].update({column: self._value(table, column, value) for column, value in row.items()})

    def mutate(self, table, where, mutations):
        for uuid in self._where(table, where):
            row = self.tables[table][uuid]
            for column, how, value in mutations:
                if isinstance(row[column], dict):
                    if how == "delete":
                        assert value[0] == "set"
                        row[column] = {key: text for key, text in row[column].items() if key not in value[1]}
                    else:
                        row[column] = {**self._value(table, column, value), **row[column]}  # "insert" replaces no value
                else:
                    uuids = self._value(table, column, value)
                    kept = tuple(uuid for uuid in row[column] if uuid not in uuids)
                    row[column] = {"insert": (*kept, *uuids), "delete": kept}[how]

    def wait(self, table, where, columns, until, rows, timeout):
        assert (until, timeout) == ("==", 0)
        for uuid in self._where(table, where):
            if any(self.tables[table][uuid][column] != self._value(table, column, rows[0][column]) for column in columns):
                raise ConflictError(table)

    def _where(self, table, where):
        return (
            list(self.tables[table])
            if not where
            else [uuid for (_uuid, _is, (_kind, uuid)) in where if uuid in self.tables[table]]
        )

    def _value(self, table, column, value):
        assert column in COLUMNS[table]
        assert not isinstance(value, list) or value[0] in ("map", "set", "uuid", "named-uuid")
        found = decode(column, value)
        if isinstance(found, dict):
            assert all(isinstance(text, str) for pair in found.items() for text in pair)
        elif isinstance(found, tuple):
            known = {
                "named-uuid": self.names,
                "uuid": self.tables[{"bridges": "Bridge", "ports": "Port", "interfaces": "Interface"}[column]],
            }
            assert all(uuid in known[kind] for kind, uuid in (value[1] if value[0] == "set" else [value]))
            return tuple(self.names.get(uuid, uuid) for uuid in found)
        else:
            assert found is None or isinstance(found, int if column in ("tag", "mtu_request") else str)
        return found

    def contents(self):
        """All of it by name, bridges with their ports; columns that hold nothing are left out."""

        def columns(table, row):
            return {
                key: value
                for key, value in row.items()
                if key not in ("name", "ports", "interfaces") and value != EMPTY[table][key]
            }

        found = {}
        for bridge in self.tables["Bridge"].values():
            found[bridge["name"]] = {**columns("Bridge", bridge), "ports": {}}
            for uuid in bridge["ports"]:
                port = self.tables["Port"][uuid]
                (interface,) = (self.tables["Interface"][uuid] for uuid in port["interfaces"])
                assert interface["name"] == port["name"]
                found[bridge["name"]]["ports"][port["name"]] = (columns("Port", port), columns("Interface", interface))
        return found


PLC = Port(
    "plc1.control",
    "br-control",
    "control",
    guest="plc1",
    options={"vhost-server-path": "/run/plc1"},
    mtu=9000,
    tag=5,
    affinity={0: 1},
)
NIC = Port(
    "dpdk-control",
    "br-control",
    "control",
    device="ens3",
    type=PHYSICAL,
    options={"dpdk-devargs": "0000:41:00.0", "n_rxq": "2"},
    affinity={0: 1, 1: 2},
)
CONTROL = Network("control", "br-control")
NETWORKS = {"control": CONTROL}
SWITCH = Switch({"dpdk-init": "true"}, {"br-control": "control"}, {port.name: port for port in (PLC, NIC)}, {})
MARK = {"realtime-kvm": "control"}
PLC_MARKS = {**MARK, "realtime-kvm-guest": "plc1"}
NIC_MARKS = {**MARK, "realtime-kvm-device": "ens3"}
WANTED = {
    "br-control": {
        "datapath_type": "netdev",
        "external_ids": MARK,
        "ports": {
            "br-control": ({"external_ids": MARK}, {"type": "internal", "external_ids": MARK}),
            "plc1.control": (
                {"tag": 5, "external_ids": PLC_MARKS},
                {
                    "type": "dpdkvhostuserclient",
                    "options": {"vhost-server-path": "/run/plc1"},
                    "mtu_request": 9000,
                    "other_config": {"pmd-rxq-affinity": "0:1"},
                    "external_ids": PLC_MARKS,
                },
            ),
            "dpdk-control": (
                {"external_ids": NIC_MARKS},
                {
                    "type": "dpdk",
                    "options": {"dpdk-devargs": "0000:41:00.0", "n_rxq": "2"},
                    "mtu_request": 1500,
                    "other_config": {"pmd-rxq-affinity": "0:1,1:2"},
                    "external_ids": NIC_MARKS,
                },
            ),
        },
    }
}


def compare(ovsdb, switch=SWITCH, networks=None, listed=("plc1",), **more):
    return plan_switch(ovsdb.database(), switch, NETWORKS if networks is None else networks, listed, **more)


def converge(ovsdb, *arguments, **more):
    """Compare and carry out; a second comparison finds nothing."""
    plan = compare(ovsdb, *arguments, **more)
    ovsdb.run(plan.operations)
    again = compare(ovsdb, *arguments, **more)
    assert (again.differences, again.operations) == ([], [])
    assert again.used == plan.used
    return plan


def settled_switch():
    """A database that holds SWITCH."""
    ovsdb = Ovsdb()
    converge(ovsdb)
    return ovsdb


def shared_switch():
    """That database with two bridges of others, each with a port of theirs, first and last in order beside ours."""
    settled = settled_switch()
    for number, bridge in enumerate(("a-theirs", "z-theirs")):
        uuids = [f"{kind}{number}" for kind in ("b", "p", "q", "i", "j")]
        settled.tables["Bridge"][uuids[0]] = {
            **EMPTY["Bridge"],
            "name": bridge,
            "datapath_type": "netdev",
            "ports": tuple(uuids[1:3]),
        }
        for port, interface, name in ((uuids[1], uuids[3], bridge), (uuids[2], uuids[4], f"{bridge}-port")):
            settled.tables["Port"][port] = {**EMPTY["Port"], "name": name, "interfaces": (interface,), "external_ids": {"x": "y"}}
            settled.tables["Interface"][interface] = {**EMPTY["Interface"], "name": name, "type": "system"}
        settled.root["bridges"] += (uuids[0],)
    return settled


def theirs(ovsdb):
    return {name: bridge for name, bridge in ovsdb.contents().items() if name.endswith("theirs")}
