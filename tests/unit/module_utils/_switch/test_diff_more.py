# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction of a comparison, carried out: afterwards the database holds what was wanted, and nothing else changed."""

from __future__ import annotations

import ast
import copy
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import Difference
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import PHYSICAL, VHOST, Switch
from unit.ovsdb import (
    EMPTY,
    NETWORKS,
    NIC,
    PLC,
    PLC_MARKS,
    SWITCH,
    WANTED,
    ConflictError,
    Ovsdb,
    compare,
    converge,
    theirs,
)

# -- from nothing ----------------------------------------------------------------------------------


def test_a_new_switch():
    ovsdb = Ovsdb()
    plan = converge(ovsdb)
    assert ovsdb.contents() == WANTED
    assert ovsdb.root["other_config"] == {"dpdk-init": "true"}
    assert plan.used == {"0000:41:00.0", ""}
    assert [(item.resource, item.before, item.disruption, item.reason, item.setting) for item in plan.differences] == [
        ("ovs:Open_vSwitch other_config:dpdk-init", None, "stall", "read when the daemon starts", "dpdk-init"),
        ("ovs:Port/plc1.control", None, "none", "network control", ""),
        ("ovs:Port/dpdk-control", None, "none", "network control", ""),
        ("ovs:Bridge/br-control", None, "none", "network control", ""),
    ]
    assert plan.differences[3].after == "datapath_type: netdev"


def test_an_empty_database():
    ovsdb = Ovsdb(root=False)
    converge(ovsdb, replace(SWITCH, settings={"dpdk-init": "true", "dpdk-extra": None}))
    assert ovsdb.contents() == WANTED
    assert ovsdb.root["other_config"] == {"dpdk-init": "true"}


def test_two_new_bridges():
    ovsdb = Ovsdb()
    port = replace(PLC, name="plc1.other", bridge="br-other", network="other", options={"vhost-server-path": "/run/other"})
    switch = replace(SWITCH, bridges={**SWITCH.bridges, "br-other": "other"}, ports={**SWITCH.ports, port.name: port})
    converge(ovsdb, switch, {**NETWORKS, "other": Network("other", "br-other")})
    assert ovsdb.contents()["br-control"] == WANTED["br-control"]
    assert list(ovsdb.contents()["br-other"]["ports"]) == ["br-other", "plc1.other"]


def test_a_port_on_a_bridge_of_others(foreign):
    before = theirs(foreign)
    port = replace(PLC, name="plc1.more", bridge="z-theirs", network="more", options={"vhost-server-path": "/run/more"})
    switch = replace(
        SWITCH, bridges={"a-theirs": "more", "z-theirs": "more", **SWITCH.bridges}, ports={**SWITCH.ports, port.name: port}
    )
    plan = converge(foreign, switch, {**NETWORKS, "more": Network("more", "z-theirs")})
    assert [item.resource for item in plan.differences] == ["ovs:Port/plc1.more"]
    after = theirs(foreign)
    assert set(after["z-theirs"]["ports"]) - set(before["z-theirs"]["ports"]) == {"plc1.more"}
    del after["z-theirs"]["ports"]["plc1.more"]
    assert after == before


# -- settings --------------------------------------------------------------------------------------


def test_settings_change_and_those_of_others_stay(settled):
    settled.root["other_config"] = {"dpdk-init": "false", "dpdk-extra": "-v", "mine": "1", "pmd-cpu-mask": "0x2"}
    switch = replace(SWITCH, settings={"dpdk-init": "true", "dpdk-extra": None, "pmd-cpu-mask": "0x6", "pmd-sleep-max": "5"})
    plan = converge(settled, switch, in_use=True)
    assert settled.root["other_config"] == {"dpdk-init": "true", "mine": "1", "pmd-cpu-mask": "0x6", "pmd-sleep-max": "5"}
    name = "ovs:Open_vSwitch other_config:"
    assert plan.differences == [
        Difference(f"{name}dpdk-init", "false", "true", "guest", "read when the daemon starts", "dpdk-init"),
        Difference(f"{name}dpdk-extra", "-v", None, "guest", "read when the daemon starts", "dpdk-extra"),
        Difference(f"{name}pmd-cpu-mask", "0x2", "0x6", "stall", "poll-mode threads", "pmd-cpu-mask"),
        Difference(f"{name}pmd-sleep-max", None, "5", "none", "poll-mode threads", "pmd-sleep-max"),
    ]


def test_settings_that_mean_the_same_stay_as_they_are_written(settled):
    settled.root["other_config"] = {"dpdk-init": "True", "pmd-cpu-mask": "0x06"}
    assert compare(settled, replace(SWITCH, settings={"dpdk-init": "true", "pmd-cpu-mask": "0x6"})).differences == []


def test_settings_that_changed_meanwhile_are_not_overwritten(settled):
    plan = compare(settled, replace(SWITCH, settings={"pmd-cpu-mask": "0x6"}))
    settled.root["other_config"] = {"pmd-cpu-mask": "0x8"}
    with pytest.raises(ConflictError):
        settled.run(plan.operations)


@pytest.mark.parametrize(
    ("interface", "class_"),
    [
        ({"type": "dpdk"}, "stall"),
        ({"type": "system", "other_config": {"pmd-rxq-affinity": "0:1"}}, "stall"),
        ({"type": "system", "other_config": {"mine": "1"}}, "none"),
    ],
)
def test_new_queues_stall_what_polls_already(interface, class_):
    ovsdb = Ovsdb()
    ovsdb.tables["Interface"]["i"] = {**EMPTY["Interface"], "name": "theirs", **interface}
    plan = compare(ovsdb, replace(SWITCH, settings={"pmd-cpu-mask": "0x6"}))
    assert [item.disruption for item in plan.differences] == [class_, class_, class_, "none"]


# -- rows that differ ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "name", "column", "value", "expected"),
    [
        ("Port", "plc1.control", "tag", 9, Difference("ovs:Port/plc1.control tag", "9", "5", "none", "VLAN of network control")),
        ("Port", "plc1.control", "tag", None, Difference("ovs:Port/plc1.control tag", None, "5", "none", "VLAN of network control")),
        ("Port", "dpdk-control", "tag", 9, Difference("ovs:Port/dpdk-control tag", "9", None, "none", "VLAN of network control")),
        ("Interface", "plc1.control", "type", PHYSICAL, Difference("ovs:Interface/plc1.control type", PHYSICAL, VHOST, "stall")),
        ("Interface", "plc1.control", "mtu_request", 1500, Difference("ovs:Interface/plc1.control mtu_request", "1500", "9000", "stall")),
        ("Interface", "plc1.control", "mtu_request", None, Difference("ovs:Interface/plc1.control mtu_request", None, "9000", "stall")),
        ("Bridge", "br-control", "datapath_type", "", Difference("ovs:Bridge/br-control datapath_type", "", "netdev", "stall", "the userspace datapath")),
    ],
)  # fmt: skip
def test_a_column_that_differs(settled, table, name, column, value, expected):
    settled.row(table, name)[column] = value
    plan = compare(settled)
    assert plan.differences == [expected]
    meanwhile = copy.deepcopy(settled)
    meanwhile.row(table, name)[column] = "system" if isinstance(value, str) else 77
    with pytest.raises(ConflictError):
        meanwhile.run(plan.operations)
    converge(settled)
    assert settled.contents() == WANTED


@pytest.mark.parametrize(
    ("name", "column", "key", "value", "after"),
    [
        ("plc1.control", "options", "vhost-server-path", "/run/x", "/run/plc1"),
        ("plc1.control", "options", "vhost-server-path", None, "/run/plc1"),
        ("plc1.control", "options", "n_rxq", "3", None),  # of a type that it had before
        ("plc1.control", "options", "dpdk-devargs", "0000:01:00.0", None),
        ("dpdk-control", "options", "n_rxq", "3", "2"),
        ("dpdk-control", "options", "dpdk-devargs", "0000:01:00.0", "0000:41:00.0"),
        ("plc1.control", "other_config", "pmd-rxq-affinity", "0:2", "0:1"),
        ("plc1.control", "other_config", "pmd-rxq-affinity", None, "0:1"),
    ],
)
def test_a_key_that_differs(settled, name, column, key, value, after):
    found = settled.row("Interface", name)[column]
    found["mine"] = "1"
    found.update({key: value} if value else {})
    if not value:
        del found[key]
    plan = compare(settled)
    assert plan.differences == [Difference(f"ovs:Interface/{name} {column}:{key}", value, after, "stall")]
    meanwhile = copy.deepcopy(settled)
    meanwhile.row("Interface", name)[column]["mine"] = "2"
    with pytest.raises(ConflictError):
        meanwhile.run(plan.operations)
    converge(settled)
    assert settled.row("Interface", name)[column].pop("mine") == "1"
    assert settled.contents() == WANTED


def test_several_columns_of_a_row_are_guarded_together(settled):
    row = settled.row("Interface", "plc1.control")
    row.update(mtu_request=1500, type=PHYSICAL)
    plan = compare(settled)
    (guard,) = (operation for operation in plan.operations if operation["op"] == "wait")
    assert guard["columns"] == ["mtu_request", "type"]


def test_all_that_differs_is_put_right_at_once(settled):
    settled.root["other_config"] = {"dpdk-init": "false"}
    settled.row("Port", "plc1.control").update(tag=9)
    settled.row("Port", "plc1.control")["external_ids"] = {**PLC_MARKS, "realtime-kvm-guest": "x"}
    settled.row("Interface", "plc1.control").update(mtu_request=1500, type=PHYSICAL, options={}, other_config={})
    settled.row("Interface", "dpdk-control").update(mtu_request=9000, options={"n_rxq": "1"})
    converge(settled)
    assert settled.contents() == WANTED
    assert settled.root["other_config"] == {"dpdk-init": "true"}


@pytest.mark.parametrize("table", ["Port", "Interface"])
def test_marks_that_differ(settled, table):
    row = settled.row(table, "plc1.control")
    row["external_ids"] = {"realtime-kvm": "old", "realtime-kvm-device": "ens9", "mine": "1"}
    plan = converge(settled)
    assert plan.differences == [
        Difference(f"ovs:{table}/plc1.control external_ids:realtime-kvm-guest", None, "plc1", "none", "mark"),
        Difference(f"ovs:{table}/plc1.control external_ids:realtime-kvm-device", "ens9", None, "none", "mark"),
        Difference(f"ovs:{table}/plc1.control external_ids:realtime-kvm", "old", "control", "none", "mark"),
    ]
    assert settled.row(table, "plc1.control")["external_ids"] == {**PLC_MARKS, "mine": "1"}


def test_a_bridge_whose_network_has_another_name(settled):
    networks = {"steer": Network("steer", "br-control")}
    ports = {port.name: replace(port, network="steer") for port in SWITCH.ports.values()}
    plan = converge(settled, replace(SWITCH, bridges={"br-control": "steer"}, ports=ports), networks)
    assert Difference("ovs:Bridge/br-control external_ids:realtime-kvm", "control", "steer", "none", "mark") in plan.differences
    assert settled.contents() == ast.literal_eval(str(WANTED).replace("'realtime-kvm': 'control'", "'realtime-kvm': 'steer'"))


def test_a_port_without_an_interface_row_is_left(settled):
    uuid = next(uuid for uuid, row in settled.tables["Interface"].items() if row["name"] == "plc1.control")
    del settled.tables["Interface"][uuid]
    assert compare(settled).differences == []


def test_a_port_that_moves_to_another_bridge(settled):
    switch = Switch({}, {"br-new": "control"}, {port.name: replace(port, bridge="br-new") for port in (PLC, NIC)}, {})
    plan = compare(settled, switch)
    assert plan.differences[0] == Difference("ovs:Port/plc1.control bridge", "br-control", "br-new", "stall")
    settled.run(plan.operations)
    assert settled.contents() == {
        "br-new": {**WANTED["br-control"], "ports": {
            "br-new": WANTED["br-control"]["ports"]["br-control"],
            **{name: WANTED["br-control"]["ports"][name] for name in ("plc1.control", "dpdk-control")},
        }}
    }  # fmt: skip


def test_a_port_that_moves_to_a_bridge_that_is_there(foreign):
    before = theirs(foreign)
    switch = replace(
        SWITCH,
        ports={"plc1.control": replace(PLC, bridge="a-theirs"), NIC.name: NIC},
        bridges={"a-theirs": "control", **SWITCH.bridges},
    )
    plan = compare(foreign, switch)
    meanwhile = copy.deepcopy(foreign)
    meanwhile.row("Bridge", "a-theirs")["datapath_type"] = "system"
    with pytest.raises(ConflictError):
        meanwhile.run(plan.operations)
    converge(foreign, switch)
    after = foreign.contents()
    assert list(after["br-control"]["ports"]) == ["br-control", "dpdk-control"]
    assert after["a-theirs"]["ports"].pop("plc1.control") == WANTED["br-control"]["ports"]["plc1.control"]
    assert {name: after[name] for name in before} == before
