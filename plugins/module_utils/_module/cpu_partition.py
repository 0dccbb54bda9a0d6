# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition: the partition of a node, its document, its run-time settings and its boot service."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from .._boot import Runner
from .._boot_arguments import ArgumentPolicy, isolation_arguments
from .._cgroups import DROP_INS, check_layout, plan_slices, read_users, restore_controllers, restore_partitions
from .._cpuset import format_cpulist
from .._host import Host
from .._hotplug import bring_back
from .._isolation import check_moves
from .._kthreads import realtime_guests
from .._node_tool import UNIT_TEXTS, plan_service
from .._partition import Intent, Partition, PartitionError, plan_partition
from .._report import plan_table
from .._runtime import DOCUMENT, config_path, plan_feature, read_partition, undo_feature
from .._services import TUNED, plan_tuned, reload_systemd, restore_tuned
from .._settings import check_priority_limit
from .._sysfs import read_kernel, read_machine, read_topology
from .._topology import Topology


def intent_from(parameters: dict[str, Any]) -> Intent:
    """Return the operator's wishes; what YAML has made a number of is refused, not guessed."""
    cpus = {}
    for name, value in (parameters["cpus"] or {}).items():
        if not isinstance(value, str):
            raise PartitionError(
                f'cpu_partition_cpus.{name}: {value!r} is a {type(value).__name__}, not a CPU list; quote it ({name}: "{_as_text(value)}"), '
                "since YAML reads an unquoted one as a number"
            )
        cpus[name] = value
    realtime = parameters["realtime"]
    if isinstance(realtime, bool) or not isinstance(realtime, (int, str)):
        raise PartitionError(f"cpu_partition_realtime: {realtime!r} is neither 'rest' nor a number of cores per NUMA node")
    for name in ("housekeeping_cores_per_node", "dataplane_cores_per_node", "shared_cores_per_node"):
        if parameters[name] < 0:
            raise PartitionError(f"cpu_partition_{name}: {parameters[name]} is negative; give a number of cores from 0 on")
    return Intent(
        housekeeping_cores_per_node=parameters["housekeeping_cores_per_node"],
        dataplane_cores_per_node=parameters["dataplane_cores_per_node"],
        dataplane_devices=tuple(parameters["dataplane_devices"]),
        shared_cores_per_node=parameters["shared_cores_per_node"],
        realtime=str(realtime),
        smt=parameters["smt"],
        isolation=parameters["isolation"],
        cpus=cpus,
    )


def _as_text(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)


def run(host: Host, runner: Runner, parameters: dict[str, Any]) -> dict[str, Any]:
    """Plan the module's changes on the host and return its result."""
    bring_back(host, alone=parameters["state"] == "recovered", limit=parameters.get("max_disruption"))
    if parameters["state"] == "recovered":
        return {}
    if parameters["state"] == "absent":
        return _undo(host, runner)
    topology = read_topology(host)
    partition = plan_partition(topology, intent_from(parameters))
    if not host.root:
        plan_tuned(host, runner, take_over=parameters["tuned"] == "take_over")
    if partition.isolation == "runtime":
        check_layout(host)
        _check_arguments(host, partition)
        old = read_partition(host)
        if old is not None:
            check_moves(read_users(host, old), old, partition)
        plan_slices(host, partition)
    else:
        host.restore_files(only=DROP_INS.values())
    document = json.dumps(partition.to_document(), indent=1, sort_keys=True) + "\n"
    host.set_file(DOCUMENT, document.encode(), reason="the partition document")
    plan_service(host)
    check_priority_limit(parameters["priority_limit"])
    options = {name: parameters[name] for name in ("rt_throttling", "priority_limit", "cycle_cpus")}
    waits = plan_feature(host, "cpu_partition", partition, options)
    return {
        **describe(host, topology, partition),
        "deferred": waits,
        "not_at_runtime": _not_at_runtime(host, partition),
        "after_commit": partial(_settle, host, runner, partition, options),
    }


def _check_arguments(host: Host, partition: Partition) -> None:
    """Refuse CPUs that the kernel command line isolates for good, unless the next boot will be ours and without it."""
    both = read_kernel(host).isolated & partition.isolated
    if both and not host.exists(config_path("kernel_arguments")):
        raise PartitionError(
            f"cpu_partition_isolation: runtime cannot have CPUs {format_cpulist(both)}: isolcpus= on the kernel command line isolates them until "
            "the next boot. Remove it there and reboot, or use cpu_partition_isolation: boot"
        )


def _not_at_runtime(host: Host, partition: Partition) -> list[dict[str, str]]:
    """Return what mode ``runtime`` cannot give, since the kernel takes it at boot alone."""
    if partition.isolation != "runtime":
        return []
    arguments = isolation_arguments(partition, read_machine(host), ArgumentPolicy())
    running = set(read_kernel(host).cmdline)
    return [{"argument": item.token, "reason": item.reason} for item in arguments if item.token not in running]


def _settle(host: Host, runner: Runner, partition: Partition, options: dict[str, Any]) -> None:
    """Let systemd read changed units; a tuned that was switched off has put its own values back, so look again."""
    changed = {change.resource for change in host.changes}
    if changed & {*UNIT_TEXTS, *DROP_INS.values()}:
        reload_systemd(host, runner)
    if TUNED in changed and not host.dry:
        plan_feature(host, "cpu_partition", partition, options)
        host.commit()


def describe(host: Host, topology: Topology, partition: Partition) -> dict[str, Any]:
    """Return what both cpu_partition and cpu_partition_info say of a planned partition."""
    kernel = read_kernel(host)
    return {
        "partition": partition.to_document(),
        "table": plan_table(partition, topology),
        "kernel": {"release": kernel.release, "realtime": kernel.realtime},
        "realtime_guests": realtime_guests(host),
    }


def _undo(host: Host, runner: Runner) -> dict[str, Any]:
    partition = read_partition(host)
    units = bool(set(host.entries("file")) & {*UNIT_TEXTS, *DROP_INS.values()} or host.entries("cgroup"))
    restore_tuned(host, runner)
    restore_partitions(host, partition)
    undo_feature(host)
    return {
        "partition": partition.to_document() if partition else {},
        "table": [],
        "kernel": {"release": read_kernel(host).release, "realtime": read_kernel(host).realtime},
        "realtime_guests": realtime_guests(host),
        "deferred": False,
        "not_at_runtime": [],
        "after_commit": partial(_finish_undo, host, runner) if units else None,
    }


def _finish_undo(host: Host, runner: Runner) -> None:
    reload_systemd(host, runner)
    restore_controllers(host)
    host.commit()
