# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch as it is against the switch as planned: rows that come, change and go, and their disruption."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._switch.conflicts import describe_port
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import plan_removal, plan_switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import Switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import DAEMON_KEY, Database, Row
from unit.switches import KNOWN, SWITCH, Rows, compare, networks, settled, told


def test_nothing_to_do():
    plan = compare(settled())
    assert (plan.differences, plan.operations, plan.unlisted, plan.notes) == ([], [], [], [])


def test_everything_is_new():
    plan = compare(Rows())
    assert told(plan) == [
        ("ovs:Port/plc1.control", None, describe_port(SWITCH.ports["plc1.control"])),
        ("ovs:Bridge/br-control", None, "datapath_type: netdev"),
    ]
    assert [operation["op"] for operation in plan.operations] == ["insert"] * 5 + ["mutate", "mutate", "select", "commit"]
    assert describe_port(SWITCH.ports["plc1.control"]).splitlines() == [
        "bridge: br-control",
        "type: dpdkvhostuserclient",
        "options:vhost-server-path: /run/realtime-kvm/vhost/plc1.control",
        "mtu_request: 1500",
        "tag: 5",
        "pmd-rxq-affinity: 0:1",
    ]


def test_an_empty_database_gets_its_root():
    plan = plan_switch(Database(), replace(SWITCH, settings={"dpdk-init": "true", "dpdk-lcore-mask": None}), KNOWN, ["plc1"])
    assert plan.operations[0] == {
        "op": "insert",
        "table": "Open_vSwitch",
        "row": {"other_config": ["map", [["dpdk-init", "true"]]]},
    }


def test_keys_of_others_stay():
    rows = settled()
    row = rows.interfaces["plc1.control"]
    rows.interfaces["plc1.control"] = Row(
        row.uuid,
        {
            **row.columns,
            "options": {**row.map("options"), "n_rxq_desc": "64"},
            "other_config": {**row.map("other_config"), "mine": "1"},
            "external_ids": {**row.map("external_ids"), "mine": "1"},
        },
    )
    assert compare(rows).differences == []


def test_a_transaction_waits_for_what_it_changes_to_be_as_it_was():
    rows = settled()
    rows.ports["plc1.control"] = Row("p-plc1.control", {**rows.ports["plc1.control"].columns, "tag": 9})
    plan = compare(rows)
    assert told(plan) == [("ovs:Port/plc1.control tag", "9", "5")]
    assert plan.operations[0] == {
        "op": "wait",
        "timeout": 0,
        "table": "Port",
        "where": [["_uuid", "==", ["uuid", "p-plc1.control"]]],
        "columns": ["tag"],
        "until": "==",
        "rows": [{"tag": 9}],
    }


@pytest.mark.parametrize(
    ("settings", "in_use", "class_"),
    [
        ({"dpdk-init": "true"}, True, "guest"),
        ({"dpdk-socket-mem": "1"}, False, "stall"),
        ({"pmd-cpu-mask": "0x2"}, True, "stall"),
        ({"pmd-rxq-isolate": "false"}, False, "stall"),
        ({"pmd-sleep-max": "5"}, True, "none"),
    ],
)
def test_disruption_classes_of_settings(settings, in_use, class_):
    plan = compare(settled(), replace(SWITCH, settings=settings), in_use=in_use)
    assert [difference.disruption for difference in plan.differences] == [class_]


def test_first_ports_disturb_no_guest_and_further_ones_stall():
    assert {difference.disruption for difference in compare(Rows()).differences} == {"none"}
    other = Rows().bridge("x").port("x", "vhu1")
    assert [difference.disruption for difference in compare(other).differences] == ["stall", "none"]


def test_gone_guest_and_gone_device_lose_their_ports():
    marks = {"realtime-kvm": "control", "realtime-kvm-device": "ens1"}
    rows = settled().port("br-control", "dpdk-control", marks=marks, type="dpdk", options={"dpdk-devargs": "0000:41:00.0"})
    rows.port("br-control", "plc2.control", marks={"realtime-kvm": "control", "realtime-kvm-guest": "plc2"})
    plan = compare(rows, listed=("plc1", "plc2"))
    assert [difference.resource for difference in plan.differences] == ["ovs:Port/dpdk-control", "ovs:Port/plc2.control"]
    assert "0000:41:00.0" not in plan.used
    assert "bridge: br-control\ntype: dpdk\noptions:dpdk-devargs: 0000:41:00.0" in plan.differences[0].before


def test_a_guest_that_loses_a_port_in_use_is_told():
    marks = {"realtime-kvm": "control", "realtime-kvm-guest": "plc2"}
    rows = settled().port("br-control", "plc2.control", marks=marks, status={"mode": "client", "status": "connected"})
    assert [difference.disruption for difference in compare(rows, listed=("plc1", "plc2")).differences] == ["guest"]


def test_what_is_not_listed_stays_with_its_device():
    marks = {"realtime-kvm": "old"}
    rows = (
        settled()
        .bridge("br-old", "old")
        .port("br-old", "dpdk-old", marks=marks, type="dpdk", options={"dpdk-devargs": "0000:81:00.0"})
    )
    plan = compare(rows)
    assert plan.differences == []
    assert [row["port"] or row["bridge"] for row in plan.unlisted] == ["dpdk-old", "br-old"]
    assert "0000:81:00.0" in plan.used


def test_a_network_that_is_no_longer_real_time_goes():
    known = networks({"name": "control", "realtime": False, "bridge": "br0"})
    plan = compare(settled(), Switch({}, {}, {}, {}), known, ("plc1",))
    assert [difference.resource for difference in plan.differences] == ["ovs:Port/plc1.control", "ovs:Bridge/br-control"]


def test_removal_gives_settings_back_and_leaves_others():
    rows = settled().bridge("x").port("x", "mine")
    database = rows.database({"dpdk-init": "true", "pmd-cpu-mask": "0x26", "other": "1"}, {DAEMON_KEY: "p d", "system-id": "s"})
    plan = plan_removal(database, {"dpdk-init": None, "pmd-cpu-mask": "0x2"}, drop=[DAEMON_KEY])
    assert told(plan)[:2] == [
        ("ovs:Open_vSwitch other_config:dpdk-init", "true", None),
        ("ovs:Open_vSwitch other_config:pmd-cpu-mask", "0x26", "0x2"),
    ]
    assert [difference.resource for difference in plan.differences[2:]] == ["ovs:Port/plc1.control", "ovs:Bridge/br-control"]
    text = str(plan.operations)
    assert "b-x" not in text.replace("'b-x']", "")  # but for the guard
    assert DAEMON_KEY in text
    assert "system-id" not in text


def test_removal_of_nothing_is_nothing():
    assert plan_removal(Rows().bridge("x").database(), {}, drop=[DAEMON_KEY]).operations == []
