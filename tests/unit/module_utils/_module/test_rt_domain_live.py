# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that run: what they take while they run, and what waits for a restart."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._guests import vhost_threads
from ansible_collections.realtime.kvm.plugins.module_utils._guests.threads import read_guest_threads
from unit.guests import BIGGER, OTHER, PLC, resources
from unit.trees import writable


def test_threads_of_a_running_guest_are_put_right_without_it_noticing(node):
    node.run({**PLC, "io_threads": 1})
    node.libvirt.edit_thread("plc1", "vcpu0", cpus="0-9", scheduler="fifo 1")
    node.libvirt.edit_thread("plc1", "vcpu1", scheduler="rr 7")
    node.libvirt.edit_thread("plc1", "emulator", cpus="3")
    node.libvirt.edit_thread("plc1", "iothread1", cpus="0,3")
    node.libvirt.edit_thread("plc1", "worker", cpus="3")
    result = node.converge({**PLC, "io_threads": 1})
    assert {change["resource"]: (change["before"], change["after"]) for change in result["changes"]} == {
        "domain plc1: vcpu0 cpus": ("0-9", "2"),
        "domain plc1: vcpu0 scheduler": ("fifo 1", "other"),
        "domain plc1: vcpu1 scheduler": ("rr 7", "fifo 1"),
        "domain plc1: emulator cpus": ("3", "0"),
        "domain plc1: iothread1 cpus": ("0,3", "0"),
    }
    assert sorted(node.libvirt.calls) == [
        "pin plc1 emulator 0", "pin plc1 iothread1 0", "pin plc1 vcpu0 2", "schedule plc1 vcpu0 other", "schedule plc1 vcpu1 fifo 1",
    ]  # fmt: skip


def test_policy_and_priority_go_to_the_running_guest(node):
    node.run(PLC)
    wish = {**PLC, "policy": "rr", "owner": "me", "priority": 3}
    result = node.converge(wish, priority_limit=3)
    assert resources(result) == ["domain plc1: metadata", "domain plc1: cputune", "domain plc1: vcpu1 scheduler"]
    assert node.libvirt.calls == ["define plc1", "schedule plc1 vcpu1 rr 3"]
    assert result["restart_required"] == {}


def test_what_a_running_guest_cannot_take_is_told_and_waits(node):
    node.run(PLC, OTHER)
    result = node.converge(BIGGER, OTHER)
    assert node.libvirt.calls == ["define plc1"]
    assert set(result["restart_required"]) == {"plc1"}
    assert {"memory", "iothreads", "devices/disk[vda]"} <= set(result["restart_required"]["plc1"])
    again = node.run(BIGGER, OTHER)
    assert (again["changed"], again["restart_required"]) == (False, result["restart_required"])


@pytest.mark.parametrize(("vcpus", "left"), [({}, {}), ({"vcpus": 2}, {"historian": ["vcpu"]})])
def test_the_threads_say_which_cpus_a_guest_has_and_not_the_element_that_placed_them(node, vcpus, left):
    node.run(OTHER)
    node.edit('cpuset="0"', 'cpuset="0-9"', name="historian")
    node.libvirt.run("historian")
    wish = {**OTHER, **vcpus}
    result = node.converge(wish)
    assert {"domain historian: vcpu", "domain historian: vcpu0 cpus"} <= set(resources(result))
    assert result["restart_required"] == left
    assert node.tree("historian").find("vcpu").get("cpuset") == "0"
    assert node.converge(wish, restart=True)["restart_required"] == {}


def test_an_address_that_moves_to_another_guest_waits_until_the_first_lets_go_of_it(node):
    mac = "52:54:00:00:00:0a"
    one, two = ({**OTHER, "name": name, "disks": [{"path": f"/images/{name}.qcow2"}]} for name in ("plc1", "plc2"))
    moving = {"networks": [{"network": "office", "mac": mac}]}
    node.run({**one, **moving})
    assert "plc2 and plc1 have the same MAC 52:54:00:00:00:0a; give one of them another mac" in node.refuse(
        one, {**two, **moving}
    )
    one["networks"] = []
    words = "plc2: plc1 runs with MAC 52:54:00:00:00:0a until it is restarted or off; take it from plc1 in a run of its own first"
    assert words in node.refuse(one, {**two, **moving})
    assert words in node.refuse({**two, **moving}, one)
    node.converge(one, {**two, **moving}, restart=True)


def test_what_a_running_guest_cannot_take_is_done_when_it_may_restart(node):
    node.run(PLC, OTHER)
    result = node.converge(BIGGER, OTHER, restart=True)
    assert node.libvirt.calls == ["define plc1", "stop plc1", "start plc1"]
    assert resources(result)[-1] == "domain plc1: restart"
    assert result["disruption"] == "guest"
    assert result["restart_required"] == {}


def test_a_restart_that_waits_is_done_by_a_later_run(node):
    node.run(PLC)
    node.run(BIGGER)
    node.converge(BIGGER, restart=True)
    assert node.libvirt.calls == ["stop plc1", "start plc1"]


CHANNEL = "devices/channel[org.qemu.guest_agent.0]"


def test_an_agents_channel_waits_for_a_restart_and_is_told_until_then(node):
    node.run(PLC)
    wish = {**PLC, "agent": True}
    result = node.converge(wish)
    assert resources(result) == ["domain plc1: metadata", f"domain plc1: {CHANNEL}"]
    assert (result["disruption"], result["restart_required"]) == ("none", {"plc1": [CHANNEL]})
    assert node.run(wish)["restart_required"] == {"plc1": [CHANNEL]}
    restarted = node.converge(wish, restart=True)
    assert (restarted["disruption"], restarted["restart_required"]) == ("guest", {})
    gone = node.converge(PLC)
    assert gone["restart_required"] == {"plc1": [CHANNEL]}
    assert node.converge(PLC, restart=True)["restart_required"] == {}
    assert node.tree().find("devices/channel") is None


def test_an_agents_channel_that_a_person_added_is_no_business_of_the_list(node):
    node.run(PLC)
    node.edit("</devices>", "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices>")
    result = node.converge(PLC)
    assert (result["changed"], result["restart_required"]) == (False, {})
    assert resources(node.converge({**PLC, "agent": True})) == ["domain plc1: metadata"]


def test_a_guest_that_shall_be_off_is_not_restarted(node):
    node.run(PLC)
    result = node.converge({**BIGGER, "state": "stopped"}, restart=True)
    assert node.libvirt.calls == ["stop plc1", "define plc1", "autostart plc1 False"]
    assert (node.libvirt.live, result["restart_required"]) == ({}, {})


def test_a_guest_that_does_not_shut_down_is_named(node):
    node.run(PLC)
    node.libvirt.deaf.add("plc1")
    with pytest.raises(HostError, match="plc1: still running 1 s after being asked to shut down"):
        node.run({**PLC, "state": "stopped"})
    node.converge({**PLC, "state": "stopped"}, force_off=True)


CELL = {**PLC, "networks": [{"network": "cell"}]}


def vhost_of(node):
    (thread,) = [item for item in read_guest_threads(writable(node.root), "plc1") if item.role == "vhost"]
    return format_cpulist(thread.thread.allowed), thread.scheduler


def test_vhost_threads_are_put_beside_the_ordinary_vcpu_and_follow_it(node, monkeypatch):
    node.libvirt.settle(monkeypatch)
    result = node.run(CELL)
    assert (result["domains"][0]["vhost"], result["domains"][0]["vcpus"]["0"]) == ("2", "2")
    assert vhost_of(node) == ("2", "fifo 1"), "the hook is not in this libvirt, so the run has placed it"
    node.libvirt.edit_thread("plc1", "vcpu0", cpus="9")
    node.libvirt.edit_thread("plc1", "vhost", cpus="9", scheduler="other")
    result = node.converge(CELL)
    assert [(change["resource"], change["after"]) for change in result["changes"]] == [
        ("domain plc1: vcpu0 cpus", "2"), ("domain plc1: vhost cpus", "2"), ("domain plc1: vhost scheduler", "fifo 1"),
    ]  # fmt: skip
    assert node.libvirt.calls == ["pin plc1 vcpu0 2", "vhost plc1 2", "schedule plc1 vhost fifo 1"]


def test_another_place_of_vhost_threads_needs_no_restart(node, monkeypatch):
    node.libvirt.settle(monkeypatch)
    node.run(CELL)
    result = node.converge({**CELL, "vhost": "emulator"})
    assert resources(result) == ["domain plc1: metadata", "domain plc1: vhost cpus", "domain plc1: vhost scheduler"]
    assert (result["restart_required"], result["disruption"], vhost_of(node)) == ({}, "none", ("0", "other"))
    own = {**CELL, "vhost": "emulator", "emulator": "own", "vhost_scheduler": {"policy": "rr"}}
    node.converge(own)
    assert vhost_of(node) == ("4", "rr 1")
    node.converge({**PLC, "networks": [{"network": "office"}]}, restart=True)
    assert vhost_of(node) == ("0", "other")


def test_vhost_threads_of_a_guest_that_does_not_ask_are_left_alone(node):
    wish = {**PLC, "networks": [{"network": "office"}]}
    assert node.run(wish)["domains"][0]["vhost"] == ""
    node.libvirt.edit_thread("plc1", "vhost", cpus="5")
    node.converge(wish)
    assert vhost_of(node) == ("5", "other")


def test_a_place_that_the_list_names_no_more_is_given_up_at_once(node, monkeypatch):
    node.libvirt.settle(monkeypatch)
    wish = {**PLC, "networks": [{"network": "office"}]}
    node.run({**wish, "vhost": "vcpu", "vhost_scheduler": {}})
    assert vhost_of(node) == ("2", "fifo 1")
    assert resources(node.converge(wish)) == ["domain plc1: metadata", "domain plc1: vhost cpus", "domain plc1: vhost scheduler"]
    assert vhost_of(node) == ("0", "other")


def test_a_run_that_ends_before_vhost_threads_have_moved_is_completed_by_the_next(node, monkeypatch):
    node.libvirt.settle(monkeypatch)
    node.run(CELL)
    node.libvirt.edit_thread("plc1", "vcpu0", cpus="9")
    node.libvirt.edit_thread("plc1", "vhost", cpus="9")

    def fail(tid, cpus):
        raise HostError(f"thread {tid}: the kernel refused CPUs {cpus}: Invalid argument")

    with monkeypatch.context() as broken:
        broken.setattr(vhost_threads, "set_affinity", fail)
        with pytest.raises(HostError, match=r"^thread \d+: the kernel refused CPUs 2: Invalid argument"):
            node.run(CELL)
    assert vhost_of(node) == ("9", "fifo 1")
    assert resources(node.converge(CELL)) == ["domain plc1: vhost cpus"], "its vCPU has moved before"
