# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the wanted with the present machine: document, kernel, interrupts, programs. Pure: values in, findings out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from .._boot.compared import compare
from .._cpus.cmdline import key_of
from .._cpus.cpulist import format_cpulist
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._devices.marks import Home
from .._host.change import Change
from .._interrupts.affinity import Interrupt, stuck, wanted_affinity
from .._tables import paragraph
from .rule import rank
from .rules import RULES

#: The most characters of a text of several lines that a finding shows.
_SHOWN = 300
#: The most characters of a list of numbers that a finding shows.
_LISTED = 40
#: The most places of one rule of remarks that people are shown.
PLACES = 5


@dataclass(frozen=True)
class Finding:
    """One broken rule: resource, expected state, actual state, and remedy."""

    rule: str  # its id
    resource: str
    expected: str
    actual: str
    remedy: str

    @property
    def severity(self) -> str:
        return RULES[self.rule].severity

    @property
    def source(self) -> str:
        """The source of the rule."""
        return RULES[self.rule].source

    def to_dict(self) -> dict[str, str]:
        """Return it as plain data."""
        return {"severity": self.severity, **asdict(self), "source": self.source}


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings the worst first, repeats once; equal severities keep their order."""
    return sorted(dict.fromkeys(findings), key=lambda finding: rank(finding.severity))


def finding_lines(findings: Iterable[Finding], places: int | None = None) -> list[str]:
    """Return findings as text for people: what must hold, then each place where it does not, and the remedy.

    Of each rule the first ``places`` are shown, or all.
    """
    by_rule: dict[str, list[Finding]] = {}
    for item in findings:
        by_rule.setdefault(item.rule, []).append(item)
    lines: list[str] = []
    for rule, found in by_rule.items():
        lines += paragraph(f"{RULES[rule].severity}: {RULES[rule].meaning} ({rule})")
        for item in found[:places]:
            wanted = f"; expected: {item.expected}" if item.expected else ""
            lines += paragraph(f"{item.resource}: {item.actual}{wanted}", "  ", "    ")
            lines += paragraph(f"remedy: {item.remedy}", "    ", "      ")
        more = len(found) - len(found[:places])
        lines += [f"  and {more} more"] if more else []
    return lines


def rule_of(change: Change) -> str:
    """Return the rule that a planned change of a run-time value breaks."""
    if change.resource.startswith("thread:"):
        return "interrupt" if INTERRUPT_THREAD.match(change.resource) else "kthread"
    if change.resource.startswith(("cpuset:", "/sys/fs/cgroup/")):
        return "cpuset"
    if change.resource.startswith(_RESCTRL):
        return _of_cache(change.resource[len(_RESCTRL) :])
    if change.resource.startswith("/sys/bus/pci/devices/"):
        return "device-functions"
    return "hugepages" if change.resource.endswith("/nr_hugepages") else "setting"


_RESCTRL = "/sys/fs/resctrl"
#: Where an interrupt's thread may run; its name has any character.
INTERRUPT_THREAD = re.compile(r"thread:irq/(\d+)-.*:affinity\Z", re.ASCII | re.DOTALL)


def _of_cache(resource: str) -> str:
    if not resource:
        return "cache-mount"
    _group, schemata, line = resource.partition("/schemata:")
    return "cache-group" if not schemata else "memory-bandwidth" if line == "MB" else "cache-mask"


def change_finding(change: Change, role: str, rule: str = "") -> Finding:
    """Return a role's planned change as a finding; of long texts only the lines that differ."""
    remedy = f"run the {role} role ({change.reason})" if change.reason else f"run the {role} role"
    expected, actual = _brief(change.after, change.before), _brief(change.before, change.after)
    return Finding(rule or rule_of(change), change.resource, expected, actual, remedy)


def damage_finding(path: str, reason: str, remedy: str) -> Finding:
    """Return the finding for a file of the roles that cannot be read."""
    short = reason.removeprefix(f"{path} is ").removeprefix(f"{path}: ")
    return Finding("file-damaged", path, "what the roles keep there", short, remedy)


def _brief(text: str | None, other: str | None) -> str:
    if text is None or "\n" not in text.strip():
        return "absent" if text is None else text.strip()
    known = set() if other is None else {line.strip() for line in other.splitlines()}
    lines = [line.strip() for line in text.splitlines() if line.strip() and line.strip() not in known]
    shown = "; ".join(lines) or "the same lines without some"
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."


def check_document(partition: Partition, topology: Topology) -> list[Finding]:
    """The partition file must describe the CPUs that the node has now."""
    if partition.topology_digest == topology.digest():
        return []
    known = frozenset().union(*partition.sets.values()) | partition.idle
    actual = f"online CPUs {format_cpulist(topology.online)}"
    if known == topology.online:
        actual += ", with other cores or NUMA nodes"
    return [
        Finding(
            "topology-changed",
            "partition file",
            f"online CPUs {format_cpulist(known)} (digest {partition.topology_digest})",
            f"{actual} (digest {topology.digest()})",
            "restore the CPUs, or run the cpu_partition role to plan again",
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
    """The running kernel must be the wanted one, with its arguments, and must isolate the partition's CPUs.

    ``wanted`` is what kernel_arguments keeps on the node (tokens, default_kernel), None where it has never run.
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
                "run the rt_kernel role, which installs a PREEMPT_RT kernel",
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
    """No movable interrupt may fire on an isolated CPU, whatever its mask is, nor may its mask allow that.

    An interrupt with the right mask that has not fired since is left out: the kernel moves it when it fires next
    (``pending``).
    """
    wrong = [
        irq
        for irq in interrupts
        if irq.movable
        and irq.home is None
        and (irq.affinity & partition.isolated or (irq.effective & partition.isolated and not is_pending(partition, irq)))
    ]
    return [
        Finding(
            "interrupt",
            label,
            f"CPUs {format_cpulist(partition.unisolated)}",
            _where(irqs),
            f"run the irq_affinity role (/proc/irq/{irqs[0].number}/smp_affinity_list{' and so on' if len(irqs) > 1 else ''})",
        )
        for label, irqs in _families(wrong).items()
    ]


def check_device_interrupts(partition: Partition, interrupts: Iterable[Interrupt]) -> list[Finding]:
    """Interrupts of running guests' devices may fire on the CPU of their vCPU only; one that has not fired since may still show the old CPU.

    One without CPUs has ended while it was read.
    """
    wrong = [
        irq for irq in interrupts if irq.home is not None and irq.affinity and irq.affinity != wanted_affinity(irq, partition, {})
    ]
    by_device: dict[Home, list[Interrupt]] = {}
    for irq in wrong:
        if irq.home is not None:
            by_device.setdefault(irq.home, []).append(irq)
    return [
        Finding(
            "device-interrupt",
            f"device {home.address} of {home.guest}: {_label(irqs)}",
            f"CPUs {format_cpulist(wanted_affinity(irqs[0], partition, {}))}, those of vCPU {home.vcpu}",
            _where(irqs),
            "run the irq_affinity role (the watcher, realtime-kvm-watch, moves them within seconds where it runs)",
        )
        for home, irqs in by_device.items()
    ]


def check_managed(partition: Partition, interrupts: Iterable[Interrupt]) -> list[Finding]:
    """Report the kernel-managed interrupts on isolated CPUs; they cannot be moved."""
    return [
        Finding(
            "interrupt-managed",
            label,
            f"CPUs {format_cpulist(partition.unisolated)}",
            _where(irqs),
            "reduce the queues (ethtool -L, module parameters); otherwise none: it fires where the CPU itself uses the device",
        )
        for label, irqs in _families(stuck(interrupts, partition)).items()
    ]


def _families(interrupts: Iterable[Interrupt]) -> dict[str, list[Interrupt]]:
    """Return interrupts by label; those whose names differ only in numbers, as the queues of a device do, share one."""
    found: dict[str, list[Interrupt]] = {}
    for irq in interrupts:
        found.setdefault(re.sub(r"\d+", "*", ", ".join(irq.actions)), []).append(irq)
    return {_label(irqs): irqs for irqs in found.values()}


def _label(irqs: list[Interrupt]) -> str:
    if len(irqs) == 1:
        return irqs[0].label
    names = [re.split(r"(\d+)", ", ".join(irq.actions)) for irq in irqs]
    name = "".join(parts[0] if len(set(parts)) == 1 else "*" for parts in zip(*names))
    numbers = format_cpulist(irq.number for irq in irqs)
    return f"IRQs {numbers} ({name})" if len(numbers) <= _LISTED else f"{len(irqs)} IRQs from {irqs[0].number} on ({name})"


def _where(interrupts: Iterable[Interrupt]) -> str:
    fires: frozenset[int] = frozenset()
    allowed: frozenset[int] = frozenset()
    for irq in interrupts:
        fires |= irq.effective
        allowed |= irq.affinity
    if not fires or fires == allowed:
        return _listed(allowed)
    return f"{_listed(fires)}; allowed on {_listed(allowed)}"


def _listed(cpus: frozenset[int]) -> str:
    text = format_cpulist(cpus) or "none"
    return f"CPUs {text}" if len(text) <= _LISTED else f"{len(cpus)} of CPUs {min(cpus)}-{max(cpus)}"


def check_task(
    partition: Partition,
    name: str,
    pid: int,
    allowed: frozenset[int],
    *,
    last: int | None = None,
    isolated: frozenset[int] = frozenset(),
) -> Finding | None:
    """A program may stay off the isolated CPUs or be pinned to them; it must not move between both kinds.

    A program that may run on every CPU does not do so where the kernel itself isolates them (``isolated``): no load
    balancing reaches these CPUs, so it is reported only if the CPU it ran on ``last`` is one of them. Such programs are
    common: moving a task into a cgroup gives it all CPUs of the cgroup's cpuset (kernel/cgroup/cpuset.c), and libvirt makes
    cpusets.
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
        f"run taskset -acp {format_cpulist(partition.unisolated)} {pid}, and correct the program that started it",
    )
