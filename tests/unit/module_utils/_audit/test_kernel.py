# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known conflicts of sets, arguments and platform."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.kernel import (
    IdleState,
    Platform,
    check_arguments,
    check_idle,
    check_nova,
    check_platform,
    check_sets,
    check_untended,
    isolated_by,
    presumed_partition,
)
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from unit.trees import machine_files, plan

SHAPE = {"nodes": 2, "cores": 2, "threads": 2}  # cores 0,4 1,5 on node 0; 2,6 3,7 on node 1
TOPOLOGY = build_topology(machine_files(**SHAPE))
GOOD = plan(Intent(smt="together"), **SHAPE)  # housekeeping 0,2,4,6; realtime 1,3,5,7


def seen(findings):
    return [(finding.rule, finding.resource) for finding in findings]


def sets(**lists):
    return replace(
        GOOD, sets={**{name: frozenset() for name in GOOD.sets}, **{name: parse_cpulist(text) for name, text in lists.items()}}
    )


@pytest.mark.parametrize(
    ("partition", "found"),
    [
        (GOOD, []),
        (plan(Intent(smt="single"), **SHAPE), []),  # an idle thread belongs to its core
        (sets(housekeeping="2,4,6", realtime="0-1,3,5,7"), [("boot-cpu-isolated", "CPU 0"), ("smt-split", "CPUs 0,4")]),
        (sets(housekeeping="0,2,4-6", realtime="1,3,7"), [("smt-split", "CPUs 1,5")]),
        (sets(housekeeping="0,2,4,6", realtime="1,3", dataplane="5,7"), [("smt-split", "CPUs 1,3,5,7")]),  # by core, too
        (sets(housekeeping="0,4", realtime="1-3,5-7"), [("numa-housekeeping", "NUMA node 1")]),
        (sets(housekeeping="0-7"), []),
    ],
)
def test_sets(partition, found):
    assert seen(check_sets(partition, TOPOLOGY, documented=True)) == found


def test_a_split_core_is_told_by_who_has_which_thread():
    (documented,) = check_sets(sets(housekeeping="0,2,4-6", realtime="1,3,7"), TOPOLOGY, documented=True)
    assert documented.actual == "CPUs 1 realtime, their siblings 5 housekeeping"
    (presumed,) = check_sets(presumed_partition(TOPOLOGY, frozenset({1, 3, 7})), TOPOLOGY, documented=False)
    assert presumed.actual == "CPUs 1 isolated, their siblings 5 housekeeping"


def test_what_the_kernel_isolates_is_taken_for_realtime_cpus():
    partition = presumed_partition(TOPOLOGY, frozenset({1, 5, 99}))
    assert (partition.sets["realtime"], partition.housekeeping) == ({1, 5}, {0, 2, 3, 4, 6, 7})
    assert check_sets(presumed_partition(TOPOLOGY, frozenset()), TOPOLOGY, documented=False) == []


@pytest.mark.parametrize(
    ("tokens", "cpus"),
    [
        ("isolcpus=1-3", {1, 2, 3}),
        ("isolcpus=managed_irq,domain,1,3", {1, 3}),
        ("isolcpus=nohz,domain,1 isolcpus=2", {1, 2}),
        ("isolcpus=domain,x", set()),
        ("quiet", set()),
    ],
)
def test_isolcpus_is_read_whatever_its_flags(tokens, cpus):
    assert isolated_by(tokens.split()) == cpus


@pytest.mark.parametrize(
    ("tokens", "options", "found"),
    [
        ("isolcpus=managed_irq,domain,1,3 nohz_full=1,3 irqaffinity=0,2 skew_tick=1 console=tty0 console=tty0", {}, []),
        ("isolcpus=1", {}, [("isolcpus-flags", "isolcpus")]),
        ("isolcpus=managed_irq,nohz,1,3 nohz_full=1", {}, [("nohz-mismatch", "nohz_full")]),
        ("isolcpus=managed_irq,nohz,1,3 nohz_full=1,3", {}, []),
        ("isolcpus=managed_irq,nohz,1,3 nohz_full=1-3", {}, [("nohz-mismatch", "nohz_full")]),
        ("isolcpus=managed_irq,domain,1 isolcpus=domain,3", {}, []),
        ("nohz_full=1", {}, []),
        ("irqaffinity=0-1", {}, [("housekeeping-overlap", "irqaffinity")]),
        ("systemd.cpu_affinity=0,3", {}, [("housekeeping-overlap", "systemd.cpu_affinity")]),
        ("workqueue.unbound_cpus=0-7", {}, [("housekeeping-overlap", "workqueue.unbound_cpus")]),
        ("idle=poll", {}, []),
        ("idle=poll", {"threads_per_core": 2}, [("idle-poll", "idle=poll")]),
        ("idle=poll", {"limited": True}, [("argument-redundant", "idle")]),
        ("idle=poll processor.max_cstate=1", {}, [("argument-redundant", "processor.max_cstate")]),
        ("intel_idle.max_cstate=0 processor.max_cstate=1", {"limited": True}, []),
        ("rcupdate.rcu_normal_after_boot=1 rcutree.use_softirq=0", {}, []),
        (
            "rcupdate.rcu_normal_after_boot=1 rcutree.use_softirq=0",
            {"realtime": True},
            [("argument-redundant", "rcupdate.rcu_normal_after_boot"), ("argument-redundant", "rcutree.use_softirq")],
        ),
        ("nowatchdog nosoftlockup", {}, [("argument-redundant", "nosoftlockup")]),
        ("intel_pstate=disable", {}, []),
        ("intel_pstate=disable", {"pstate_written": True}, [("argument-redundant", "intel_pstate")]),
        ("mce=off", {}, [("mce-off", "mce")]),
        ("mce=ignore_ce", {}, []),
        ("kthread_cpus=0", {}, [("argument-unknown", "kthread_cpus")]),
        ("skew_tick=1 skew-tick=1 rw rw", {}, [("argument-duplicate", "skew_tick")]),
        ("isolcpus=managed_irq,x nohz_full=( irqaffinity=-", {}, []),
    ],
)  # fmt: skip
def test_arguments(tokens, options, found):
    assert seen(check_arguments(tokens.split(), frozenset({1, 3}), **options)) == found


@pytest.mark.parametrize(
    ("platform", "tokens", "found"),
    [
        (Platform(), [], []),
        (Platform(rt_group_sched=True), [], [("rt-group-sched", "CONFIG_RT_GROUP_SCHED")]),
        (Platform(rt_group_sched=True), ["rt_group_sched=0"], []),
        (Platform(rt_group_sched=False), [], []),
        (Platform(lockdown="integrity", kernel_version=(6, 12)), [], [("lockdown", "/sys/kernel/security/lockdown")]),
        (Platform(lockdown="integrity", kernel_version=(6, 1)), [], []),  # no fair servers to switch off
        (Platform(lockdown="none", kernel_version=(6, 12)), [], []),
        (Platform(cpusets={"/a": ("isolated", "1")}), [], []),
        (Platform(cpusets={"/a": ("isolated invalid (Parent is not a partition root)", "1")}), [], [("cpuset", "/a")]),
        (Platform(cpusets={"/a": ("root", "1")}, isolated_at_boot=frozenset({2})), [], []),
        (Platform(cpusets={"/a": ("root", "1-2")}, isolated_at_boot=frozenset({2})), [], [("cpuset-root", "/a")]),
    ],
)
def test_platform(platform, tokens, found):
    assert seen(check_platform(platform, tokens)) == found


DEEP = (IdleState(1, "POLL", 0), IdleState(1, "C1", 2), IdleState(1, "C6", 133), IdleState(0, "C6", 133))


@pytest.mark.parametrize(
    ("platform", "found"),
    [
        (Platform(), []),
        (Platform(governors={0: "powersave", 1: "performance"}), []),
        (Platform(governors={1: "powersave", 3: "schedutil"}), [("governor", "CPUs 1,3")]),
        (Platform(fair_servers={0: "50000000", 1: "0"}), []),
        (Platform(fair_servers={1: "50000000", 3: "20000"}), [("fair-server", "CPUs 1,3")]),
        (Platform(fair_servers={1: "10000", 2: "0"}), []),
        (Platform(kernel_version=(6, 1), rt_runtime_us="950000"), [("rt-throttling", "/proc/sys/kernel/sched_rt_runtime_us")]),
        (Platform(kernel_version=(6, 12), rt_runtime_us="950000"), []),
        (Platform(kernel_version=(6, 1), rt_runtime_us="-1"), []),
        (Platform(kernel_version=(6, 1), rt_runtime_us="999900"), []),
        (Platform(idle_states=DEEP), [("cstate-depth", "CPUs 1")]),
        (Platform(idle_states=DEEP, latency_limits={1: "0"}), [("cstate-depth", "CPUs 1")]),  # 0 is no limit
        (Platform(idle_states=DEEP, latency_limits={1: "2"}), []),
        (Platform(idle_states=DEEP, latency_limits={1: "n/a"}), []),
        (Platform(idle_states=(DEEP[1], replace(DEEP[2], disabled=True))), []),
        (Platform(default_affinity="55"), []),
        (Platform(default_affinity="ff"), [("interrupt-default", "/proc/irq/default_smp_affinity")]),
        (Platform(default_affinity="x"), []),
    ],
)
def test_an_unmanaged_machine(platform, found):
    assert seen(check_untended(platform, GOOD)) == found
    assert check_untended(platform, sets(housekeeping="0-7")) == []


@pytest.mark.parametrize(
    ("state", "limit", "found"),
    [
        (IdleState(1, "C6", 133, entered=3), "1", True),
        (IdleState(1, "C6", 133, entered=0), "1", False),
        (IdleState(1, "C1", 1, entered=3), "1", False),
        (IdleState(1, "C1", 1, entered=3), "n/a", True),  # no latency at all
        (IdleState(1, "C6", 133, entered=3), "0", False),  # no limit
        (IdleState(0, "C6", 133, entered=3), "1", False),  # a housekeeping CPU may sleep
    ],
)
def test_states_that_were_entered_beyond_the_limit(state, limit, found):
    findings = check_idle(Platform(idle_states=(state,), latency_limits={state.cpu: limit}), GOOD)
    assert bool(findings) is found
    assert not found or (findings[0].rule, findings[0].resource) == ("cstate-entered", "CPU 1")


@pytest.mark.parametrize(
    ("dedicated", "shared", "polling", "found"),
    [
        ("", "", {3}, []),
        ("4-7,^5", "0,5", {3}, []),
        ("4-7", "0,5", set(), ["CPUs 5 also belong to cpu_shared_set"]),
        ("3-7", "0", {3}, ["CPUs 3 also belong to the switch's poll-mode threads"]),
        ("all", "", set(), ["'all' is not a CPU number"]),
    ],
)
def test_nova(dedicated, shared, polling, found):
    findings = check_nova(dedicated, shared, frozenset(polling))
    assert [finding.actual[: len(text)] for finding, text in zip(findings, found)] == found
    assert len(findings) == len(found)
