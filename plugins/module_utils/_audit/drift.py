# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a node with its partition file; the differences are findings. Edge, read-only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._cache.groups import TrespassError
from .._cache.read import lacking
from .._cpus.answers import AnswerError, counted, decode, printable
from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError
from .._cpus.machine import Kernel
from .._cpus.partition import Partition
from .._cpus.topology import Topology
from .._host.change import Change
from .._host.host import Host
from .._host.kernel import read_kernel
from .._host.paths import DOCUMENT, config_path
from .._host.threads import Thread, describe_policy, read_threads
from .._host.trial import trial_of
from .._host.tuning_daemons import tuned_state
from .._interrupts.interrupts import read_interrupts
from .._interrupts.threads import bound_threads
from .._runtime.cache import CACHE
from .._runtime.features import FEATURES, configured_features
from .._runtime.gate import ALLOW, OVERRIDE, is_missing, overridden, read_boot_state, why_closed
from .findings import (
    INTERRUPT_THREAD,
    Finding,
    change_finding,
    check_device_interrupts,
    check_document,
    check_interrupts,
    check_kernel,
    check_managed,
    check_task,
    damage_finding,
)

#: Changes that are no difference: interrupts have their own rule, and a CPU is switched off before it gets a partition.
_NO_DIFFERENCE = re.compile(r"/proc/irq/\d+/|/sys/devices/system/cpu/cpu\d+/online$")

_INTERRUPT = re.compile(r"/proc/irq/(\d+)/smp_affinity_list", re.ASCII)

#: Rules that close the gate of real-time guests.
_CLOSE = ("topology-changed", "file-damaged", "isolation", "kernel", "boot-run")


def document_missing() -> Finding:
    """Return the finding for a node without a partition file."""
    return Finding("document-missing", DOCUMENT, "a partition file", "absent", "run the site playbook")


def read_wanted_kernel(host: Host) -> dict[str, Any] | None:
    """Return what kernel_arguments keeps on the node, None where it has never run."""
    path = config_path("kernel_arguments")
    text = host.read(path)
    if text is None:
        return None
    try:
        return dict(decode(text, {"default_kernel": (str, type(None)), "tokens": [str]}))
    except AnswerError as error:
        raise HostError(f"{path} is damaged ({error}); run the rt_kernel role to write it again") from None


def kernel_findings(kernel: Kernel, partition: Partition, wanted: Mapping[str, Any] | None) -> list[Finding]:
    """Compare the running kernel with the wanted one."""
    return check_kernel(
        partition,
        release=kernel.release,
        realtime=kernel.realtime,
        isolated=kernel.isolated,
        cmdline=kernel.cmdline,
        wanted=wanted,
    )


def feature_findings(host: Host, partition: Partition, feature: str, options: Mapping[str, Any]) -> list[Finding]:
    """Return what the boot service would change now, from the service's own code."""
    trial = trial_of(host, feature)
    try:
        FEATURES[feature].plan(trial, partition, options)
    except TrespassError as error:
        remedy = f"end that program or remove its group (rmdir), or set cpu_partition_cache: false and run the {CACHE.role} role"
        return [Finding("cache-foreign", f"group {error.group} of resctrl", error.expected, error.actual, remedy)]
    changes = [change for change in without_followers(trial.changes) if not _NO_DIFFERENCE.match(change.resource)]
    found = [change_finding(change, FEATURES[feature].role) for change in changes]
    return found + (cache_remarks(host, options) if feature == CACHE.name else [])


def without_followers(changes: Sequence[Change]) -> list[Change]:
    """Return changes without those of threads that are where their interrupt is: they go with it, so they are no second difference.

    A thread elsewhere, or of an interrupt whose CPUs are not known, is a difference of its own.
    """
    cpus = {match[1]: parse_or_empty(change.before) for change in changes if (match := _INTERRUPT.fullmatch(change.resource))}

    def follows(change: Change) -> bool:
        match = INTERRUPT_THREAD.match(change.resource)
        return match is not None and parse_or_empty(change.before) <= cpus.get(match[1], frozenset())

    return [change for change in changes if not follows(change)]


def cache_remarks(host: Host, options: Mapping[str, Any]) -> list[Finding]:
    """Return what the machine cannot do of what is asked of caches; it has stayed as it is."""
    return [
        Finding(
            "cache-absent", variable, "can be done", why, f"remove {variable} for this machine, or leave it: nothing comes of it"
        )
        for variable, why in lacking(host, options).items()
    ]


def boot_run_findings(host: Host, partition: Partition) -> list[Finding]:
    """Return what the boot service has not made in this boot and what is missing still, and what undo cannot restore."""
    findings = []
    for name, reason in read_boot_state(host).items():
        if name == "journal" and reason:
            remedy = "repair what is named and reboot; until then only a reboot restores the run-time values of this boot"
            findings.append(Finding("boot-run", "journal of this boot", "the originals of all values", reason, remedy))
        elif reason and name in FEATURES and is_missing(host, partition, FEATURES[name]):
            remedy = f"repair what is named, then run systemctl restart realtime-kvm.service or the {FEATURES[name].role} role"
            findings.append(Finding("boot-run", f"values of {name}", "made by the boot service", reason, remedy))
    return findings


def with_gate(host: Host, findings: list[Finding]) -> list[Finding]:
    """Return findings of which the causes say that no real-time guest starts, and one for an operator's permission."""
    why = why_closed(host)
    allowed = f"real-time guests start only since {OVERRIDE} exists" if overridden(host) else "no real-time guest starts"
    causes = [item for item in findings if item.rule in _CLOSE and why]
    told = [replace(item, actual=f"{item.actual}; {allowed}") if item in causes[:1] else item for item in findings]
    if overridden(host):
        actual = f"open, since {OVERRIDE} exists{', although ' * bool(why)}{why}"
        told.append(Finding("guest-gate", "real-time guests", "kept off a node that is not ready", actual, f"rm {OVERRIDE}"))
    elif why and not causes:
        told.append(Finding("guest-gate", "real-time guests", "may start", f"none starts: {why}", f"boot as planned, or {ALLOW}"))
    return told


def interrupt_findings(host: Host, partition: Partition) -> list[Finding]:
    """Return the interrupts and their threads that may run on isolated CPUs."""
    interrupts = read_interrupts(host)
    threads = [
        Finding(
            "interrupt-thread",
            f"{printable(thread.name)} (pid {thread.pid})",
            f"CPUs {format_cpulist(interrupt.effective or interrupt.affinity)}, where {interrupt.label} is",
            f"bound to CPUs {format_cpulist(thread.allowed)} with {describe_policy(thread.policy, thread.priority)}, above the vCPUs there",
            "it cannot be moved; keep its device's driver from loading, or plan around it: take CPUs "
            f"{format_cpulist(thread.allowed & partition.isolated)} out of the isolated sets (cpu_partition_cpus)",
        )
        for interrupt, thread in bound_threads(host, partition, interrupts)
    ]
    return [
        *check_interrupts(partition, interrupts),
        *check_device_interrupts(partition, interrupts),
        *threads,
        *check_managed(partition, interrupts),
    ]


def tuned_finding(host: Host) -> Finding | None:
    """Return the finding for a node with an enabled or active tuned."""
    state = tuned_state(host)
    if not state:
        return None
    profile = host.value("/etc/tuned/active_profile") or "no profile chosen"
    remedy = "set cpu_partition_tuned: take_over, or run systemctl disable --now tuned"
    return Finding("tuned", "tuned.service", "switched off", f"{state} ({profile})", remedy)


def partition_drift(host: Host, topology: Topology, partition: Partition | None) -> list[Finding]:
    """Return every difference between document and machine, without guests and switch."""
    if partition is None:
        return [document_missing()]
    kernel = read_kernel(host)
    findings = check_document(partition, topology)
    findings += kernel_findings(kernel, partition, read_wanted_kernel(host))
    features, damaged = configured_features(host)
    findings += [
        damage_finding(config_path(name), reason, f"run the {FEATURES[name].role} role") for name, reason in damaged.items()
    ]
    for feature, options in features.items():
        findings += [item for item in feature_findings(host, partition, feature, options) if item.severity != "info"]
    findings += [finding for finding in interrupt_findings(host, partition) if finding.severity != "info"]
    findings += check_tasks(partition, read_threads(host, user=True), isolated=kernel.isolated)
    tuned = tuned_finding(host)
    return [*findings, tuned] if tuned else findings


def check_tasks(partition: Partition, tasks: Iterable[Thread], *, isolated: frozenset[int]) -> list[Finding]:
    """Check every program; where the kernel isolates too little, all that nobody has restricted are one finding."""
    findings: list[Finding] = []
    balanced: list[Thread] = []
    for task in tasks:
        found = check_task(partition, task.name, task.pid, task.allowed, last=task.cpu, isolated=isolated)
        if found and not partition.isolated <= isolated and task.allowed >= partition.isolated | partition.unisolated:
            balanced.append(task)
        elif found:
            findings.append(found)
    if len(balanced) == 1:
        task = balanced[0]
        findings += filter(None, [check_task(partition, task.name, task.pid, task.allowed, last=task.cpu, isolated=isolated)])
    elif balanced:
        unisolated = format_cpulist(partition.unisolated)
        names = sorted({task.name for task in balanced})
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        findings.append(
            Finding(
                "task",
                f"{counted(len(balanced), 'task')} ({shown})",
                f"CPUs {unisolated}, or isolated CPUs alone",
                "all CPUs, to which the kernel balances them",
                f"let the kernel isolate CPUs {format_cpulist(partition.isolated)} (see the rule isolation); none of them needs a change",
            )
        )
    return findings
