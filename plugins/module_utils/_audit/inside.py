# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a guest's inside: CPUs as its definition says, a good clock, and CPUs that nobody else uses on the node. Edge, read-only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .._cpus.cpulist import format_cpulist
from .._cpus.guest_partition import read_definition
from .._cpus.partition import Partition
from .._host.host import Host
from .._runtime.ptp_kvm import FILE, find_clock
from .findings import Finding

CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#: Those that a guest reads without an exit to the node.
_GOOD = ("tsc", "kvm-clock", "arch_sys_counter")
_PLAYBOOK = "run the guest_os playbook"


def definition_findings(partition: Partition, given: Mapping[str, Any] | None) -> list[Finding]:
    """Compare the partition file with the guest's definition in the list of its node; that of a node or of another guest is of a wrong machine."""
    if not given:
        return []
    if partition.guest is None or partition.guest.name != given["name"]:
        actual = f"that of guest {partition.guest.name}" if partition.guest else "that of a node"
        remedy = "correct ansible_host or guest_os_guest of this host: another machine answers; nothing else of this result is about the guest"
        return [Finding("guest-os-vcpus", f"guest {given['name']}", "the partition file of this guest", actual, remedy)]
    wanted, own = read_definition(given), partition.sets["realtime"]
    compared = [
        (f"CPUs {format_cpulist(wanted.realtime_vcpus)}", f"CPUs {format_cpulist(own)}"),
        (f"guest_os_idle: {wanted.idle}", f"guest_os_idle: {partition.guest.idle}"),
    ]
    return [
        Finding("guest-os-vcpus", f"guest {wanted.name}", expected, actual, _PLAYBOOK)
        for expected, actual in compared
        if expected != actual
    ]


def clock_findings(host: Host) -> list[Finding]:
    """Return what is wrong with the guest's clock source, and with the node's clock where it is asked for."""
    findings, source = [], host.value(CLOCK_SOURCE)
    if source and source not in _GOOD:
        remedy = "set invariant_tsc: true for the guest on its node and restart it; dmesg in the guest says why its kernel gave up the TSC"
        findings.append(Finding("guest-os-clock", CLOCK_SOURCE, "tsc or kvm-clock", source, remedy))
    if host.exists(FILE) and not find_clock(host):
        remedy = f"{_PLAYBOOK}; the node's own clock source must be tsc"
        findings.append(Finding("guest-os-clock", "/dev/ptp_kvm", "the node's clock", "absent", remedy))
    return findings


class StealWatch:
    """Counts the time, during the audit, in which the guest's real-time vCPUs wanted to run and the node ran something else."""

    def __init__(self, host: Host, partition: Partition) -> None:
        self._host, self._cpus = host, partition.isolated if partition.guest else frozenset()
        self._first = self._stolen()

    def _stolen(self) -> dict[int, int]:
        """Return the stolen time of each real-time CPU in ticks of 10 ms, the eighth number of its line."""
        lines = re.findall(r"^cpu(\d+)((?: \d+){8})", self._host.read("/proc/stat") or "", re.MULTILINE) if self._cpus else []
        return {int(cpu): int(numbers.split()[7]) for cpu, numbers in lines if int(cpu) in self._cpus}

    def findings(self) -> list[Finding]:
        """Return a finding if time was stolen since the watch began."""
        stolen = {cpu: ticks - self._first.get(cpu, ticks) for cpu, ticks in self._stolen().items()}
        cpus = frozenset(cpu for cpu, ticks in stolen.items() if ticks > 0)
        if not cpus:
            return []
        actual = f"{10 * sum(stolen[cpu] for cpu in cpus)} ms during the audit"
        remedy = "run verify on the guest's node: a thread there uses the CPU of the vCPU, or its kernel limits real-time threads"
        return [Finding("guest-os-steal", f"CPUs {format_cpulist(cpus)}", "no stolen time", actual, remedy)]
