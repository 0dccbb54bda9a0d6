# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition_info: the node as it is, and how it differs from its document."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from .._audit import Finding, check_document, check_interrupts, check_kernel, check_task
from .._boot import Runner
from .._cpuset import format_cpulist
from .._host import Host, HostError
from .._interrupts import read_interrupts, stuck_interrupts
from .._kthreads import read_threads, realtime_guests
from .._partition import Partition
from .._report import plan_table, text_table
from .._runtime import DOCUMENT, FEATURES, ROLES, config_path, configured_features, read_partition
from .._services import tuned_state
from .._smi import read_smi_count
from .._sysfs import read_kernel, read_topology
from .._topology import Topology


def run(host: Host, runner: Runner, parameters: dict[str, Any]) -> dict[str, Any]:
    """Read the node and return what it is; plans nothing."""
    del runner, parameters
    topology = read_topology(host)
    partition = read_partition(host)
    kernel = read_kernel(host)
    drift = _drift(host, topology, partition)
    header = ["rule", "what", "expected", "actual", "remedy"]
    rows = [[finding.rule, finding.resource, finding.expected, finding.actual, finding.remedy] for finding in drift]
    return {
        "topology": describe_topology(topology),
        "partition": partition.to_document() if partition else {},
        "table": plan_table(partition, topology) if partition else [],
        "kernel": {
            "release": kernel.release,
            "realtime": kernel.realtime,
            "cmdline": " ".join(kernel.cmdline),
            "isolated": format_cpulist(kernel.isolated),
            "nohz_full": format_cpulist(kernel.nohz_full),
        },
        "drift": [asdict(finding) for finding in drift],
        "drift_table": text_table(header, rows) if rows else ["the machine is as its document says"],
        "managed_interrupts": stuck_interrupts(host, partition) if partition else [],
        "realtime_guests": realtime_guests(host),
        "smi": read_smi_count(host),
    }


def describe_topology(topology: Topology) -> dict[str, Any]:
    """Return a topology as plain data."""
    return {
        "digest": topology.digest(),
        "online": format_cpulist(topology.online),
        "offline": format_cpulist(topology.offline),
        "boot_cpu": topology.boot_cpu,
        "threads_per_core": topology.threads_per_core,
        "nodes": {str(node): format_cpulist(cpus) for node, cpus in sorted(topology.nodes.items())},
        "cores": [format_cpulist(core) for core in topology.cores],
        "efficiency": format_cpulist(cpu.number for cpu in topology.cpus.values() if cpu.efficiency),
        "devices": [asdict(device) for device in topology.devices],
    }


def _wanted_kernel(host: Host) -> dict[str, Any] | None:
    """Return what kernel_arguments keeps on the node, None where it was never run."""
    path = config_path("kernel_arguments")
    text = host.read(path)
    if text is None:
        return None
    try:
        wanted = json.loads(text)
        good = isinstance(wanted["default_kernel"], (str, type(None))) and isinstance(wanted["tokens"], list)
        if good and all(isinstance(token, str) for token in wanted["tokens"]):
            return dict(wanted)
    except (ValueError, KeyError, TypeError):
        pass
    raise HostError(f"{path} is damaged; run the rt_kernel role to write it anew")


def _drift(host: Host, topology: Topology, partition: Partition | None) -> list[Finding]:
    if partition is None:
        return [Finding("document-missing", DOCUMENT, "a partition document", "absent", "run the site playbook")]
    kernel = read_kernel(host)
    findings = check_document(partition, topology)
    findings += check_kernel(
        partition,
        release=kernel.release,
        realtime=kernel.realtime,
        isolated=kernel.isolated,
        cmdline=kernel.cmdline,
        wanted=_wanted_kernel(host),
    )
    for feature, options in configured_features(host).items():
        trial = Host(host.root or "/", check_mode=True, owner=feature)
        FEATURES[feature](trial, partition, options)
        findings += [
            Finding("setting", change.resource, str(change.after), str(change.before), f"{ROLES[feature]} role ({change.reason})")
            for change in trial.changes
        ]
    findings += check_interrupts(partition, read_interrupts(host))
    found = (
        check_task(partition, task.name, task.pid, task.allowed, last=task.cpu, isolated=kernel.isolated)
        for task in read_threads(host, user=True)
    )
    findings += [finding for finding in found if finding is not None]
    if tuned_state(host):
        findings.append(
            Finding(
                "tuned", "tuned.service", "switched off", tuned_state(host), "cpu_partition_tuned: take_over, or disable tuned"
            )
        )
    return findings
