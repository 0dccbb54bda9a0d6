# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel arguments a partition needs on a machine, each with its reason.

Pure. Sources are the kernel's Documentation/admin-guide/kernel-parameters.txt unless another is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .._cpus.cpulist import format_cpulist
from .._cpus.machine import Machine
from .._cpus.partition import Partition
from .arguments import Argument

NOHZ_FULL_CHOICES = ("all", "dataplane", "none")
TSC_CHOICES = ("nowatchdog", "reliable", "keep")
#: Every key that a plan may have, except those of huge pages, which may be anyone's.
PLANNED_KEYS = (
    "isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity", "workqueue.unbound_cpus", "rcutree.kthread_prio",
    "rcutree.nohz_full_patience_delay", "skew_tick", "nowatchdog", "tsc", "kvm.kvmclock_periodic_sync", "kvm_intel.ple_gap",
    "kvm_amd.pause_filter_count", "kvm_amd.pause_filter_thresh", "iommu", "intel_iommu", "processor.max_cstate",
    "intel_idle.max_cstate", "idle",
)  # fmt: skip


@dataclass(frozen=True)
class ArgumentPolicy:
    """The operator's choices; the names are those of the module's options."""

    nohz_full: str = "all"
    tsc: str = "nowatchdog"
    cstates: str = "keep"
    priority_limit: int = 1


def partition_arguments(partition: Partition, machine: Machine, policy: ArgumentPolicy) -> list[Argument]:
    """Return the arguments that make the partition and keep its isolated CPUs quiet; no arguments in mode ``runtime``."""
    if partition.isolation == "runtime":
        return []
    return isolation_arguments(partition, machine, policy)


def isolation_arguments(partition: Partition, machine: Machine, policy: ArgumentPolicy) -> list[Argument]:
    """Return the same for any mode; in mode ``runtime`` these are the effects that only a boot could have."""
    isolated = format_cpulist(partition.isolated)
    ordinary = format_cpulist(partition.unisolated)
    if not isolated:
        return []
    # A token is emitted only for kernels that know it: an unknown one goes to init.
    recent = machine.kernel_version >= (6, 12)
    arguments = [
        Argument(
            f"isolcpus=managed_irq,domain,{isolated}",
            "takes the CPUs out of load balancing and keeps managed interrupts off them where the device allows",
            "isolated CPUs run only what is pinned to them",
        ),
        *_nohz_full(partition, policy, recent),
        Argument(
            f"rcu_nocbs={isolated}",
            "runs RCU callbacks of isolated CPUs on housekeeping CPUs",
            "rcuo threads cost housekeeping time",
        ),
        Argument(
            f"irqaffinity={ordinary}", "new interrupts start on housekeeping and shared CPUs", "fewer CPUs serve interrupts"
        ),
    ]
    if recent:
        arguments.append(
            Argument(
                f"workqueue.unbound_cpus={ordinary}",
                "unbound work items stay off isolated CPUs from boot on",
                "fewer CPUs serve work items",
            )
        )
    arguments += [
        Argument(
            f"rcutree.kthread_prio={policy.priority_limit + 3}",
            f"RCU's threads run above ksoftirqd and ktimers ({policy.priority_limit + 1}) and vCPU threads "
            f"({policy.priority_limit})",
            "none",
            "tuned realtime-virtual-host",
        ),
        Argument("skew_tick=1", "CPUs take their timer ticks at different times, not all at once", "slightly higher power draw"),
        Argument(
            "nowatchdog",
            "no soft-lockup threads and no NMI watchdog, which interrupt isolated CPUs",
            "lock-ups are no longer reported",
        ),
    ]
    if policy.tsc != "keep" and machine.tsc_invariant:
        arguments.append(
            Argument(
                f"tsc={policy.tsc}",
                "no periodic check of the time stamp counter against a slower clock",
                "a broken counter is not noticed",
            )
        )
    if partition.guest:  # it has no guests of its own, and no devices to hand on
        return arguments + _polling(partition) + _power(policy, machine)
    return arguments + _kvm(machine) + _iommu(partition, machine) + _power(policy, machine)


def _nohz_full(partition: Partition, policy: ArgumentPolicy, recent: bool) -> list[Argument]:
    cpus = {"all": partition.isolated, "dataplane": partition.sets["dataplane"], "none": frozenset()}[policy.nohz_full]
    if not cpus:
        return []
    arguments = [
        Argument(
            f"nohz_full={format_cpulist(cpus)}",
            "no timer tick while one task runs, and unbound kernel threads start elsewhere",
            "entering and leaving the kernel costs more on these CPUs",
            "Documentation/timers/no_hz.rst",
        )
    ]
    if recent:
        arguments.append(
            Argument(
                "rcutree.nohz_full_patience_delay=1000",
                "RCU waits 1 s before it interrupts a nohz_full CPU",
                "grace periods may take longer",
            )
        )
    return arguments


def _polling(partition: Partition) -> list[Argument]:
    if not partition.guest or partition.guest.idle != "poll":
        return []
    return [
        Argument(
            "idle=poll",
            "an idle vCPU spins instead of halting, so that a wake-up needs no exit to the node and no start of its thread there",
            "each vCPU, the ordinary ones too, always takes all of its CPU on the node: its power, and half of the core from a sibling; "
            "the node's load says nothing any more",
            "Documentation/virt/guest-halt-polling.rst",
        )
    ]


def _kvm(machine: Machine) -> list[Argument]:
    arguments = []
    if machine.tsc_invariant and (0, 0) < machine.kernel_version < (6, 13):
        arguments.append(
            Argument(
                "kvm.kvmclock_periodic_sync=0",
                "no periodic clock update of all vCPUs; the TSC is invariant",
                "none",
                "tuned realtime-virtual-host",
            )
        )
    if machine.vendor == "GenuineIntel":
        arguments.append(
            Argument(
                "kvm_intel.ple_gap=0",
                "a spinning vCPU owns its CPU, so no pause-loop exits",
                "none while vCPUs are pinned",
                "tuned realtime-virtual-host",
            )
        )
    elif machine.vendor == "AuthenticAMD":
        arguments += [
            Argument(
                "kvm_amd.pause_filter_count=0",
                "a spinning vCPU owns its CPU, so no pause-filter exits",
                "none while vCPUs are pinned",
            ),
            Argument("kvm_amd.pause_filter_thresh=0", "as pause_filter_count", "none while vCPUs are pinned"),
        ]
    return arguments


def _iommu(partition: Partition, machine: Machine) -> list[Argument]:
    if not partition.sets["dataplane"] or not machine.x86:  # arm64 has iommu.passthrough=, not for all platforms
        return []
    arguments = [
        Argument("iommu=pt", "devices of the host bypass translation; vfio devices keep it", "no DMA protection for host drivers")
    ]
    if machine.vendor == "GenuineIntel":
        arguments.insert(0, Argument("intel_iommu=on", "vfio, and so DPDK and passthrough, need the IOMMU", "none with iommu=pt"))
    return arguments


def page_arguments(pages: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the tokens that reserve 1 GiB pages (count by NUMA node and size) at boot.

    Later so much memory in one piece is rarely free. hugepagesz= comes before its hugepages=.
    """
    counts = [f"{node}:{sizes['1G']}" for node, sizes in sorted(pages.items(), key=lambda item: int(item[0])) if sizes.get("1G")]
    return ["hugepagesz=1G", f"hugepages={','.join(counts)}"] if counts else []


def _power(policy: ArgumentPolicy, machine: Machine) -> list[Argument]:
    if policy.cstates != "boot" or not machine.x86:
        return []
    return [
        Argument(
            "processor.max_cstate=1",
            "no idle state deeper than C1 on any CPU",
            "power and turbo head-room",
            "Documentation/core-api/real-time/hardware.rst",
        ),
        Argument(
            "intel_idle.max_cstate=0",
            "hands idle states to acpi_idle, which processor.max_cstate limits",
            "power and turbo head-room",
        ),
    ]
