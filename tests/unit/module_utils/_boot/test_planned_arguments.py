# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments that a plan needs, each with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.planned_arguments import (
    ArgumentPolicy,
    isolation_arguments,
    page_arguments,
    partition_arguments,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import Machine
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import GuestProfile
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from unit.trees import plan

PARTITION = plan(Intent(smt="together", cpus={"dataplane": "1", "realtime": "2-3"}))  # housekeeping 0
NO_DATAPLANE = plan()  # housekeeping 0, realtime 1-3
INVARIANT = frozenset({"constant_tsc", "nonstop_tsc"})
#: What every boot plan has, whatever machine and policy.
ALWAYS = [
    "isolcpus=managed_irq,domain,1-3",
    "rcu_nocbs=1-3",
    "irqaffinity=0",
    "rcutree.kthread_prio=4",
    "skew_tick=1",
    "nowatchdog",
]


def more(machine=None, partition=NO_DATAPLANE, **policy):
    """The tokens beside those that are always there."""
    arguments = partition_arguments(partition, machine or Machine(), ArgumentPolicy(**{"nohz_full": "none", **policy}))
    return [argument.token for argument in arguments if argument.token not in ALWAYS]


@pytest.mark.parametrize(("idle", "tokens"), [("halt", []), ("poll", ["idle=poll"])])
def test_a_guest_has_no_guests_and_no_devices_to_hand_on(idle, tokens):
    guest = replace(NO_DATAPLANE, guest=GuestProfile("plc1", idle))
    assert more(Machine(vendor="GenuineIntel"), guest) == tokens


def test_what_every_plan_has():
    arguments = partition_arguments(NO_DATAPLANE, Machine(), ArgumentPolicy(nohz_full="none"))
    assert [argument.token for argument in arguments] == ALWAYS
    assert all(argument.reason and argument.disturbs for argument in arguments)


@pytest.mark.parametrize(
    ("machine", "tokens"),
    [
        (Machine(kernel_release="6.11.0"), []),
        (Machine(kernel_release="6.12.0"), ["workqueue.unbound_cpus=0"]),
        (
            Machine(kernel_release="6.12.0", cpu_flags=INVARIANT),
            ["workqueue.unbound_cpus=0", "tsc=nowatchdog", "kvm.kvmclock_periodic_sync=0"],
        ),
        (Machine(kernel_release="6.13.0", cpu_flags=INVARIANT), ["workqueue.unbound_cpus=0", "tsc=nowatchdog"]),
        (Machine(cpu_flags=INVARIANT), ["tsc=nowatchdog"]),  # of an unknown kernel: what all know
        (Machine(vendor="GenuineIntel"), ["kvm_intel.ple_gap=0"]),
        (Machine(vendor="AuthenticAMD"), ["kvm_amd.pause_filter_count=0", "kvm_amd.pause_filter_thresh=0"]),
    ],
)
def test_what_depends_on_the_machine(machine, tokens):
    assert more(machine) == tokens


@pytest.mark.parametrize(
    ("partition", "policy", "tokens"),
    [
        (NO_DATAPLANE, {"nohz_full": "all"}, ["nohz_full=1-3"]),
        (NO_DATAPLANE, {"nohz_full": "dataplane"}, []),
        (PARTITION, {"nohz_full": "dataplane"}, ["nohz_full=1", "iommu=pt"]),
        (PARTITION, {}, ["iommu=pt"]),
        (NO_DATAPLANE, {"cstates": "boot"}, ["processor.max_cstate=1", "intel_idle.max_cstate=0"]),
        (NO_DATAPLANE, {"tsc": "keep"}, []),
    ],
)
def test_what_depends_on_sets_and_policy(partition, policy, tokens):
    assert more(partition=partition, **policy) == tokens


def test_on_intel_the_iommu_is_switched_on_before_it_is_bypassed():
    assert more(Machine(vendor="GenuineIntel"), PARTITION)[-2:] == ["intel_iommu=on", "iommu=pt"]


@pytest.mark.parametrize("architecture", ["aarch64", "other"])
def test_22_other_architectures_get_no_arguments_of_x86(architecture):
    machine = Machine(kernel_release="6.12.48+deb13-rt-arm64", architecture=architecture)
    assert more(machine, PARTITION, cstates="boot") == ["workqueue.unbound_cpus=0"]
    assert more(Machine(architecture="x86_64"), PARTITION, cstates="boot") == [
        "iommu=pt", "processor.max_cstate=1", "intel_idle.max_cstate=0",
    ]  # fmt: skip


def test_a_recent_kernel_has_patience_with_nohz_full():
    tokens = more(Machine(kernel_release="6.12.0"), nohz_full="all")
    assert tokens[:2] == ["nohz_full=1-3", "rcutree.nohz_full_patience_delay=1000"]


def test_threads_of_rcu_stand_above_the_limit_of_priorities():
    assert "rcutree.kthread_prio=53" in more(priority_limit=50)


def test_at_run_time_nothing_is_asked_of_the_boot():
    runtime = plan(Intent(smt="together", isolation="runtime"))
    assert partition_arguments(runtime, Machine(), ArgumentPolicy()) == []
    assert isolation_arguments(runtime, Machine(), ArgumentPolicy())[0].token == "isolcpus=managed_irq,domain,1-3"
    assert isolation_arguments(plan(Intent(smt="together", realtime="0")), Machine(), ArgumentPolicy()) == []


@pytest.mark.parametrize(
    ("pages", "tokens"),
    [
        ({}, []),
        ({"0": {"2M": 5}}, []),
        ({"0": {"2M": 5, "1G": 4}}, ["hugepagesz=1G", "hugepages=0:4"]),
        ({"10": {"1G": 1}, "2": {"1G": 16}}, ["hugepagesz=1G", "hugepages=2:16,10:1"]),
    ],
)
def test_page_arguments(pages, tokens):
    assert page_arguments(pages) == tokens
