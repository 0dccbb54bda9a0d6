# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest needs, and what is left of it when the machine is read again after the changes."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import parse, to_text
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Placement
from ansible_collections.realtime.kvm.plugins.module_utils._guests.plan import plan_guest, unfinished
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from unit.libvirts import FakeLibvirt

LIST = {"name": "plc1", "memory_mib": 256, "vcpus": 2, "realtime_vcpus": "1", "io_threads": 1}
PLACEMENT = Placement("plc1", (0,), {0: frozenset({2}), 1: frozenset({3})}, frozenset({0}))


def guest_of(**more):
    return parse_guests([{**LIST, **more}], parse_networks([]), site="n", priority_limit=1)[0]


class Machine:
    """One guest on it, as a run has made it."""

    def __init__(self, root):
        self.host, self.libvirt = Host(str(root)), FakeLibvirt(root)
        self.libvirt.define("plc1", to_text(self.plan().tree))
        self.libvirt.run("plc1")

    def plan(self, **more):
        return plan_guest(self.host, guest_of(**more), PLACEMENT, self.libvirt.domains(), "n")

    def left(self, **more):
        return unfinished(self.host, self.plan(**more), self.libvirt.domains().get("plc1"))

    def end(self):
        self.libvirt.stop(["plc1"], 0, force=True)


@pytest.fixture(name="machine")
def _machine(tmp_path):
    return Machine(tmp_path)


# -- the plan --------------------------------------------------------------------------------------


def test_a_guest_that_is_not_there_needs_all_of_its_definition(machine):
    plan = plan_guest(machine.host, guest_of(name="plc2"), PLACEMENT, {}, "n")
    assert [item.element for item in plan.definition] == ["domain"]
    assert (plan.domain, plan.running, plan.restart_for, plan.threads) == (None, False, [], [])
    assert plan.tree.findtext("name") == "plc2"


def test_a_guest_that_is_as_it_must_be_needs_nothing(machine):
    plan = machine.plan()
    assert (plan.definition, plan.restart_for, plan.threads, plan.running) == ([], [], [], True)


def test_what_the_running_guest_cannot_take_waits_for_a_restart(machine):
    plan = machine.plan(memory_mib=512)
    assert {"memory"} <= set(plan.restart_for)
    assert {"memory"} <= {item.element for item in plan.definition}
    machine.end()
    assert machine.plan(memory_mib=512).restart_for == []


def test_threads_are_compared_where_it_runs(machine):
    machine.libvirt.edit_thread("plc1", "vcpu0", cpus="0-9")
    assert [(item.role, item.aspect, item.before, item.after) for item in machine.plan().threads] == [
        ("vcpu0", "cpus", "0-9", "2")
    ]
    machine.end()
    assert machine.plan().threads == []


# -- afterwards ------------------------------------------------------------------------------------


def test_nothing_is_left_of_a_guest_that_is_as_planned(machine):
    assert machine.left() == ""
    assert machine.left(state="present") == ""
    machine.end()
    assert machine.left(state="stopped") == ""
    assert machine.left(state="present") == ""


def test_a_guest_that_libvirt_does_not_know(machine):
    machine.end()
    machine.libvirt.remove("plc1")
    assert machine.left() == "libvirt does not know it"


@pytest.mark.parametrize(
    ("path", "element"),
    [("cputune", "cputune"), ("numatune", "numatune"), ("iothreads", "iothreads"), ("memoryBacking", "memoryBacking")],
)
def test_an_element_that_libvirt_drops_is_named(machine, path, element):
    tree = parse(machine.libvirt.definitions["plc1"])
    (found,) = tree.findall(path)
    tree.remove(found)
    machine.libvirt.definitions["plc1"] = to_text(tree)
    left = machine.left()
    assert left.startswith("libvirt keeps ")
    assert element in left


@pytest.mark.parametrize(("state", "running", "words"), [("running", False, "does not run"), ("stopped", True, "still runs")])
def test_a_state_that_it_does_not_have(machine, state, running, words):
    if not running:
        machine.end()
    assert words in machine.left(state=state)


@pytest.mark.parametrize(
    ("role", "edit", "words"),
    [
        ("vcpu0", {"cpus": "0-9"}, "vcpu0 has cpus 0-9 instead of 2"),
        ("vcpu1", {"scheduler": "rr 7"}, "vcpu1 has scheduler rr 7 instead of fifo 1"),
        ("emulator", {"cpus": "3"}, "emulator has cpus 3 instead of 0"),
        ("iothread1", {"cpus": "0,3"}, "iothread1 has cpus 0,3 instead of 0"),
        ("worker", {"cpus": "3"}, ""),
    ],
)
def test_a_thread_that_is_not_where_it_must_be_is_named(machine, role, edit, words):
    machine.libvirt.edit_thread("plc1", role, **edit)
    assert machine.left() == words


def test_all_threads_are_named(machine):
    machine.libvirt.edit_thread("plc1", "vcpu0", cpus="0-9")
    machine.libvirt.edit_thread("plc1", "emulator", cpus="3")
    assert sorted(machine.left().split("; ")) == ["emulator has cpus 3 instead of 0", "vcpu0 has cpus 0-9 instead of 2"]
