# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The largest guest that still fits is one that the planner places, and the next larger one is refused."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.fit import PAGE, Fit, Room, largest_on_node, largest_spread
from hypothesis import given, settings
from hypothesis import strategies as st
from property.machines import regular


def room(existing=(), *, memory=8192, polling=None, **shape):
    topology = build_topology(regular(**{"nodes": 2, "cores": 4, "threads": 2, **shape}).files())
    amounts = None if memory is None else dict.fromkeys(topology.nodes, memory)
    return Room(plan_partition(topology, Intent(smt="together")), topology, existing, amounts, polling)


def pinned(name, *cpus, running=True, memory=0, nodes=()):
    pins = {vcpu: frozenset({cpu}) for vcpu, cpu in enumerate(cpus)}
    return Existing(name, ours=True, running=running, vcpus=pins, memory_mib=memory, hugepages="2M", nodes=nodes)


def test_an_empty_node_gives_all_its_realtime_cores():
    # 4 cores of 2 threads on each NUMA node, one of them housekeeping; nothing runs beside a real-time vCPU
    assert largest_on_node(room(), 0) == Fit(3, 8192, 0)
    assert largest_spread(room()) == Fit(6, 16384, None)
    assert largest_on_node(room(threads=1), 0) == Fit(3, 8192, 0)


def test_a_thread_beside_a_guest_is_no_other_guests():
    free = sorted(room().partition.sets["realtime"] & room().partition.nodes[0])
    assert largest_on_node(room([pinned("plc1", free[0])]), 0).vcpus == 2


def test_memory_of_others_is_taken_off():
    cpu = min(room().partition.sets["realtime"] & room().partition.nodes[1])
    assert largest_on_node(room([pinned("plc1", cpu, memory=1024, nodes=(1,))]), 1) == Fit(2, 7168, 1)


def test_a_guest_that_is_off_keeps_its_cpus():
    cpus = sorted(room().partition.sets["realtime"] & room().partition.nodes[0])
    full = largest_on_node(room([pinned("off", *cpus, running=False)]), 0)
    assert full.vcpus == 0
    assert "asks for 2 realtime CPUs" in full.reason


def test_polled_realtime_cpus_are_told_as_the_reason():
    cpu = min(room().partition.sets["realtime"])
    found = largest_on_node(room(polling={cpu: "pmd-c02/id:9"}), 0)
    assert (found.vcpus, "are polled by pmd-c02/id:9" in found.reason) == (0, True)


def test_without_memory_figures_none_are_claimed():
    assert largest_on_node(room(memory=None), 0) == Fit(3, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_promised_is_placed_and_the_next_size_is_refused(data):
    shape = {
        "cores": data.draw(st.integers(2, 6)),
        "threads": data.draw(st.integers(1, 2)),
        "nodes": data.draw(st.integers(1, 3)),
    }
    empty = room(**shape)
    realtime = sorted(empty.partition.sets["realtime"])
    cores = sorted({empty.topology.core_of(cpu) for cpu in realtime}, key=min)
    existing = []
    for number, core in enumerate(cores):
        if data.draw(st.booleans()):
            node = empty.topology.cpus[min(core)].node
            used = sorted(core)[: data.draw(st.integers(1, len(core)))]
            existing.append(pinned(f"g{number}", *used, memory=data.draw(st.integers(0, 1500)) * 2, nodes=(node,)))
    busy = room(existing, **shape)
    for node in busy.partition.nodes:
        found = largest_on_node(busy, node)
        if not found.vcpus:
            assert found.reason
            assert not busy.fits(2, PAGE, node)
            continue
        assert busy.fits(found.vcpus, max(found.memory_mib, PAGE), node)
        assert not busy.fits(found.vcpus + 1, PAGE, node)
        assert not busy.fits(found.vcpus, found.memory_mib + PAGE, node)
    spread = largest_spread(busy)
    if spread.vcpus:
        assert busy.fits(spread.vcpus, spread.memory_mib, None)
        assert not busy.fits(spread.vcpus + 1, PAGE, None)
