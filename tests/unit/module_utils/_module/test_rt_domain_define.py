# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that rt_domain defines and starts, and exactly the differences of those that are there."""

from __future__ import annotations

import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import is_ours, read_pins
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from unit.guests import OTHER, PLC, resources


def test_guests_are_defined_and_started(node):
    result = node.converge(PLC, OTHER)
    assert resources(result) == [
        "domain plc1", "domain plc1: autostart", "domain historian", "domain historian: autostart",
        "domain plc1: state", "domain historian: state",
    ]  # fmt: skip
    assert result["disruption"] == "none"
    assert node.libvirt.calls == [
        "define plc1", "autostart plc1 True", "define historian", "autostart historian True", "start plc1", "start historian",
    ]  # fmt: skip
    assert result["domains"][0] == {
        "name": "plc1", "state": "running", "realtime": True, "vcpu_count": 2, "realtime_vcpus": "1", "vcpus": {"0": "2", "1": "3"},
        "floating": "", "emulator": "0", "vhost": "", "nodes": [0], "memory_mib": 256, "hugepages": "2M",
        "memory_by_node": {"0": 256}, "disks": {"vda": "/images/plc1.qcow2"},
        "macs": {"control": result["domains"][0]["macs"]["control"]}, "devices": [],
    }  # fmt: skip
    assert (result["domains"][1]["vcpus"], result["domains"][1]["floating"]) == ({}, "0")
    assert (result["restart_required"], result["unlisted"], result["defined"]) == ({}, [], [])
    assert not (node.root / JOURNAL[1:]).exists(), "what did not exist has no original"


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("running", ["define plc1", "autostart plc1 True", "start plc1"]),
        ("present", ["define plc1"]),
        ("stopped", ["define plc1"]),
        ("absent", []),
    ],
)
def test_states_of_a_new_guest(node, state, calls):
    node.converge({**PLC, "state": state})
    assert node.libvirt.calls == calls


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("running", []),
        ("present", ["autostart plc1 False"]),
        ("stopped", ["stop plc1", "autostart plc1 False"]),
        ("absent", ["stop plc1", "remove plc1"]),
    ],
)
def test_states_of_a_running_guest(node, state, calls):
    node.run(PLC)
    result = node.converge({**PLC, "state": state})
    assert node.libvirt.calls == calls
    assert result["disruption"] == ("guest" if state in ("stopped", "absent") else "none")
    assert (node.root / "images/plc1.qcow2").exists()


def test_one_that_is_not_listed_is_left_alone_and_reported(node):
    node.run(PLC, OTHER)
    node.foreign()
    result = node.converge(OTHER)
    assert result["unlisted"] == ["plc1"]
    assert result["defined"] == [OTHER["name"]]
    assert not result["changed"]
    assert sorted(node.libvirt.definitions) == ["historian", "plc1", "theirs"]


def test_one_more_moves_no_other_and_one_less_frees_its_cpus(node):
    second, third = {**PLC, "name": "plc2", "disks": []}, {**PLC, "name": "plc3", "disks": []}
    node.converge(PLC, second)
    result = node.converge(third, second, PLC)
    assert resources(result) == ["domain plc3", "domain plc3: autostart", "domain plc3: state"]
    assert {name: read_pins(node.tree(name))[0] for name in ("plc1", "plc2", "plc3")} == {"plc1": {2}, "plc2": {4}, "plc3": {6}}
    node.converge({"name": "plc1", "state": "absent"}, second, third)
    result = node.converge({**PLC, "name": "plc4", "disks": []}, second, third)
    assert result["domains"][0]["vcpus"] == {"0": "2", "1": "3"}


@pytest.mark.parametrize(
    ("old", "new", "resource"),
    [
        ('priority="1"', 'priority="50"', "domain plc1: cputune"),
        ('<vcpupin vcpu="1" cpuset="3" />', '<vcpupin vcpu="1" cpuset="3-9" />', "domain plc1: cputune"),
        ("/images/plc1.qcow2", "/images/plc2.qcow2", "domain plc1: devices/disk[vda]"),
        ("262144", "524288", "domain plc1: memory"),
    ],
)
def test_a_hand_edit_is_exactly_the_difference(node, old, new, resource):
    node.run(PLC)
    before = node.libvirt.definitions["plc1"]
    node.edit(old, new)
    result = node.converge(PLC)
    assert {text.partition("#")[0] for text in resources(result)} <= {resource, "domain plc1: currentMemory"}
    assert node.libvirt.calls == ["define plc1"]
    assert result["disruption"] == "none"
    assert "".join(re.split(r"\s+", node.libvirt.definitions["plc1"])) == "".join(re.split(r"\s+", before))


def test_a_foreign_domain_is_adopted_and_given_back(node):
    node.foreign("plc1", devices="<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")
    before = node.libvirt.definitions["plc1"]
    result = node.converge({**PLC, "adopt": True, "state": "present", "autostart": True})
    assert is_ours(node.tree())
    assert node.tree().findtext("title") == "theirs"
    assert node.tree().find("devices/rng") is not None
    assert "domain plc1" not in resources(result), "it was there already"
    assert node.converge(PLC)["changed"], "adopt is needed once"
    node.libvirt.stop(["plc1"], 1, force=False)
    node.run(state="absent")
    assert node.libvirt.definitions == {"plc1": before}
    assert node.libvirt.started_with_node == set()
    assert not (node.root / JOURNAL[1:]).exists()


def test_adopting_a_running_guest_does_not_stop_it(node):
    node.foreign("plc1", running=True)
    result = node.converge({**PLC, "adopt": True})
    assert "stop plc1" not in node.libvirt.calls
    assert "memory" in result["restart_required"]["plc1"]
    assert {"pin plc1 vcpu0 2", "pin plc1 emulator 0"} <= set(node.libvirt.calls)


def test_a_guest_that_goes_was_there_before(node):
    """Another host waits for that before it defines the guest."""
    node.run(PLC)
    assert node.run({"name": "plc1", "state": "absent"}, check=True)["defined"] == ["plc1"]
    assert node.run({"name": "plc1", "state": "absent"})["defined"] == ["plc1"]
    assert node.run({"name": "plc1", "state": "absent"})["defined"] == []
