# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's answer becomes a host, or says why it takes no part."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.read import HOST_VARIABLES, read_host
from unit.placing import answer, domain, host

ONE = host("h", 2, 5, memory=8192)


def part(name, state):
    return {"part": name, "state": state, "reason": "why"}


def read(data, networks=(), **variables):
    return read_host("h", data, parse_networks(list(networks)), {**HOST_VARIABLES, **variables})


def test_a_host_is_what_its_node_has():
    found, why = read(answer(ONE, [("plc", {0: 1, 1: 2})]), realtime_place_domains={"rack": 7}, realtime_place_devices=["fpga"])
    assert why == ""
    assert found.topology.cpus == ONE.topology.cpus
    assert found.partition.sets == ONE.partition.sets
    assert (found.memory_mib, found.domains, found.devices) == ({0: 8192, 1: 8192}, {"rack": "7"}, {"fpga": 1})
    assert found.existing[0].realtime
    assert found.existing[0].vcpus[1] == frozenset({2})


def test_switch_and_reserve_are_not_for_guests():
    found, _why = read(
        answer(ONE), [{"name": "control"}], ovs_dpdk_socket_memory_mib=1024, kvm_host_hugepages_reserve={"1G": 2048}
    )
    assert found.memory_mib == {0: 8192 - 3072, 1: 8192 - 3072}
    data = answer(ONE)
    data["node"]["switch"] = {"socket_mib": "512,0", "pmds": {"9": "pmd-c09"}}
    found, _why = read(data)
    assert found.memory_mib == {0: 7680, 1: 8192}
    assert found.polling == {9: "pmd-c09"}


def test_io_threads_of_running_domains_count():
    data = answer(ONE)
    data["node"]["guests"] = [
        {**domain("x", {}), "threads": [{"role": "iothread1", "cpus": "3"}, {"role": "vcpu0", "cpus": "1"}]}
    ]
    assert read(data)[0].existing[0].io_threads == frozenset({3})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda node: node.clear(), "its answer cannot be read"),
        (lambda node: node.update(topology={}), "its topology could not be read"),
        (lambda node: node.update(partition={}), "it has no partition file; run partition"),
        (lambda node: node["partition"].update(schema=9), "was written by a newer release (schema 9"),
        (lambda node: node["partition"].update(boot_cpu=3), "the partition file is damaged"),
        (lambda node: node["topology"].update(digest="x"), "its partition file is of other CPUs than it has now"),
        (lambda node: node.update(missing=[part("libvirt", "broken")]), "its guests could not be read (libvirt: why)"),
        (lambda node: node.update(missing=[part("guest x", "broken")]), "its guests could not be read (guest x: why)"),
        (lambda node: node.update(missing=[part("libvirt", "absent")]), ""),
        (lambda node: node.update(memory={"0": {}}), "its answer cannot be read"),
        (lambda node: node["topology"]["cpus"].pop("3"), "its answer cannot be read (its CPUs are not those of their digest)"),
        (lambda node: node["topology"]["cpus"]["3"].update(l3=None), "its answer cannot be read (its CPUs are not those"),
        (lambda node: node["memory"]["0"].update(guest_mib=-1), "its answer cannot be read (memory.0.guest_mib is -1, not a number from 0"),
        (lambda node: node.update(guests=[None]), "its answer cannot be read (guests[0] is null, not an object)"),
        (lambda node: node.update(guests=[{**domain("x", {}), "name": None}]), "(guests[0].name is null, not text)"),
        (lambda node: node.update(guests=[{**domain("x", {}), "memory_mib": None}]), "(guests[0].memory_mib is None, not a number"),
        (lambda node: node.update(guests=[{**domain("x", {}), "nodes": [["a"]]}]), "(guests[0].nodes[0] is ['a'], not a number"),
        (lambda node: node.update(guests=[{**domain("x", {}), "hugepages": "3M"}]), "(guests[0].hugepages is '3M', not one of none"),
    ],
)  # fmt: skip
def test_nodes_that_take_no_part(change, text):
    data = copy.deepcopy(answer(ONE))
    change(data["node"])
    found, why = read(data)
    assert text in why
    assert (found is None) == bool(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"unreachable": True, "msg": "x"}, "it cannot be reached"),
        ({"msg": "no libvirt\x07"}, "no libvirt"),
        ({}, "it was not read"),
    ],
)
def test_nodes_without_an_answer(data, text):
    assert text in read(data)[1]


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"realtime_place_domains": "r1"}, "realtime_place_domains is no mapping"),
        ({"realtime_place_domains": {"rack": None}}, "realtime_place_domains: rack: None is no name"),
        ({"realtime_place_domains": {"rack": ""}}, "realtime_place_domains: rack: '' is no name"),
        ({"realtime_place_domains": {"rack": "{}"}}, "realtime_place_domains: rack: '{}' is no name"),
        ({"realtime_place_domains": {"": "r1"}}, "realtime_place_domains: : '' is no name"),
        ({"realtime_place_domains": {"rack": True}}, "realtime_place_domains: rack: True is no name"),
        ({"realtime_place_devices": "fpga"}, "realtime_place_devices is no list"),
        ({"realtime_place_devices": [["fpga"]]}, "realtime_place_devices: ['fpga'] is no name"),
        ({"realtime_place_devices": {"card": -1}}, "realtime_place_devices: card: -1 is no number of devices"),
        ({"kvm_host_hugepages_reserve": {"3M": 1}}, "'3M' is not a page size"),
        ({"realtime_priority_limit": "x"}, "its answer cannot be read"),
    ],
)
def test_variables_that_cannot_be(variables, text):
    assert text in read(answer(ONE), **variables)[1]


def test_devices_are_counted_by_their_names():
    assert read(answer(ONE), realtime_place_devices=["card", "card", 7])[0].devices == {"7": 1, "card": 2}
    assert read(answer(ONE), realtime_place_devices={"card": 3})[0].devices == {"card": 3}
