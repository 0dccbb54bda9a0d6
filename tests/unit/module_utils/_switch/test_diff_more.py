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
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import Difference, plan_removal, plan_switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import PHYSICAL, VHOST, Port, Switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import DAEMON_KEY, FINISH, Database
from unit.ovsdb import EMPTY, ConflictError, Ovsdb

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


def compare(ovsdb, switch=SWITCH, networks=NETWORKS, listed=("plc1",), **more):
    return plan_switch(ovsdb.database(), switch, networks, listed, **more)


def converge(ovsdb, *arguments, **more):
    """Compare and carry out; a second comparison finds nothing."""
    plan = compare(ovsdb, *arguments, **more)
    ovsdb.run(plan.operations)
    again = compare(ovsdb, *arguments, **more)
    assert (again.differences, again.operations) == ([], [])
    assert again.used == plan.used
    return plan


@pytest.fixture
def settled():
    """A database that holds SWITCH."""
    ovsdb = Ovsdb()
    converge(ovsdb)
    return ovsdb


@pytest.fixture
def foreign(settled):
    """A bridge of others with a port of theirs, first and last in order beside ours."""
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


# -- what goes -------------------------------------------------------------------------------------


def test_ports_go_and_those_of_others_stay(foreign):
    before = theirs(foreign)
    plan = converge(foreign, replace(SWITCH, ports={PLC.name: PLC}), {"control": replace(CONTROL, device=None)})
    shown = "bridge: br-control\ntype: dpdk\noptions:dpdk-devargs: 0000:41:00.0\noptions:n_rxq: 2\nmtu_request: 1500\npmd-rxq-affinity: 0:1,1:2"
    assert plan.differences == [Difference("ovs:Port/dpdk-control", shown, None, "stall", "network control")]
    assert list(foreign.contents()["br-control"]["ports"]) == ["br-control", "plc1.control"]
    assert theirs(foreign) == before


def test_a_guest_that_is_listed_loses_the_port_of_a_network_that_it_left(settled):
    plan = converge(settled, replace(SWITCH, ports={NIC.name: NIC}))
    assert [(item.resource, item.disruption, item.reason) for item in plan.differences] == [
        ("ovs:Port/plc1.control", "stall", "network control, guest plc1")
    ]


def test_who_is_not_listed_keeps_its_ports_and_is_reported(settled):
    plan = compare(settled, replace(SWITCH, ports={}), listed=())
    assert plan.unlisted == [{"port": "plc1.control", "bridge": "br-control", "network": "control", "guest": "plc1"}]
    assert [item.resource for item in plan.differences] == ["ovs:Port/dpdk-control"]
    plan = compare(settled, Switch({}, {}, {}, {}), {}, listed=())
    assert plan.differences == []
    assert plan.unlisted == [
        {"port": "dpdk-control", "bridge": "br-control", "network": "control", "guest": ""},
        {"port": "plc1.control", "bridge": "br-control", "network": "control", "guest": "plc1"},
        {"port": "", "bridge": "br-control", "network": "control", "guest": ""},
    ]
    assert plan.used == {"0000:41:00.0", ""}


@pytest.mark.parametrize("network", [replace(CONTROL, state="absent"), replace(CONTROL, realtime=False)])
def test_all_of_a_network_that_goes(foreign, network):
    """The ports of guests that are not listed, too: there is nothing left that they could be on."""
    before = theirs(foreign)
    plan = compare(foreign, Switch({}, {}, {}, {}), {"control": network}, listed=())
    assert plan.unlisted == []
    assert plan.differences[-1] == Difference("ovs:Bridge/br-control", "datapath_type: netdev", None, "none", "network control")
    meanwhile = copy.deepcopy(foreign)
    meanwhile.row("Bridge", "br-control")["ports"] += ("another",)
    with pytest.raises(ConflictError):
        meanwhile.run(plan.operations)
    foreign.run(plan.operations)
    assert foreign.contents() == before


def test_a_bridge_stays_while_ports_of_others_are_on_it(foreign):
    moved = next(uuid for uuid, row in foreign.tables["Port"].items() if row["name"] == "z-theirs-port")
    foreign.row("Bridge", "br-control")["ports"] += (moved, "p0", "q0")
    plan = compare(foreign, Switch({}, {}, {}, {}), {"control": replace(CONTROL, state="absent")}, listed=())
    assert plan.notes == [
        "bridge br-control of network control stays, since other ports are on it: a-theirs, a-theirs-port, z-theirs-port"
    ]
    assert [item.resource for item in plan.differences] == ["ovs:Port/dpdk-control", "ovs:Port/plc1.control"]


def test_bridges_are_judged_one_by_one():
    """Each of the ways to leave a bridge alone comes before one that goes."""
    ovsdb = Ovsdb()
    known = {name: Network(name, f"br-{name}") for name in ("b-kept", "c-unknown", "d-used", "e-gone")}
    converge(ovsdb, Switch({}, {network.bridge: name for name, network in known.items()}, {}, {}), known)
    ovsdb.tables["Bridge"]["x"] = {**EMPTY["Bridge"], "name": "br-a-theirs"}
    ovsdb.tables["Port"]["p"] = {**EMPTY["Port"], "name": "theirs"}
    ovsdb.row("Bridge", "br-d-used")["ports"] += ("p",)
    del known["c-unknown"]
    known.update({name: replace(known[name], state="absent") for name in ("d-used", "e-gone")})
    plan = compare(ovsdb, Switch({}, {"br-b-kept": "b-kept"}, {}, {}), known)
    assert [item.resource for item in plan.differences] == ["ovs:Bridge/br-e-gone"]
    assert [row["bridge"] for row in plan.unlisted] == ["br-c-unknown"]
    assert [note.split(",")[0] for note in plan.notes] == ["bridge br-d-used of network d-used stays"]


def test_ports_are_judged_one_by_one():
    ovsdb = Ovsdb()
    ports = {
        name: replace(PLC, name=name, guest=guest, options={}) for name, guest in (("a", "plc1"), ("b", "plc2"), ("c", "plc1"))
    }
    converge(ovsdb, replace(SWITCH, ports=ports), listed=("plc1", "plc2"))
    plan = compare(ovsdb, replace(SWITCH, ports={"a": ports["a"]}))
    assert [item.resource for item in plan.differences] == ["ovs:Port/c"]
    assert [row["port"] for row in plan.unlisted] == ["b"]


def test_bridges_that_are_wanted_are_looked_at_one_by_one(foreign):
    """One that is new and one of others come before one of ours that differs."""
    foreign.row("Bridge", "br-control")["datapath_type"] = ""
    switch = replace(SWITCH, bridges={"a-new": "more", "a-theirs": "more", **SWITCH.bridges})
    plan = converge(foreign, switch, {**NETWORKS, "more": Network("more", "a-new")})
    assert [item.resource for item in plan.differences] == ["ovs:Bridge/a-new", "ovs:Bridge/br-control datapath_type"]


# -- removal ---------------------------------------------------------------------------------------


def test_removal_leaves_what_was_there_before(foreign):
    before = theirs(foreign)
    foreign.root.update(other_config={"dpdk-init": "true", "mine": "1"}, external_ids={DAEMON_KEY: "p d", "system-id": "s"})
    plan = plan_removal(foreign.database(), {"dpdk-init": None}, drop=[DAEMON_KEY, "not there"])
    assert [(item.resource, item.after, item.disruption) for item in plan.differences] == [
        ("ovs:Open_vSwitch other_config:dpdk-init", None, "stall"),
        ("ovs:Port/dpdk-control", None, "stall"),
        ("ovs:Port/plc1.control", None, "stall"),
        ("ovs:Bridge/br-control", None, "none"),
    ]
    foreign.run(plan.operations)
    assert foreign.contents() == before
    assert foreign.root["other_config"] == {"mine": "1"}
    assert foreign.root["external_ids"] == {"system-id": "s"}
    assert plan_removal(foreign.database(), {}, drop=[DAEMON_KEY]).operations == []


def test_removal_leaves_a_bridge_that_others_use_without_our_mark(foreign):
    foreign.row("Bridge", "br-control")["ports"] += ("q1",)
    foreign.row("Bridge", "br-control")["external_ids"] = {**MARK, "mine": "1"}
    before = theirs(foreign)
    plan = plan_removal(foreign.database(), {})
    assert plan.differences[-1] == Difference("ovs:Bridge/br-control external_ids:realtime-kvm", "control", None)
    foreign.run(plan.operations)
    after = foreign.contents()
    assert after.pop("br-control") == {
        "datapath_type": "netdev",
        "external_ids": {"mine": "1"},
        "ports": {
            "br-control": ({}, {"type": "internal"}),
            "z-theirs-port": before["z-theirs"]["ports"]["z-theirs-port"],
        },
    }
    assert after == before
    again = plan_removal(foreign.database(), {})
    assert (again.differences, again.operations) == ([], [])


def test_removal_of_marks_alone_is_a_whole_transaction(foreign):
    plan = plan_removal(replace(foreign.database(), bridges={}, ports={}, interfaces={}), {})
    assert plan.operations == []
    foreign.root["external_ids"] = {DAEMON_KEY: "p d"}
    plan = plan_removal(replace(foreign.database(), bridges={}, ports={}, interfaces={}), {}, drop=[DAEMON_KEY])
    assert tuple(plan.operations[-3:]) == FINISH
    foreign.run(plan.operations)
    assert foreign.root["external_ids"] == {}


def test_removal_takes_ports_of_ours_from_bridges_of_others(foreign):
    before = theirs(foreign)
    port = replace(PLC, name="plc1.more", bridge="z-theirs", network="more", options={"vhost-server-path": "/run/more"})
    switch = replace(SWITCH, bridges={"z-theirs": "more", **SWITCH.bridges}, ports={**SWITCH.ports, port.name: port})
    converge(foreign, switch, {**NETWORKS, "more": Network("more", "z-theirs")})
    foreign.run(plan_removal(foreign.database(), {}).operations)
    assert foreign.contents() == before


def test_removal_from_an_empty_database():
    assert plan_removal(Database(), {}, drop=[DAEMON_KEY]).operations == []
