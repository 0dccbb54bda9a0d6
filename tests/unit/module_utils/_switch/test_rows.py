# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the database: values as the protocol writes them, what belongs to what, and operations that touch no other key."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import (
    COLUMNS,
    Database,
    Row,
    change_references,
    decode,
    encode_optional,
    parse_database,
    select_operations,
    set_keys,
    unchanged,
)
from unit.switches import settled


@pytest.mark.parametrize(
    ("column", "value", "decoded"),
    [
        ("name", "x", "x"),
        ("tag", ["set", []], None),
        ("tag", 7, 7),
        ("ports", ["uuid", "a"], ("a",)),
        ("ports", ["set", [["uuid", "a"], ["uuid", "b"]]], ("a", "b")),
        ("ports", ["set", []], ()),
        ("options", ["map", [["k", "v"]]], {"k": "v"}),
        ("dpdk_initialized", False, False),
    ],
)
def test_values(column, value, decoded):
    assert decode(column, value) == decoded


def test_what_is_read_comes_back_by_name():
    def rows(*rows):
        return {"rows": [{"_uuid": ["uuid", uuid], **columns} for uuid, columns in rows]}

    empty = ["map", []]
    root = {"bridges": ["uuid", "b"], "cur_cfg": 1, "dpdk_initialized": True, "external_ids": empty, "next_cfg": 1}
    names = {"external_ids": empty, "interfaces": ["uuid", "i"], "tag": ["set", []]}
    database = parse_database(
        [
            rows(("r", {**root, "other_config": ["map", [["dpdk-init", "true"]]]})),
            rows(("b", {"datapath_type": "netdev", "external_ids": empty, "name": "br0", "ports": ["set", [["uuid", "p2"]]]})),
            rows(("p2", {**names, "name": "z"}), ("p1", {**names, "name": "a"})),
            rows(),
        ]
    )
    assert (database.root.uuid, database.other_config, database.dpdk_initialized) == ("r", {"dpdk-init": "true"}, True)
    assert list(database.ports) == ["a", "z"]
    assert (database.bridge_of("z"), database.bridge_of("a")) == ("br0", "")
    assert [operation["table"] for operation in select_operations()] == list(COLUMNS)


def test_an_empty_database_has_nothing():
    database = parse_database([{"rows": []}] * len(COLUMNS))
    assert database == Database()
    assert (database.other_config, database.external_ids, database.dpdk_initialized) == ({}, {}, False)


def test_what_belongs_to_what():
    database = settled().bridge("x").port("x", "vhu1", status={"status": "connected"}).database()
    assert {row.name for row in database.ports_of("br-control")} == {"br-control", "plc1.control"}
    assert database.ports_of("absent") == []
    assert [row.name for row in database.own_ports] == ["plc1.control"], "a bridge's own port and a stranger's are left out"
    (interface,) = database.interfaces_of("vhu1")
    assert (interface.connected, interface.network, interface.guest, interface.type) == (True, None, "", "dpdkvhostuserclient")
    (ours,) = database.interfaces_of("plc1.control")
    assert (ours.connected, ours.network, ours.guest) == (False, "control", "plc1")


ROW = Row("u1", {"name": "x", "tag": None, "external_ids": {"b": "2", "a": "1"}, "ports": ("p1", "p2")})
WHERE = [["_uuid", "==", ["uuid", "u1"]]]


@pytest.mark.parametrize(
    ("wanted", "mutations"),
    [
        ({}, None),
        ({"k": None}, [["other_config", "delete", ["set", ["k"]]]]),
        (
            {"k": "v", "a": None},  # an insert alone would not replace a key that is there
            [["other_config", "delete", ["set", ["a", "k"]]], ["other_config", "insert", ["map", [["k", "v"]]]]],
        ),
    ],
)
def test_keys_are_set_and_removed_one_by_one(wanted, mutations):
    operations = set_keys("Bridge", ROW, "other_config", wanted)
    expected = [] if mutations is None else [{"op": "mutate", "table": "Bridge", "where": WHERE, "mutations": mutations}]
    assert operations == expected


def test_references_are_added_and_taken_out():
    assert change_references("Bridge", ROW, "ports", "insert", []) == []
    (operation,) = change_references("Bridge", ROW, "ports", "delete", (["uuid", "p1"],))
    assert (operation["where"], operation["mutations"]) == (WHERE, [["ports", "delete", ["set", [["uuid", "p1"]]]]])


def test_a_row_that_was_changed_meanwhile_fails_the_transaction():
    operation = unchanged("Bridge", ROW, ("name", "tag", "external_ids", "ports"))
    assert (operation["op"], operation["until"], operation["timeout"], operation["where"]) == ("wait", "==", 0, WHERE)
    assert operation["rows"] == [
        {
            "name": "x",
            "tag": ["set", []],
            "external_ids": ["map", [["a", "1"], ["b", "2"]]],
            "ports": ["set", [["uuid", "p1"], ["uuid", "p2"]]],
        }
    ]
    assert encode_optional(0) == 0
