# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's networks and guests: each refusal names guest and key, all at once."""

from __future__ import annotations

import re
from datetime import date

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.guests import Later, native, read_host

NETWORKS = [{"name": "control"}]
PLC = {"name": "plc1", "memory_mib": 2048, "vcpus": 4, "realtime_vcpus": "1-3"}
NUMBER = "is of type str, which cannot be converted to int"


def read(*guests, networks=None, limit=1):
    return read_host(NETWORKS if networks is None else networks, list(guests), site="north", priority_limit=limit)


def test_sound_guests_are_read():
    found = read(
        PLC, {"name": "old", "state": "absent"}, {"name": "plc2", "memory_mib": 64, "networks": [{"network": "control"}]}
    )
    assert found.refusals == []
    assert [(guest.name, guest.state, guest.memory_mib) for guest in found.guests] == [
        ("plc1", "running", 2048),
        ("old", "absent", 0),
        ("plc2", "running", 64),
    ]


@pytest.mark.parametrize(
    ("guest", "said"),
    [
        ({**PLC, "realtime_vcpu": "1-3"}, "realtime_guests: plc1: unknown key realtime_vcpu, did you mean realtime_vcpus?"),
        ({**PLC, "disks": [{"pth": "/a"}]}, r"realtime_guests: plc1: disks\[0\]: unknown key pth, did you mean path?"),
        (
            {**PLC, "networks": [{"network": "contrl"}]},
            r"realtime_guests: plc1: networks\[0\]: network 'contrl' is not in realtime_networks",
        ),
        ({**PLC, "memory_mib": "much"}, "realtime_guests: plc1: memory_mib 'much' must be of type int"),
        ({**PLC, "memory_mib": None}, "realtime_guests: plc1: memory_mib is missing"),
        ({**PLC, "priority": 2}, "realtime_guests: plc1: priority 2 is not below the kernel's own threads"),
        ({"memory_mib": 64}, r"realtime_guests\[1\]: name None must be 1 to 50 letters"),
        ("plc1", r"realtime_guests\[1\]: 'plc1' is not a mapping"),
        (None, r"realtime_guests\[1\]: None is not a mapping"),
        (
            {**PLC, "networks": ["control"]},
            r"realtime_guests: plc1: networks\[0\]: 'control' is not a mapping with the name of a network",
        ),
        (
            {**PLC, "networks": {"network": "control"}},
            "realtime_guests: plc1: networks {'network': 'control'} must be of type list",
        ),
        ({**PLC, "disks": ["/x"]}, r"realtime_guests: plc1: disks\[0\]: '/x' is not a mapping with a path"),
        ({**PLC, "disks": "/x"}, "realtime_guests: plc1: disks '/x' must be of type list"),
        ({**PLC, "vcpus": "4", "disks": [1]}, r"realtime_guests: plc1: disks\[0\]: 1 is not a mapping with a path"),
        ({**PLC, "memory_mib": float("inf")}, "realtime_guests: plc1: memory_mib inf must be of type int"),
        ({**PLC, "vcpus": float("nan")}, "realtime_guests: plc1: vcpus nan must be of type int"),
        ({**PLC, "disks": [{"size_gib": float("inf")}]}, r"realtime_guests: plc1: disks\[0\]: size_gib inf must be of type int"),
        (
            {**PLC, "cloud_init": {"userdata": {}}},
            "realtime_guests: plc1: cloud_init: unknown key userdata, did you mean user_data?",
        ),
        ({**PLC, "xml": {"passwd": "x"}}, r"realtime_guests: plc1: xml cannot be read: "),
        # 52:54:00:12:34:56 without quotes is a number in base 60
        (
            {**PLC, "networks": [{"network": "control", "mac": 41144712896}]},
            r"networks\[0\]: mac '?41144712896'? is not a unicast address",
        ),
    ],
)
def test_a_wrong_guest_is_refused_and_the_others_are_read(guest, said):
    found = read({"name": "first", "memory_mib": 64}, guest, {"name": "last", "memory_mib": 64})
    (text,) = found.refusals
    assert re.search(said.replace("?", r"\?") if said.endswith("?") else said, text)
    assert [guest.name for guest in found.guests] == ["first", "last"]


def test_all_wrong_guests_are_refused_at_once():
    found = read({**PLC, "vcpu": 1}, {"name": "plc2"}, {"name": "plc3", "memory_mib": 64, "state": "on"})
    assert [text.split(": ")[1] for text in found.refusals] == ["plc1", "plc2", "plc3"]
    assert found.guests == []


@pytest.mark.parametrize(
    ("given", "key", "value"),
    [
        ({"memory_mib": "2048", "disks": ['{"path": "/a", "read_only": "no"}']}, "memory_mib", 2048),
        ({"agent": "yes"}, "agent", True),
        ({"description": 5}, "description", "5"),
    ],
)
def test_what_ansible_converts_for_the_module_is_converted(given, key, value):
    found = read({**PLC, **given})
    assert found.refusals == []
    assert getattr(found.guests[0], key) == value


def test_two_guests_of_a_host_with_one_name_are_refused_beside_a_wrong_one():
    found = read(PLC, PLC, {"name": "plc2"})
    assert [text.partition(";")[0] for text in found.refusals] == [
        "realtime_guests: plc2: memory_mib is missing",
        "realtime_guests: plc1 is listed twice",
    ]
    assert [guest.name for guest in found.guests] == ["plc1", "plc1"]


@pytest.mark.parametrize("name", ["realtime_guests", "realtime_networks"])
@pytest.mark.parametrize(
    ("value", "shown"), [(None, "empty"), ("", "empty"), ({}, "no list"), ("plc1", "no list"), (5, "no list"), (True, "no list")]
)
def test_what_is_no_list_is_refused(name, value, shown):
    networks, guests = (value, []) if name == "realtime_networks" else ([], value)
    found = read_host(networks, guests, site="north", priority_limit=1)
    assert list(found.refusals) == [f"{name} is {shown}; give a list, [] for none, or leave it out"]


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"name": "control", "devise": "ens1"}, "realtime_networks: control: unknown key devise, did you mean device?"),
        ({"name": "control", "vlan": 5000}, "realtime_networks: control: vlan 5000 is not in 1-4094"),
        ({"nam": "x"}, "realtime_networks[1]: name None must be"),
        ("control", "realtime_networks[1]: 'control' is not a mapping"),
        ({"name": "control", "vlan": float("inf")}, "realtime_networks: control: vlan inf has the wrong type"),
    ],
)
def test_a_wrong_network_is_refused_and_guests_are_looked_at_for_their_keys(network, said):
    found = read({**PLC, "networks": [{"network": "control"}]}, {**PLC, "vcpu": 1}, networks=[{"name": "other"}, network])
    assert found.refusals[0].startswith(said)
    assert found.refusals[1:] == ["realtime_guests: plc1: unknown key vcpu, did you mean vcpus?"]
    assert list(found.guests) == []


def test_networks_are_converted_too_and_compared():
    assert read(PLC, networks=[{"name": "control", "vlan": "100"}]).refusals == []
    (text,) = read(PLC, networks=[{"name": "control", "vlan": "100"}, {"name": "control"}]).refusals
    assert text.startswith("realtime_networks: control is listed twice")


# -- what is not known yet -------------------------------------------------------------------------


def test_a_guest_that_is_not_known_yet_hides_only_itself():
    found = read(PLC, Later({"name": "plc2", "memory_mib": "{{ ansible_facts.x }}"}), {"name": "plc3"})
    assert [text.split(": ")[1] for text in found.refusals] == ["plc3"]
    assert [guest.name for guest in found.guests] == ["plc1"]


def test_its_keys_are_known():
    assert read(Later({"name": "plc2", "vcpu": "{{ x }}"})).refusals == [
        "realtime_guests: plc2: unknown key vcpu, did you mean vcpus?"
    ]
    assert read(Later("{{ x }}")).refusals == []


def test_lists_that_are_not_known_yet():
    assert read_host([], Later("{{ x }}"), site="north", priority_limit=1).refusals == []
    wanted = {**PLC, "networks": [{"network": "control"}]}
    for networks in (Later("{{ x }}"), [Later("{{ x }}")]):
        assert read(wanted, networks=networks).refusals == []
        assert (
            read(Later({**wanted, "vcpu": 1}), {**wanted, "vcpu": 1}, networks=networks).refusals
            == ["realtime_guests: plc1: unknown key vcpu, did you mean vcpus?"] * 2
        )


def test_a_template_that_cannot_be_read_is_refused():
    said = "a template cannot be read: unexpected '}'"
    assert read(Later({"name": "plc1", "vcpus": "{{ }"}, said), Later("{{ }", said)).refusals == [
        f"realtime_guests: plc1: {said}",
        f"realtime_guests[1]: {said}",
    ]
    assert read_host([], Later("{{ }", said), site="north", priority_limit=1).refusals == [f"realtime_guests: {said}"]
    assert read_host(Later("{{ }", said), [], site="north", priority_limit=1).refusals == [f"realtime_networks: {said}"]


def test_native():
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    day = date(2026, 1, 2)
    found = native({Text("a"): [Text("b"), Number(5), True, None, 1.5, (day,)]})
    assert found == {"a": ["b", 5, True, None, 1.5, [day]]}
    assert [type(item) for item in found["a"]] == [str, int, bool, type(None), float, list]
    assert [type(key) for key in found] == [str]


def test_of_two_guests_that_clash_each_pair_is_told():
    def guest(name, mac, disk, **more):
        return {
            "name": name,
            "memory_mib": 64,
            "networks": [{"network": "control", "mac": mac}],
            "disks": [{"path": disk}],
            **more,
        }

    a, b = "52:54:00:00:00:01", "52:54:00:00:00:02"
    found = read(
        guest("a1", a, "/1"), guest("a2", a, "/2"), guest("a3", b, "/3"), guest("a4", b, "/4"),
        guest("a5", "52:54:00:00:00:05", "/1"), guest("a6", "52:54:00:00:00:06", "/2"), guest("a1", "52:54:00:00:00:07", "/7"),
    )  # fmt: skip
    assert sorted(found.refusals) == [
        "realtime_guests: a1 is listed twice; every guest needs its own name",
        f"realtime_guests: a2 and a1 have the same MAC {a}",
        f"realtime_guests: a4 and a3 have the same MAC {b}",
        "realtime_guests: a5 and a1 write the same disk /1",
        "realtime_guests: a6 and a2 write the same disk /2",
    ]


def test_a_list_of_vcpus_is_said_to_be_one():
    (text,) = read({**PLC, "realtime_vcpus": [1, 2, 3]}).refusals
    assert text == 'realtime_guests: plc1: realtime_vcpus is a list; give one text: "1-3"'
