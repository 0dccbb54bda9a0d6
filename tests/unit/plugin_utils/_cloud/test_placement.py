# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud's view of a node against its partition file, and the answers of nodes that it is made of."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import CloudError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.hosts import find_host, find_hosts
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.nodes import common, read_answer, read_node
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.placement import Provider, compare, own_cpus
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.wanted import Node

NODE = Node("node1", networks=[{"name": "control", "physical_network": "rt0", "kbps": 5000}])
DOCUMENT = {
    "smt": "single",
    "sets": {
        "housekeeping": {"cpus": "0-1,6-7", "nodes": {"0": "0-1", "1": "6-7"}},
        "dataplane": {"cpus": "2", "nodes": {"0": "2"}},
        "realtime": {"cpus": "4-5,8-11", "nodes": {"0": "4-5", "1": "8-11"}},
        "shared": {"cpus": "", "nodes": {}},
    },
}
FINE = {
    "host": "node1",
    "inventories": {
        "PCPU": {"total": 6, "reserved": 0, "allocation_ratio": 1.0},
        "VCPU": {"total": 4, "reserved": 0, "allocation_ratio": 4.0},
    },
    "traits": frozenset({"CUSTOM_REALTIME_KVM", "CUSTOM_REALTIME_PHYSNET_RT0", "COMPUTE_NODE"}),
    "children": {"node1:Open vSwitch agent:br-control": {"NET_BW_EGR_KILOBIT_PER_SEC": {"total": 5000, "reserved": 0}}},
}


def rules(**changed):
    return [finding.rule for finding in compare(NODE, DOCUMENT, Provider(**{**FINE, **changed}))]


def test_a_cloud_that_agrees_has_no_finding():
    assert rules() == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"inventories": {}}, ["placement-cpus", "placement-cpus"]),
        (
            {"inventories": {**FINE["inventories"], "PCPU": {"total": 5, "reserved": 0, "allocation_ratio": 1.0}}},
            ["placement-cpus"],
        ),
        (
            {"inventories": {**FINE["inventories"], "PCPU": {"total": 6, "reserved": 1, "allocation_ratio": 1.0}}},
            ["placement-cpus"],
        ),
        (
            {"inventories": {**FINE["inventories"], "PCPU": {"total": 6, "reserved": 0, "allocation_ratio": 2.0}}},
            ["placement-cpus"],
        ),
        ({"traits": frozenset({"CUSTOM_REALTIME_KVM"})}, ["placement-traits"]),
        ({"traits": FINE["traits"] | {"CUSTOM_REALTIME_PHYSNET_OLD"}}, ["placement-traits"]),
        ({"traits": FINE["traits"] | {"CUSTOM_SITE"}}, []),
        ({"children": {}}, ["placement-bandwidth"]),
        ({"children": {"node1:Open vSwitch agent:br-control": {}}}, ["placement-bandwidth"]),
        ({"state": "down"}, ["cloud-service"]),
        ({"status": "disabled"}, ["cloud-service"]),
    ],
)
def test_each_difference_is_a_finding(changed, found):
    assert rules(**changed) == found


def test_a_node_that_the_cloud_does_not_know_is_a_finding():
    assert [finding.rule for finding in compare(NODE, DOCUMENT, None)] == ["placement-provider"]


def test_cpus_of_other_guests_are_not_expected():
    provider = Provider(
        **{**FINE, "inventories": {**FINE["inventories"], "PCPU": {"total": 4, "reserved": 0, "allocation_ratio": 1.0}}}
    )
    assert compare(NODE, DOCUMENT, provider, taken="4-5") == []


def test_own_guests_take_whole_cores_and_novas_none():
    domains = [
        {"name": "plc1", "vcpus": {"0": "0-1", "1": "4"}, "emulator": "0-1"},
        {"name": "instance-0000001a", "vcpus": {"0": "8"}, "emulator": "0"},
    ]
    assert own_cpus(domains, ["4,5", "8,9"], "4-5,8-11") == "4-5"
    assert own_cpus(domains, [], "4-5,8-11") == "4"


@pytest.mark.parametrize(
    ("node", "known", "host"),
    [
        (Node("kvm01.example.com"), ["kvm01"], "kvm01"),
        (Node("kvm01.example.com"), ["kvm01", "kvm01.example.com"], "kvm01.example.com"),
        (Node("kvm01.example.com"), ["kvm01.other.com"], ""),
        (Node("kvm01"), ["kvm01.example.com"], "kvm01.example.com"),
        (Node("kvm01"), ["kvm01.a", "kvm01.b"], ""),
        (Node("kvm01", compute_host="nova-7"), ["kvm01", "nova-7"], "nova-7"),
        (Node("kvm01", compute_host="nova-8"), ["kvm01"], ""),
    ],
)
def test_hosts_are_found_by_the_inventorys_names(node, known, host):
    assert find_host(node, known) == host


def test_an_instance_is_novas_whatever_its_domains_name_is():
    pins = {"vcpus": {"0": "4"}, "emulator": ""}
    assert own_cpus([{"name": "vm-1", "manager": "nova", **pins}], [], "4-7") == ""
    assert own_cpus([{"name": "instance-00000001", "manager": "", **pins}], [], "4-7") == "4"
    assert own_cpus([{"name": "instance-00000001", **pins}], [], "4-7") == ""


def test_a_trait_that_placement_keeps_is_taken_back_there():
    kept = Provider(**{**FINE, "traits": FINE["traits"] | {"CUSTOM_REALTIME_PHYSNET_OLD"}})
    (found,) = compare(NODE, DOCUMENT, kept)
    assert found.actual == "also CUSTOM_REALTIME_PHYSNET_OLD"
    assert "openstack resource provider trait set" in found.remedy


def test_two_nodes_of_one_host_are_refused():
    with pytest.raises(CloudError, match="both taken for the cloud's host kvm01"):
        find_hosts([Node("kvm01.a"), Node("kvm01.b")], ["kvm01"])


def test_what_nodes_have_in_common():
    answers = [read_answer(NODE, {"partition": DOCUMENT}, {}, None), read_answer(NODE, {"failed": True}, {}, None)]
    assert common(answers[:1]) == Hosts(2, "single")
    assert common(answers) == Hosts(2, ""), "a node that did not answer may have SMT used together"
    other = read_answer(NODE, {"partition": {**DOCUMENT, "smt": "together"}}, {}, None)
    assert common([answers[0], other]) == Hosts(2, "")
    one = {
        **DOCUMENT,
        "sets": {name: {**item, "nodes": {"0": item["cpus"]} if item["cpus"] else {}} for name, item in DOCUMENT["sets"].items()},
    }
    known = read_answer(NODE, {"partition": one}, {}, None)
    assert common([known]).numa_nodes == 1
    assert common([known, answers[1]]).numa_nodes == 0
    assert common([]) == Hosts()


@pytest.mark.parametrize(
    "partition",
    [
        None,
        [],
        "x",
        {"partition": []},
        {"partition": {"sets": {"realtime": {}}}},
        {"partition": {"sets": {}}},
        {"unreachable": True},
    ],
)
def test_an_answer_of_another_form_counts_as_none(partition):
    assert read_answer(NODE, partition, {"domains": 7}, {"files": 1}).document == {}


def test_hostile_domains_count_as_no_answer():
    assert read_answer(NODE, {"partition": DOCUMENT}, {"domains": [{"name": "x", "vcpus": {"0": "9-z"}}]}, None).document == {}


def test_the_release_is_that_of_the_package_or_of_the_variable():
    found = {
        "files": [{"path": "/usr/lib/python3/dist-packages/nova-31.0.0.egg-info"}, {"path": "/x/nova_extra-1.0.egg-info"}, 7]
    }
    assert read_answer(NODE, None, None, found).release == 31
    assert read_answer(Node("n", version="33.0.2"), None, None, found).release == 33


@pytest.mark.parametrize(("value", "plain"), [(True, True), ("true", True), ("no", False), (None, False)])
def test_a_node_is_read_from_its_variables(value, plain):
    node = read_node("n", {"nova_compute_plain_pinned": value, "nova_compute_host": "h", "realtime_networks": None})
    assert (node.plain_pinned, node.compute_host, node.networks) == (plain, "h", [])


def test_networks_that_are_no_list_are_refused_by_node():
    with pytest.raises(CloudError, match="n: realtime_networks"):
        read_node("n", {"realtime_networks": {"name": "x"}})
