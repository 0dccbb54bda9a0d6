# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch as it shall be: memory, settings, ports, queues, and what the comparison with the database finds."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._switch.conflicts import describe_port
from ansible_collections.realtime.kvm.plugins.module_utils._switch.diff import plan_removal, plan_switch
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import (
    PHYSICAL,
    Port,
    Switch,
    SwitchError,
    SwitchOptions,
    assign_queues,
    check_dataplane,
    check_extra,
    desired_bridges,
    desired_ports,
    desired_settings,
    format_affinity,
    mbuf_bytes,
    mbuf_count,
    parse_affinity,
    same_setting,
    socket_memory_mib,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.restart import (
    digest,
    marker,
    restart_reasons,
    running_digest,
    switch_users,
)
from ansible_collections.realtime.kvm.plugins.module_utils._switch.rows import DAEMON_KEY, Database, Row
from hypothesis import given
from hypothesis import strategies as st
from property.machines import regular

#: Two nodes of four CPUs: housekeeping 0,4; dataplane 1-2 and 5; realtime 3,6-7.
TOPOLOGY = build_topology(regular(nodes=2, cores=4, threads=1).files())
PARTITION = plan_partition(TOPOLOGY, Intent(cpus={"dataplane": "1-2,5", "realtime": "3,6-7"}))
ONE_SIDED = plan_partition(TOPOLOGY, Intent(cpus={"dataplane": "1", "realtime": "2-3"}))
NO_DATAPLANE = plan_partition(TOPOLOGY, Intent(cpus={"realtime": "3"}))


def networks(*items):
    return parse_networks([{"name": item} if isinstance(item, str) else item for item in items])


def guests(known, *items):
    return parse_guests(
        [{"memory_mib": 64, "vcpus": 2, "realtime_vcpus": "1", **item} for item in items], known, node="n", priority_limit=1
    )


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mtu", "size"), [(1500, 3008), (1800, 3008), (6000, 7104), (9000, 10176)])
def test_buffers_have_the_sizes_of_the_documentation(mtu, size):
    """Documentation/topics/dpdk/memory.rst, examples 1 to 4."""
    assert mbuf_bytes(mtu) == size
    assert mbuf_count(mtu) == 262144


def test_small_packets_have_few_buffers():
    assert [mbuf_count(mtu) for mtu in (68, 998, 999, 1499, 1500)] == [16384, 16384, 262144, 262144, 262144]


@pytest.mark.parametrize(
    ("mtus", "mib"),
    [
        ([1500], 832),  # 752 for the buffers, 64 for the rest, in steps of 64
        ([1500, 1400], 832),  # both round up to the same buffer
        ([9000], 2624),
        ([1500, 9000], 3392),
        ([68], 128),
    ],
)
def test_memory_follows_from_the_mtus(mtus, mib):
    known = networks(*({"name": f"n{mtu}", "mtu": mtu} for mtu in mtus))
    assert socket_memory_mib(PARTITION, known, []) == {0: mib, 1: mib}


def test_memory_goes_to_nodes_that_have_ports_or_may_have_them():
    known = networks("control")
    assert socket_memory_mib(ONE_SIDED, known, [], 64) == {0: 64, 1: 0}
    assert socket_memory_mib(PARTITION, known, [], 64) == {0: 64, 1: 64}
    ordinary = {"name": "pc", "realtime_vcpus": "", "hugepages": "2M", "networks": [{"network": "control"}]}
    assert socket_memory_mib(ONE_SIDED, known, guests(known, {**ordinary, "numa_node": 0}), 64) == {0: 64, 1: 0}
    assert socket_memory_mib(ONE_SIDED, known, guests(known, ordinary), 64) == {0: 64, 1: 64}
    assert socket_memory_mib(ONE_SIDED, known, guests(known, {**ordinary, "networks": []}), 64) == {0: 64, 1: 0}


def test_another_real_time_guest_needs_no_other_memory():
    known = networks("control")
    some = guests(known, {"name": "a", "networks": [{"network": "control"}]})
    more = guests(known, *({"name": name, "networks": [{"network": "control"}]} for name in "abc"))
    assert (
        socket_memory_mib(ONE_SIDED, known, some)
        == socket_memory_mib(ONE_SIDED, known, more)
        == socket_memory_mib(ONE_SIDED, known, [])
    )


@pytest.mark.parametrize("item", [{"name": "n", "realtime": False}, {"name": "n", "state": "absent"}])
def test_no_real_time_network_no_memory(item):
    assert socket_memory_mib(PARTITION, networks(item), [], 64) == {0: 0, 1: 0}


# -- settings --------------------------------------------------------------------------------------


def test_settings():
    assert desired_settings(PARTITION, {0: 64, 1: 128}, SwitchOptions()) == {
        "dpdk-init": "true",
        "dpdk-lcore-mask": None,
        "dpdk-alloc-mem": None,
        "dpdk-socket-mem": "64,128",
        "dpdk-socket-limit": "64,128",
        "pmd-cpu-mask": "0x26",
        "pmd-rxq-assign": "group",
        "pmd-rxq-isolate": "false",
        "pmd-sleep-max": None,
    }


@pytest.mark.parametrize(
    ("memory", "text"), [({0: 64, 1: 0}, "64"), ({0: 0, 1: 64}, "0,64"), ({0: 1, 8: 2}, "1,0,0,0,0,0,0,0,2"), ({}, "0")]
)
def test_memory_is_written_for_each_socket_from_the_first(memory, text):
    assert desired_settings(PARTITION, memory, SwitchOptions())["dpdk-socket-mem"] == text


def test_further_arguments():
    assert "dpdk-extra" not in desired_settings(PARTITION, {0: 1}, SwitchOptions())
    assert desired_settings(PARTITION, {0: 1}, SwitchOptions(dpdk_extra=" --no-pci "))["dpdk-extra"] == "--no-pci"
    assert desired_settings(PARTITION, {0: 1}, SwitchOptions(dpdk_extra=""))["dpdk-extra"] is None
    assert desired_settings(PARTITION, {0: 1}, SwitchOptions(dpdk_extra="--no-huge -m 512"))["dpdk-socket-mem"] is None


@pytest.mark.parametrize(
    "text", ["-c 0x3", "-c3", "-l 1-2", "-l1", "--lcores=1", "--lcores 0@1", "--main-lcore 2", "--no-pci -l 2"]
)
def test_arguments_that_give_dpdk_cpus_are_refused(text):
    with pytest.raises(SwitchError, match=r"^ovs_dpdk_extra: \S+ gives DPDK CPUs of its own, against the partition"):
        check_extra(text, "ovs_dpdk_extra")


@pytest.mark.parametrize("text", ["-m 64", "-m64", "--socket-mem 1,1", "--socket-limit=1"])
def test_arguments_that_give_dpdk_memory_are_refused(text):
    with pytest.raises(SwitchError, match="gives DPDK memory of its own; leave it out and set ovs_dpdk_socket_memory_mib"):
        check_extra(text, "ovs_dpdk_extra")


@pytest.mark.parametrize("text", ["", "--no-pci", "-a 0000:01:00.0 --log-level=8", "--legacy-mem --no-huge -m 512", "--model x"])
def test_other_arguments_are_passed_on(text):
    check_extra(text, "ovs_dpdk_extra")


def test_arguments_that_cannot_be_read():
    with pytest.raises(SwitchError, match="cannot be read as EAL arguments: No closing quotation"):
        check_extra("'", "ovs_dpdk_extra")


@pytest.mark.parametrize("value", [-1, 10001])
def test_sleep_out_of_range(value):
    with pytest.raises(SwitchError, match=f"^ovs_dpdk_pmd_sleep_max_us: {value} is not in 0-10000"):
        desired_settings(PARTITION, {}, SwitchOptions(pmd_sleep_max_us=value))


@pytest.mark.parametrize(
    ("key", "current", "wanted", "same"),
    [
        ("pmd-cpu-mask", "0x26", "0x26", True),
        ("pmd-cpu-mask", "26", "0x26", True),
        ("pmd-cpu-mask", "0X0026", "0x26", True),
        ("pmd-cpu-mask", "0x6", "0x26", False),
        ("pmd-cpu-mask", "rubbish", "0x26", False),
        ("pmd-cpu-mask", None, "0x26", False),
        ("dpdk-init", "True", "true", True),
        ("dpdk-init", "try", "true", False),
        ("pmd-sleep-max", "0", None, True),
        ("pmd-sleep-max", "7", None, False),
        ("dpdk-lcore-mask", None, None, True),
        ("dpdk-lcore-mask", "0x1", None, False),
        ("dpdk-socket-mem", "64", "64,0", False),
    ],
)
def test_what_counts_as_the_same_setting(key, current, wanted, same):
    assert same_setting(key, current, wanted) is same


# -- ports and queues ------------------------------------------------------------------------------


def test_ports_of_guests_and_devices():
    known = networks(
        {"name": "control", "vlan": 5, "device": "ens1", "queues": 2, "mtu": 9000}, {"name": "office", "realtime": False}, "free"
    )
    listed = guests(
        known,
        {"name": "b", "networks": [{"network": "control", "queues": 2}, {"network": "office"}]},
        {"name": "a", "networks": [{"network": "free"}]},
        {"name": "gone", "state": "absent", "networks": [{"network": "control"}]},
    )
    ports = desired_ports(known, listed, {"control": "0000:41:00.0"}, {"b.control": (1,)})
    assert ports == [
        Port(
            "dpdk-control",
            "br-control",
            "control",
            "",
            "ens1",
            PHYSICAL,
            {"dpdk-devargs": "0000:41:00.0", "n_rxq": "2"},
            9000,
            None,
            2,
        ),
        Port("a.free", "br-free", "free", "a", options={"vhost-server-path": "/run/realtime-kvm/vhost/a.free"}),
        Port(
            "b.control",
            "br-control",
            "control",
            "b",
            options={"vhost-server-path": "/run/realtime-kvm/vhost/b.control"},
            mtu=9000,
            tag=5,
            queues=2,
            nodes=(1,),
        ),
    ]


def port(name, queues=1, nodes=()):
    return Port(name, "br", "n", name, queues=queues, nodes=nodes)


def affinities(ports, existing=None, foreign=()):
    return {name: dict(item.affinity) for name, item in assign_queues(ports, PARTITION, existing or {}, foreign).items()}


def test_queues_go_to_their_node_and_spread():
    assert affinities([port("a", 2, (0,)), port("b", 1, (1,)), port("c"), port("d", 1, (0,))]) == {
        "a": {0: 1, 1: 2},
        "b": {0: 5},
        "c": {0: 1},
        "d": {0: 2},
    }


def test_queues_of_a_node_without_dataplane_cpus_go_anywhere():
    assert assign_queues([port("a", 1, (1,))], ONE_SIDED, {})["a"].affinity == {0: 1}


def test_queues_keep_their_cpus_where_these_are_dataplane_still():
    kept = {"a": {0: 5, 1: 3}, "b": {0: 2, 7: 1}}
    assert affinities([port("a", 2, (0,)), port("b")], kept) == {"a": {0: 5, 1: 1}, "b": {0: 2}}


def test_pinned_queues_of_others_count():
    assert affinities([port("a", 1, (0,))], foreign=[1, 1, 99]) == {"a": {0: 2}}


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8)


@given(NAMES, NAMES)
def test_ports_that_come_and_go_move_no_other(first, second):
    before = affinities([port(name, 2) for name in sorted(first)])
    after = affinities([port(name, 2) for name in sorted(second)], before)
    assert {name: after[name] for name in first if name in second} == {name: before[name] for name in first if name in second}
    assert affinities([port(name, 2) for name in sorted(second)], after) == after
    assert all(cpu in PARTITION.sets["dataplane"] for pins in after.values() for cpu in pins.values())


@pytest.mark.parametrize(
    ("text", "pins"), [("", {}), ("0:3,1:7", {0: 3, 1: 7}), (" 0:3 , 1:7,", {0: 3, 1: 7}), ("0:x", {}), ("3", {}), ("0:1:2", {})]
)
def test_affinity_texts(text, pins):
    assert parse_affinity(text) == pins
    assert parse_affinity(format_affinity(pins)) == pins


def test_real_time_networks_need_dataplane_cpus():
    with pytest.raises(
        SwitchError,
        match=r"^realtime_networks: a, b are real-time, but this node's partition has no dataplane CPUs .* set cpu_partition_dataplane_cores",
    ):
        check_dataplane(NO_DATAPLANE, networks("a", "b"), {})
    check_dataplane(NO_DATAPLANE, networks({"name": "a", "realtime": False}, {"name": "b", "state": "absent"}), {})


def test_a_device_needs_dataplane_cpus_on_its_node():
    known = networks({"name": "a", "device": "ens3"})
    with pytest.raises(
        SwitchError,
        match=r"a: device ens3 is on NUMA node 1, which has no dataplane CPUs \(there are 1\); add it to cpu_partition_dataplane_devices",
    ):
        check_dataplane(ONE_SIDED, known, {"a": 1})
    check_dataplane(ONE_SIDED, known, {"a": 0})
    check_dataplane(ONE_SIDED, known, {"a": None})


def test_a_shared_bridge_keeps_its_mark_while_that_network_uses_it():
    known = networks(
        {"name": "b", "bridge": "br"}, {"name": "a", "bridge": "br"}, {"name": "c", "state": "absent", "bridge": "br"}
    )
    assert desired_bridges(known.values(), {}) == {"br": "a"}
    assert desired_bridges(known.values(), {"br": "b"}) == {"br": "b"}
    assert desired_bridges(known.values(), {"br": "c"}) == {"br": "a"}
    assert desired_bridges(known.values(), {"br": None}) == {"br": "a"}


# -- comparison ------------------------------------------------------------------------------------


class Rows:
    """A database that is put together by hand."""

    def __init__(self):
        self.bridges, self.ports, self.interfaces, self.on = {}, {}, {}, {}

    def bridge(self, name, network=None, datapath="netdev"):
        marks = {"realtime-kvm": network} if network else {}
        self.on[name] = []
        self.bridges[name] = (datapath, marks)
        self.port(name, name, marks=marks, type="internal")
        return self

    def port(
        self, bridge, name, *, marks=None, type="dpdkvhostuserclient", options=None, other=None, tag=None, status=None, mtu=1500
    ):
        common = {"name": name, "external_ids": marks or {}}
        self.ports[name] = Row(f"p-{name}", {**common, "tag": tag, "interfaces": (f"i-{name}",)})
        more = {
            "type": type,
            "options": options or {},
            "other_config": other or {},
            "status": status or {},
            "mtu_request": mtu,
            "error": None,
        }
        self.interfaces[name] = Row(f"i-{name}", {**common, **more})
        self.on[bridge].append(f"p-{name}")
        return self

    def database(self, other_config=None, external_ids=None, dpdk=True):
        bridges = {
            name: Row(
                f"b-{name}", {"name": name, "datapath_type": datapath, "external_ids": marks, "ports": tuple(self.on[name])}
            )
            for name, (datapath, marks) in self.bridges.items()
        }
        root = {"other_config": other_config or {}, "external_ids": external_ids or {}, "dpdk_initialized": dpdk}
        return Database(
            Row("root", {**root, "bridges": tuple(f"b-{name}" for name in bridges)}), bridges, self.ports, self.interfaces
        )


KNOWN = networks({"name": "control", "vlan": 5})
LISTED = guests(KNOWN, {"name": "plc1", "networks": [{"network": "control"}]})
SWITCH = Switch({}, {"br-control": "control"}, assign_queues(desired_ports(KNOWN, LISTED, {}, {}), PARTITION, {}), {})


def settled():
    """What the database holds once SWITCH is made."""
    wanted = SWITCH.ports["plc1.control"]
    marks = {"realtime-kvm": "control", "realtime-kvm-guest": "plc1"}
    pins = {"pmd-rxq-affinity": format_affinity(wanted.affinity)}
    return (
        Rows()
        .bridge("br-control", "control")
        .port("br-control", wanted.name, marks=marks, options=wanted.options, other=pins, tag=5)
    )


def compare(rows, switch=SWITCH, known=None, listed=("plc1",), **more):
    return plan_switch(rows.database(), switch, KNOWN if known is None else known, listed, **more)


def told(plan):
    return [(difference.resource, difference.before, difference.after) for difference in plan.differences]


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


def test_first_ports_disturb_nobody_and_further_ones_stall():
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


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            Rows().bridge("br-control", datapath=""),
            r"^realtime_networks: control: bridge br-control exists with the kernel's datapath \(datapath_type system\)",
        ),
        (Rows().bridge("x").port("x", "br-control"), "there is port br-control of bridge x already"),
        (
            Rows().bridge("x").port("x", "plc1.control"),
            "^realtime_guests: plc1: port plc1.control exists on bridge x and is not this collection's",
        ),
        (
            Rows().bridge("x").port("x", "vhu1", options={"vhost-server-path": "/run/realtime-kvm/vhost/plc1.control"}),
            "interface vhu1, which is not this collection's, has vhost-server-path /run/realtime-kvm/vhost/plc1.control already",
        ),
    ],
)
def test_what_stands_in_the_way_is_named(rows, said):
    with pytest.raises(SwitchError, match=said):
        compare(rows)


def test_a_bridge_of_the_kernel_is_named():
    with pytest.raises(
        SwitchError,
        match=r"there is an interface br-control of the kernel already, so no userspace bridge .* or give the network realtime: false",
    ):
        compare(Rows(), kernel_names=["lo", "br-control"])
    compare(settled(), kernel_names=["lo", "br-control"])  # its own


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


# -- the daemon ------------------------------------------------------------------------------------

WANTED = {"dpdk-init": "true", "dpdk-socket-mem": "64", "dpdk-lcore-mask": None, "pmd-cpu-mask": "0x26"}
HELD = {"dpdk-init": "true", "dpdk-socket-mem": "64"}


@pytest.mark.parametrize(
    ("held", "ids", "dpdk", "reasons"),
    [
        (HELD, {}, True, []),
        ({**HELD, "dpdk-init": "True", "pmd-cpu-mask": "0x1"}, {}, True, []),
        (HELD, {}, False, ["DPDK is not initialized in the running daemon"]),
        ({}, {}, False, ["dpdk-init", "dpdk-socket-mem"]),
        ({**HELD, "dpdk-lcore-mask": "0x1"}, {}, True, ["dpdk-lcore-mask"]),
        (HELD, {DAEMON_KEY: marker("this", {})}, True, ["settings changed by a run that did not come to the restart"]),
        (HELD, {DAEMON_KEY: marker("that", {})}, True, []),  # it has started since
        ({**HELD, "dpdk-socket-mem": "1"}, {DAEMON_KEY: marker("this", HELD)}, True, []),  # it does not know of the 1 yet
        ({**HELD, "dpdk-socket-mem": "1"}, {DAEMON_KEY: marker("that", HELD)}, True, ["dpdk-socket-mem"]),
        (HELD, {DAEMON_KEY: "rubbish"}, True, []),
    ],
)
def test_when_the_running_daemon_must_start_anew(held, ids, dpdk, reasons):
    assert restart_reasons(Rows().database(held, ids, dpdk), WANTED, "this") == reasons


def test_settings_that_need_no_restart_do_not_count():
    assert digest({**WANTED, "pmd-cpu-mask": "0x1"}) == digest(HELD)
    assert running_digest(Rows().database(HELD), "this") == digest(HELD)


def test_who_uses_the_switch():
    assert switch_users(Rows().database(), ["plc9"]) == []
    rows = (
        settled()
        .bridge("x")
        .port("x", "vhu1", status={"status": "connected"})
        .port("x", "vhu2", status={"status": "disconnected"})
    )
    assert switch_users(rows.database(), []) == ["vhu1"]
    assert switch_users(rows.database(), ["plc9"]) == ["plc9", "vhu1"]
    rows.port("x", "mine", marks={"realtime-kvm": "n", "realtime-kvm-guest": "plc3"}, status={"status": "connected"})
    assert switch_users(rows.database(), []) == ["plc3", "vhu1"]


def test_a_described_port_leaves_out_what_it_has_not():
    assert not re.search("tag|None", describe_port(replace(SWITCH.ports["plc1.control"], tag=None)))
