# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planned switch: memory, settings, ports, queues, and what the comparison with the database finds."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import (
    PHYSICAL,
    Port,
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
from hypothesis import given
from hypothesis import strategies as st
from unit.switches import PARTITION, TOPOLOGY, guests, networks, port

ONE_SIDED = plan_partition(TOPOLOGY, Intent(smt="together", cpus={"dataplane": "1", "realtime": "2-3"}))
NO_DATAPLANE = plan_partition(TOPOLOGY, Intent(smt="together", cpus={"realtime": "3"}))


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
    with pytest.raises(SwitchError, match=r"^ovs_dpdk_extra: \S+ gives DPDK its own CPUs, against the partition"):
        check_extra(text, "ovs_dpdk_extra")


@pytest.mark.parametrize("text", ["-m 64", "-m64", "--socket-mem 1,1", "--socket-limit=1"])
def test_arguments_that_give_dpdk_memory_are_refused(text):
    with pytest.raises(SwitchError, match="gives DPDK its own memory; leave it out and set ovs_dpdk_socket_memory_mib"):
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
    for nodes, memory, lacks in (({"a": 1}, (0,), "memory"), ({"a": 7}, (), "CPUs")):
        with pytest.raises(SwitchError, match=rf"which has no {lacks}, .*; choose a device of a node with dataplane CPUs \(0\)"):
            check_dataplane(ONE_SIDED, known, nodes, memory)
    check_dataplane(ONE_SIDED, known, {"a": 0}, (0, 1))
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
