# SPDX-License-Identifier: GPL-3.0-or-later
"""The choices between safety and latency: what each protects, what it costs, when to choose another. Pure.

The plan shows the chosen ones; docs/policies.md has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """One value of a variable."""

    variable: str
    value: str
    protects: str
    costs: str
    otherwise: str  # when to choose another value


THROTTLING = "cpu_partition_rt_throttling"
SMT = "cpu_partition_smt"
WATCHDOG = "cpu_partition_hardware_watchdog_s"
NX = "kvm_host_nx_huge_pages"

POLICIES = (
    Policy(
        THROTTLING,
        "budget",
        "the node: ordinary work that waits behind a vCPU, such as the kernel's own work items, runs for 10 us of every 10 ms",
        "a vCPU that never sleeps loses that time while work waits; work longer than 10 us runs until the next timer tick",
        "`unlimited` for guests that poll for ever and whose longest gap must stay below a tick",
    ),
    Policy(
        THROTTLING,
        "unlimited",
        "the vCPU: no ordinary work ever interrupts it",
        "work that waits there waits until the vCPU sleeps; a vCPU that never sleeps can block the removal of devices, "
        "the end of guests and at last the whole node",
        "`budget` unless the guest was measured to need this, and the node has a hardware watchdog",
    ),
    Policy(
        THROTTLING,
        "kernel",
        "the node: the kernel's own limits stay",
        "a vCPU that never sleeps loses up to 50 ms of every second",
        "`budget` where guests have real-time tasks",
    ),
    Policy(
        SMT,
        "single",
        "the vCPU: no other thread shares its core's units and caches",
        "the second thread of each isolated core is idle",
        "`together` where guests do not need the last microseconds, or where SMT is off anyway",
    ),
    Policy(
        SMT,
        "together",
        "the number of CPUs: both threads of a core serve the same set",
        "the other thread of a vCPU's core is left idle for each guest unless its `siblings` allows more; "
        "poll-mode threads share cores",
        "`single` for real-time guests",
    ),
    Policy(
        WATCHDOG,
        "60",
        "the site: a node that hangs is reset",
        "a node whose first process does not run for the time is reset, with its guests",
        "`0` where another program serves the watchdog, or where a hung node must stay as it is",
    ),
    Policy(
        WATCHDOG,
        "0",
        "a hung node stays as it is",
        "the operator must reset it",
        "`60` where the node has a watchdog in hardware",
    ),
    Policy(
        NX,
        "keep",
        "the host: a guest cannot stop it by the iTLB multihit erratum, where the processor has it",
        "KVM keeps a recovery thread in each guest's process; it is moved to the emulator's CPUs after the guest's start",
        "`never` where every processor is not affected and no thread of KVM may exist beside the vCPUs",
    ),
    Policy(
        NX,
        "off",
        "the vCPU: large pages of guests are not split",
        "guests are trusted where the processor has the erratum; the recovery thread exists and sleeps",
        "`keep` where guests are not trusted",
    ),
    Policy(
        NX,
        "never",
        "the vCPU: large pages are not split, and KVM makes no recovery thread at all",
        "guests are trusted where the processor has the erratum; it cannot be switched on again without loading KVM again",
        "`keep` where a processor is affected and guests are not trusted",
    ),
)
_BY_CHOICE = {(policy.variable, policy.value): policy for policy in POLICIES}


def chosen(values: Mapping[str, object], before: Mapping[str, object] | None = None) -> list[dict[str, str]]:
    """Return the chosen policies as plain data; ``before`` is what the node has until now."""
    found = []
    for variable, value in values.items():
        policy = _BY_CHOICE.get((variable, str(value))) or _BY_CHOICE[variable, "60"]  # any other number of seconds
        was = (before or {}).get(variable)
        item = {"variable": variable, "value": str(value), "protects": policy.protects, "costs": policy.costs}
        found.append({**item, "before": str(was) if was is not None and was != value else ""})
    return found
