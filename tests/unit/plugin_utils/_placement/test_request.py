# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked is read, or refused with everything that is wrong with it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import Options
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.request import Listed, read_options, read_request
from unit.placing import host

PLC = {"name": "plc", "memory_mib": 1024, "vcpus": 2, "realtime_vcpus": "1"}
NETWORK = {"name": "control"}


def domain(name, ours=True):
    return Existing(name, ours)


def request(fleet=(), lists=None, hosts=None, rules=()):
    networks = parse_networks([NETWORK])
    both = {
        "a": host("a", domains={"rack": "r1"}, networks=networks),
        "b": host("b", devices={"fpga": 1}, networks=networks),
    }
    hosts = both if hosts is None else hosts
    lists = {**{name: Listed([NETWORK]) for name in hosts}, **(lists or {})}
    return read_request(list(fleet), lists, hosts, rules, "site")


def test_a_guest_of_the_fleet_has_no_home_until_it_is_listed_or_there():
    (wish,) = request([{**PLC, "networks": [{"network": "control"}]}]).wishes
    assert (wish.home, wish.fixed, wish.networks) == ("", False, ("control",))
    found = request([PLC], {"b": Listed([], [{**PLC, "numa_node": 0}])})
    assert [(wish.name, wish.home) for wish in found.wishes] == [("plc", "b")]
    assert found.homes == {"plc": 0}
    hosts = {"a": host("a", existing=(domain("plc"),)), "b": host("b")}
    assert request([PLC], {"b": Listed([], [PLC])}, hosts).wishes[0].home == "a", "its domain decides"
    gone = {"a": Listed([], [{"name": "plc", "state": "absent"}]), "b": Listed([], [PLC])}
    assert request([PLC], gone, hosts).wishes[0].home == "b"


def test_a_host_s_own_guest_is_there_and_its_numa_node_is_that_host_s():
    found = request(lists={"a": Listed([], [{**PLC, "numa_node": 0}, {"name": "old", "state": "absent"}])})
    assert [(wish.home, wish.guest.numa_node) for wish in found.wishes] == [("a", None)]
    assert found.homes == {"plc": 0}


def test_a_guest_with_devices_stays_on_its_host_unless_it_says_where_else_they_are():
    card = {**PLC, "devices": ["0000:81:00.0"]}
    (wish,) = request(lists={"a": Listed([], [{**card, "numa_node": 0}])}).wishes
    assert (wish.stays, wish.anchor, wish.guest.numa_node) == (True, "its list of devices", 0)
    assert request([card], {"b": Listed([], [card])}).wishes[0].stays
    for placement in ({"hosts": ["*"]}, {"devices": ["fpga"]}):
        found = request([{**card, "placement": placement}])
        assert ([wish.stays for wish in found.wishes], found.faults) == ([False], [])
    assert request([{**card, "placement": {"hosts": ["*"], "movable": False}}]).wishes[0].anchor == "placement.movable: false"


def test_a_new_guest_with_devices_has_to_say_which_hosts_have_them():
    (fault,) = request([{**PLC, "devices": [{"physical_function": "ens3"}]}]).faults
    assert fault == (
        "realtime_place_guests: plc: nothing says which hosts have its devices; name these hosts (placement.hosts), or what they have in "
        "realtime_place_devices (placement.devices)"
    )


def test_guests_of_hosts_that_take_no_part_stay_there():
    lists = {"lost": Listed([], [PLC])}
    assert request(lists=lists).away == {"plc": "lost"}
    assert request([PLC], lists).away == {"plc": "lost"}


def test_placement_of_a_guest():
    (wish,) = request([{**PLC, "placement": {"hosts": ["[ab]", "c"], "devices": ["fpga"], "movable": False}}]).wishes
    assert (wish.hosts, wish.devices, wish.fixed) == (frozenset("ab"), frozenset({"fpga"}), True)
    assert "placement" not in wish.given


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({**PLC, "placement": []}, ""),
        ({**PLC, "placement": [1]}, "plc: placement is no mapping"),
        ({**PLC, "placement": {"host": 1}}, "plc: placement: unknown key host, did you mean hosts?"),
        ({**PLC, "placement": {"movable": "no"}}, "plc: placement.movable is 'no', neither true nor false"),
        ({**PLC, "placement": {"hosts": "a"}}, "plc: placement.hosts is no list of names"),
        ({**PLC, "placement": {"hosts": ["z"]}}, "plc: placement.hosts: no host of this run has a name like z"),
        ({**PLC, "placement": {"devices": ["gpu"]}}, "plc: placement.devices: no host has gpu in realtime_place_devices"),
        ({**PLC, "state": "absent"}, "plc: state absent has no meaning here"),
        ({**PLC, "memory_mib": 3}, "plc: memory_mib 3 is not in 16-67108864"),
        ({**PLC, "networks": [{"network": "x"}]}, "plc: "),
        ("plc", "is not a mapping"),
        ({}, "must be 1 to 50 letters"),
    ],
)  # fmt: skip
def test_guests_that_cannot_be(item, text):
    faults = request([item]).faults
    assert bool(faults) == bool(text)
    assert all(fault.startswith("realtime_place_guests: ") or "realtime_guests[0]" in fault for fault in faults)
    assert text in "\n".join(faults)


def test_two_guests_of_one_name():
    assert "plc is listed twice" in request([PLC, PLC]).faults[0]
    both = {"a": Listed([], [PLC]), "b": Listed([], [PLC])}
    assert request(lists=both).faults == ["realtime_guests: plc is on a, b; give it state: absent on those that it has left"]
    assert "plc is on a, b; give it state: absent in realtime_guests" in request([PLC], both).faults[0]
    hosts = {"a": host("a", existing=(domain("plc"),)), "b": host("b", existing=(domain("plc"),))}
    assert "plc is on a, b" in request([PLC], hosts=hosts).faults[0]


def test_rules_name_guests_by_pattern_or_class():
    fleet = [{**PLC, "name": f"plc{number}", "class": "web" if number else ""} for number in range(3)]
    rules = [
        {"kind": "anti-affinity", "guests": ["plc*"], "by": "rack", "most": 2},
        {"kind": "affinity", "class": "web", "name": "web"},
    ]
    first, second = request(fleet, rules=rules).rules
    assert (first.name, first.by, first.most, sorted(first.guests)) == ("anti-affinity 0", "rack", 2, ["plc0", "plc1", "plc2"])
    assert (second.kind, sorted(second.guests)) == ("affinity", ["plc1", "plc2"])


APART = {"kind": "anti-affinity", "guests": ["plc"]}


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ("x", "realtime_place_rules is no list"),
        (["x"], "[0] is no mapping with at least kind and guests"),
        ([{**APART, "guest": 1}], "[0]: unknown key guest, did you mean guests?"),
        ([{**APART, "kind": "apart"}], "[0]: kind 'apart' is not one of anti-affinity, affinity"),
        ([{"kind": "affinity"}], "[0]: guests is no list of names (or give class)"),
        ([{**APART, "guests": "plc"}], "[0]: guests is no list of names"),
        ([{**APART, "most": 0}], "[0]: most 0 is no number of guests from 1 on"),
        ([{**APART, "most": True}], "[0]: most True is no number"),
        ([{"kind": "affinity", "guests": ["plc"], "most": 2}], "[0]: most belongs to anti-affinity"),
        ([{**APART, "required": "no"}], "[0]: required 'no' is neither true nor false"),
        ([{**APART, "by": 3}], "[0]: by 3 is no kind of fault domain"),
        ([{**APART, "by": "room"}], "[0]: by room: no host has this kind in realtime_place_domains"),
        ([{**APART, "guests": ["x"]}], "anti-affinity 0: no guest is like what it names"),
        ([{**APART, "name": "n"}, {**APART, "name": "n"}], "two rules have the name n"),
        ([{**APART, "guests": ["p*"]}, {"kind": "affinity", "guests": ["p*"]}], "keeps plc, plc2 apart and affinity 1 keeps them together"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be(rules, text):
    faults = request([PLC, {**PLC, "name": "plc2"}], rules=rules).faults
    assert text in "\n".join(faults)


def test_options():
    assert read_options({}, ["a"]) == (Options(), frozenset(), [])
    given = {"strategy": "spread", "moves": "drain", "overcommit": "2", "work": 10, "drain": "a*, b"}
    assert read_options(given, ["a1", "b"]) == (Options("spread", "drain", 2, 10), frozenset({"a1", "b"}), [])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"strategy": "x"}, "realtime_place_strategy: 'x' is not one of pack, spread"),
        ({"moves": "x"}, "realtime_place_moves: 'x' is not one of needed, drain, none"),
        ({"overcommit": 0}, "realtime_place_overcommit: 0 is no number in 1-1000"),
        ({"work": True}, "realtime_place_work: True is no number"),
        ({"drain": {"a": 1}}, "realtime_place_drain is no list of hosts"),
        ({"drain": ["z"]}, "realtime_place_drain: no host of this run has a name like z"),
        ({"drain": ["a"], "moves": "none"}, "realtime_place_drain needs moves, and realtime_place_moves is none"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(given, text):
    assert text in "\n".join(read_options(given, ["a"])[2])


@pytest.mark.parametrize(
    ("network", "vhost"),
    [
        ({"name": "control", "datapath": "bridge"}, "vcpu"),
        ({"name": "control", "datapath": "macvtap", "device": "ens1"}, "vcpu"),
        ({"name": "control", "datapath": "macvtap", "device": "ens1", "realtime": False}, None),
    ],
)
def test_a_network_of_the_kernel_is_read_as_the_hosts_have_it(network, vhost):
    hosts = {"a": host("a", networks=parse_networks([network, {"name": "spare", "datapath": "macvtap", "device": "ens2"}]))}
    hosts["b"] = host("b", networks=parse_networks([{"name": "other", "datapath": "macvtap", "device": "ens1"}]))
    (wish,) = request([{**PLC, "networks": [{"network": "control"}]}], {"a": Listed([network])}, hosts).wishes
    assert (wish.guest.vhost, wish.guest.shared_memory, wish.priority) == (vhost, False, 1)
