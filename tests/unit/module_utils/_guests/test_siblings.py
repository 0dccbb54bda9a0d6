# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which threads of a guest may share a core, and what the guest is told about it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, PinningError, place
from ansible_collections.realtime.kvm.plugins.module_utils._guests.siblings import SiblingsError
from property.machines import regular

# 2 nodes of 4 cores of 2 threads: CPU n and n + 8 are one core. Housekeeping 0,8 and 4,12.
TOPOLOGY = build_topology(regular(nodes=2, cores=4, threads=2).files())
TOGETHER = plan_partition(TOPOLOGY, Intent(smt="together"))
SINGLE = plan_partition(TOPOLOGY, Intent(smt="single"))


def placed(*pins, partition=TOGETHER, **item):
    guests = parse_guests([{"name": "a", "memory_mib": 256, **item}], {}, site="n")
    there = [Existing("a", True, vcpus={vcpu: frozenset({cpu}) for vcpu, cpu in enumerate(pins)})] if pins else []
    found = place(partition, TOPOLOGY, guests, there)["a"]
    return [min(found.vcpus[vcpu]) for vcpu in sorted(found.vcpus)], found


def cores(pins):
    return [min(TOPOLOGY.core_of(cpu)) for cpu in pins]


@pytest.mark.parametrize(
    ("siblings", "vcpus", "realtime", "pins", "threads"),
    [
        ("idle", 2, "1", [1, 2], 1),  # the ordinary vCPU is not beside the real-time one
        ("idle", 4, "2-3", [1, 9, 2, 3], 1),  # two ordinary ones may share a core
        ("realtime", 4, "2-3", [1, 9, 2, 10], 2),
        ("realtime", 6, "2-5", [1, 9, 2, 10, 3, 11], 2),
        ("any", 2, "1", [1, 9], 2),
        ("any", 3, "1-2", [1, 9, 2], 1),  # cores of different size cannot be told
        ("any", 4, "1-3", [1, 9, 2, 10], 2),
    ],
)
def test_what_runs_beside_a_real_time_vcpu(siblings, vcpus, realtime, pins, threads):
    found, placement = placed(siblings=siblings, vcpus=vcpus, realtime_vcpus=realtime)
    assert (found, placement.threads) == (pins, threads)


def test_nothing_is_beside_a_real_time_vcpu_unless_the_guest_asks_for_it():
    pins, _placement = placed(vcpus=3, realtime_vcpus="1-2")
    assert len(set(cores(pins))) == 3
    _pins, placement = placed(vcpus=2, realtime_vcpus="1", emulator="own")
    assert cores(placement.emulator) == cores(placement.vcpus[0]) != cores(placement.vcpus[1])


def test_with_one_thread_per_core_every_guest_fits_as_before():
    for siblings in ("idle", "realtime", "any"):
        pins, placement = placed(partition=SINGLE, siblings=siblings, vcpus=3, realtime_vcpus="1-2")
        assert (pins, placement.threads) == ([1, 2, 3], 1)


@pytest.mark.parametrize(
    ("pins", "after"),
    [
        ((1, 9), [2, 9]),  # the real-time vCPU stays where it is, the ordinary one leaves its core
        ((1, 2), [1, 2]),
        ((9, 3), [9, 3]),
    ],
)
def test_a_guest_that_shares_a_core_is_moved_apart(pins, after):
    assert placed(*pins, vcpus=2, realtime_vcpus="1")[0] == after
    assert placed(*pins, vcpus=2, realtime_vcpus="1", siblings="any")[0] == list(pins)
    assert placed(*after, vcpus=2, realtime_vcpus="1")[0] == after, "a second run moves nothing"


@pytest.mark.parametrize(
    ("vcpus", "realtime", "words"),
    [
        (
            4,
            "1-3",
            "vCPUs 0-1 on one core, but they are not both of one kind; give vcpus and realtime_vcpus in whole groups of 2",
        ),
        (3, "2", "vCPUs 2 on one core, but they are no whole core of 2 threads"),
    ],
)
def test_cores_of_real_time_vcpus_are_whole(vcpus, realtime, words):
    with pytest.raises(SiblingsError) as error:
        placed(siblings="realtime", vcpus=vcpus, realtime_vcpus=realtime)
    assert words in str(error.value)


def test_the_refusal_counts_the_cores_that_stay_half_empty():
    with pytest.raises(PinningError) as error:
        placed(vcpus=5, realtime_vcpus="1-4")
    assert (
        "a asks for 5 realtime CPUs (5 whole cores of 2 threads: guests share no core, and siblings: idle leaves the rest"
        in str(error.value)
    )
    assert placed(vcpus=5, realtime_vcpus="1-4", siblings="any")[0] == [1, 9, 2, 10, 3]
