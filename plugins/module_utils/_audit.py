# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine should be against what it is. Pure: values in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ._cpuset import format_cpulist
from ._irq import Interrupt
from ._kernel_arguments import compare, key_of
from ._partition import Partition
from ._topology import Topology


@dataclass(frozen=True)
class Finding:
    """One difference between document and machine."""

    rule: str
    resource: str
    expected: str
    actual: str
    remedy: str


def check_document(partition: Partition, topology: Topology) -> list[Finding]:
    """The document must have been made for the CPUs that the node has now."""
    if partition.topology_digest == topology.digest():
        return []
    known = frozenset().union(*partition.sets.values()) | partition.idle
    actual = f"online CPUs {format_cpulist(topology.online)}"
    if known == topology.online:
        actual += ", with other cores or NUMA nodes"
    return [
        Finding(
            "topology-changed",
            "partition document",
            f"online CPUs {format_cpulist(known)} (digest {partition.topology_digest})",
            f"{actual} (digest {topology.digest()})",
            "bring the CPUs back, or run the cpu_partition role to plan anew",
        )
    ]


def check_kernel(
    partition: Partition,
    *,
    release: str,
    realtime: bool,
    isolated: frozenset[int],
    cmdline: Iterable[str],
    wanted: Mapping[str, Any] | None,
) -> list[Finding]:
    """The running kernel must be the one asked for, with its arguments, and isolate the partition's CPUs.

    ``wanted`` is what kernel_arguments keeps on the node (tokens, default_kernel), None where it was never run.
    """
    findings = []
    if wanted and wanted.get("default_kernel") and not fnmatchcase(release, wanted["default_kernel"]):
        findings.append(
            Finding(
                "kernel", "running kernel", f"a kernel {wanted['default_kernel']}", release, "reboot the node (site playbook)"
            )
        )
    elif wanted and wanted.get("default_kernel") and not realtime:
        findings.append(
            Finding(
                "kernel",
                "running kernel",
                "PREEMPT_RT in uname -v",
                f"{release} without it",
                "install a PREEMPT_RT kernel (rt_kernel role)",
            )
        )
    if wanted:
        ours = {key_of(token) for token in wanted["tokens"]}
        difference = compare([token for token in cmdline if key_of(token) in ours], wanted["tokens"])
        findings += [
            Finding(
                "kernel-argument", key_of(token), token, _running(difference.unexpected, token), "reboot the node (site playbook)"
            )
            for token in difference.missing
        ]
        missing = {key_of(token) for token in difference.missing}
        findings += [
            Finding(
                "kernel-argument",
                key_of(token),
                "only the planned value",
                token,
                "remove it from the boot configuration and reboot",
            )
            for token in difference.unexpected
            if key_of(token) not in missing
        ]
    if partition.isolation == "boot" and isolated != partition.isolated:
        findings.append(
            Finding(
                "isolation",
                "/sys/devices/system/cpu/isolated",
                format_cpulist(partition.isolated),
                format_cpulist(isolated) or "none",
                "run the site playbook, which reboots the node into its arguments",
            )
        )
    return findings


def _running(unexpected: Iterable[str], token: str) -> str:
    found = [other for other in unexpected if key_of(other) == key_of(token)]
    return " ".join(found) or "absent"


def is_pending(partition: Partition, interrupt: Interrupt) -> bool:
    """Whether an interrupt leaves the isolated CPUs when it fires next (kernel/irq/migration.c)."""
    return (
        bool(interrupt.effective & partition.isolated)
        and not interrupt.affinity & partition.isolated
        and not interrupt.effective & interrupt.affinity
    )


def check_interrupts(partition: Partition, interrupts: Iterable[Interrupt]) -> list[Finding]:
    """No movable interrupt may fire on an isolated CPU, whatever its mask says.

    One whose mask is right and that has not fired since is left out: the kernel moves it when it fires next (``pending``).
    """
    return [
        Finding(
            "interrupt",
            irq.label,
            f"CPUs {format_cpulist(partition.unisolated)}",
            f"CPUs {format_cpulist(irq.effective)}",
            "irq_affinity role",
        )
        for irq in interrupts
        if irq.movable and irq.effective & partition.isolated and not is_pending(partition, irq)
    ]


def check_task(
    partition: Partition,
    name: str,
    pid: int,
    allowed: frozenset[int],
    *,
    last: int | None = None,
    isolated: frozenset[int] = frozenset(),
) -> Finding | None:
    """A program may stay off the isolated CPUs or be pinned to them; it may not wander across the border.

    One that may run on every CPU does not wander where the kernel itself isolates them (``isolated``): no load balancing
    reaches these CPUs, so it is reported only if the CPU it ran on ``last`` is one of them. Such programs are ordinary:
    moving a task into a cgroup gives it all CPUs of the cgroup's cpuset (kernel/cgroup/cpuset.c), and libvirt makes cpusets.
    """
    if not allowed & partition.isolated or not allowed & partition.unisolated:
        return None
    if allowed >= partition.isolated | partition.unisolated and partition.isolated <= isolated and last not in partition.isolated:
        return None
    return Finding(
        "task",
        f"{name} (pid {pid})",
        f"CPUs {format_cpulist(partition.unisolated)}, or isolated CPUs alone",
        f"CPUs {format_cpulist(allowed)}",
        f"taskset -acp {format_cpulist(partition.unisolated)} {pid}, and whatever started it",
    )
