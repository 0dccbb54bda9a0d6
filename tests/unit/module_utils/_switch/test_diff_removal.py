# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactions that take ports, bridges and settings away, carried out: what others have stays as it was."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import Difference, plan_removal
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import Switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import DAEMON_KEY, FINISH, Database
from unit.ovsdb import (
    CONTROL,
    EMPTY,
    MARK,
    NETWORKS,
    NIC,
    PLC,
    SWITCH,
    ConflictError,
    Ovsdb,
    compare,
    converge,
    theirs,
)

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
