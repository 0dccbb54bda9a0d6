# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests: their memory, and CPUs that two of them use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.guests import check_guests
from ansible_collections.realtime.kvm.plugins.module_utils._audit.kernel import presumed_partition
from ansible_collections.realtime.kvm.plugins.module_utils._audit.running import Actor
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cells import Cell
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from unit.actors import PARTITION, PLC, PRIORITIES, TOPOLOGY, VCPUS, actor, checked, guest, seen

CELL = Cell(frozenset({0, 1}), 64, (1,))


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"memory": {0: 64}}, []),
        ({"memory": {0: 60, 1: 4}}, ["guest-memory-node"]),
        ({"memory": {0: 64, 1: 0}}, []),
        ({"locked_kib": 0}, ["guest-memory-unlocked"]),
        ({"locked_kib": 4}, []),
        ({"vhost_user": ("52:54:00:00:00:01",), "shared": False}, ["vhost-user-memory"]),
        ({"vhost_user": ("52:54:00:00:00:01",), "shared": True}, []),
        ({"vhost_user": ("52:54:00:00:00:01",), "shared": None}, []),
    ],
)
def test_its_memory(more, found):
    assert [item.rule for item in checked([replace(PLC, **more)], PARTITION, TOPOLOGY, PRIORITIES)] == found


@pytest.mark.parametrize(
    ("defined", "found"),
    [
        ({"nodes": (0,)}, []),
        ({"nodes": (0, 1)}, ["memory from node 1 at its next start (numatune of its definition)"]),
        ({"nodes": (0,), "cells": {0: CELL}}, ["memory from node 1 at its next start (numatune of its definition)"]),
        ({"nodes": (1,), "cells": {0: replace(CELL, nodes=(0,))}}, []),  # its cell decides for all of its memory
        ({}, []),
    ],
)
def test_a_definition_that_takes_memory_elsewhere_is_found_before_the_guest_starts_again(defined, found):
    """field/05: libvirt accepts a memnode that contradicts memory and vCPUs."""
    plc = replace(PLC, memory={0: 32}, defined=Existing("plc", ours=False, memory_mib=64, **defined))
    findings = check_guests([plc], PARTITION, TOPOLOGY, PRIORITIES)
    assert [item.actual for item in findings if item.rule == "guest-memory-node"] == found
    assert all(
        "memory and each memnode to nodeset 0 (virsh edit plc)" in item.remedy for item in findings if item.actual in found
    )
    now = check_guests([replace(plc, memory={1: 32})], PARTITION, TOPOLOGY, PRIORITIES)
    assert [item.actual for item in now if item.rule == "guest-memory-node"] == ["32 of 32 pages on node 1"], "one cause"
    listed = check_guests([replace(plc, listed=True)], PARTITION, TOPOLOGY, PRIORITIES)
    assert "guest-memory-node" not in [item.rule for item in listed], "the inventory is compared with its definition"


def test_beside_cpus_of_a_node_without_memory_there_is_none():
    """field/13: a guest with numa: spread has CPUs there, and its memory elsewhere."""
    bare = replace(TOPOLOGY, without_memory=frozenset({0}))
    both = guest(actor("vcpu0", "2"), actor("vcpu1", "4", priority=1), VCPUS[2], memory={1: 64})
    for plc in (replace(PLC, memory={1: 64}), both):
        assert "guest-memory-node" not in [item.rule for item in check_guests([plc], PARTITION, bare, PRIORITIES)]


def test_two_guests_and_poll_mode_threads_on_one_cpu():
    other = guest(actor("vcpu0", "8", process=200, priority=1), name="other", process=200)
    (overlap,) = checked([PLC, other], PARTITION, TOPOLOGY, PRIORITIES)
    assert (overlap.resource, overlap.actual) == ("CPU 8", "plc vcpu1, other vcpu0")
    presumed = presumed_partition(TOPOLOGY, PARTITION.isolated)
    polled = guest(actor("vcpu0", "7", priority=1))
    pmds = [Actor(900, 901, "pmd-c07", frozenset({7}))]
    assert [item.actual for item in checked([polled], presumed, TOPOLOGY, PRIORITIES, pmds=pmds)] == ["pmd-c07, plc vcpu0"]
    # with a partition file it is known that CPU 7 is no realtime CPU, and that is reported once
    assert seen(checked([polled], PARTITION, TOPOLOGY, PRIORITIES, pmds=pmds)) == [("vcpu-pin", "domain plc: vcpu0")]


def test_a_thread_that_is_named_already_has_no_second_finding():
    moved = guest(actor("vcpu0", "4"), VCPUS[1], VCPUS[2], listed=True)
    other = guest(actor("vcpu0", "4", process=200, priority=1), name="other", process=200, listed=True)
    assert checked([moved, other], PARTITION, TOPOLOGY, PRIORITIES, named={("plc", "vcpu0")}) == []
    assert seen(checked([moved, other], PARTITION, TOPOLOGY, PRIORITIES)) == [("vcpu-overlap", "CPU 4")]
