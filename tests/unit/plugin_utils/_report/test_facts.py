# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node reports, as the planner and the accounting take it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.facts import (
    cpus_of,
    existing_of,
    memory_of,
    since_of,
    switch_memory,
    threads_of,
    topology_of,
)
from property.machines import regular
from unit.fleets import foreign, guest_spec, node_info

GUEST = node_info("n1", [guest_spec(0)])["guests"][0]


@pytest.mark.parametrize(("text", "cpus"), [("0-2", {0, 1, 2}), ("", set()), (None, set()), ("rubbish", set())])
def test_lists_of_cpus(text, cpus):
    assert cpus_of(text) == cpus


def test_the_topology_is_that_of_the_node():
    info = node_info("n1", [])
    assert topology_of(info["topology"]) == build_topology(regular(nodes=2, cores=8, threads=2, packages=1).files())
    assert topology_of({}) is None


@pytest.mark.parametrize(
    ("more", "since"),
    [
        ({"running_since": "r", "created": "c", "defined_since": "d"}, ("r", "process")),
        ({"running_since": "r", "created": "c", "state": "shut off"}, ("c", "created")),
        ({"running_since": "", "created": "", "defined_since": "d"}, ("d", "definition")),
        ({"running_since": "", "created": "", "defined_since": ""}, ("", "")),
    ],
)
def test_since_when_a_guest_has_what_it_has(more, since):
    assert since_of({**GUEST, **more}) == since


def test_threads_are_those_of_the_process_else_of_the_definition():
    running = foreign("x", [3, 4])
    assert threads_of(running) == {"vcpu0": {3}, "vcpu1": {4}}
    off = foreign("x", [3, 4], running=False, vcpus={"1": "7"}, floating="0-1")
    assert threads_of(off) == {"vcpu0": {0, 1}, "vcpu1": {7}, "emulator": {0}}


@pytest.mark.parametrize(
    ("more", "memory"),
    [
        ({"nodes": [1], "hugepages": "2M"}, [("1", "2M", 1024)]),
        ({"nodes": [0, 1], "hugepages": "2M", "memory_mib": 1026}, [("0", "2M", 514), ("1", "2M", 512)]),
        ({"pages": [{"node": 1, "size": "1G", "pages": 2}], "hugepages": "1G"}, [("1", "1G", 2048)]),
        ({}, [("", "none", 1024)]),
    ],
)
def test_memory_by_node_and_page_size(more, memory):
    assert memory_of(foreign("x", [3], **more)) == memory


@pytest.mark.parametrize(
    ("told", "memory"),
    [("1024,512", {0: 1024, 1: 512}), ("0,64", {1: 64}), (",64", {1: 64}), ("", {}), (None, {}), ("all", {})],
)
def test_memory_of_the_switch(told, memory):
    assert switch_memory({"socket_mib": told}) == memory


def test_a_guest_as_the_planner_sees_it():
    told = foreign("x", [3], nodes=[1], floating="0-1", hugepages="2M")
    assert existing_of(told) == Existing(
        "x", False, True, {0: frozenset({3})}, frozenset({0}), frozenset(), frozenset({0, 1}), 1024, "2M", (1,)
    )
