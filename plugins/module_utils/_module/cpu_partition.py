# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition: the partition of a node, its partition file, its run-time settings and its boot service."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from .._boot.planned_arguments import ArgumentPolicy, isolation_arguments
from .._cpus.counts import parse_counts
from .._cpus.cpulist import format_cpulist
from .._cpus.document import describe_cpus, to_document
from .._cpus.guest_partition import check_same_machine, plan_guest_partition, read_definition
from .._cpus.partition import Partition, PartitionError
from .._cpus.planning import Intent, plan_partition
from .._cpus.topology import Topology
from .._devices.binding import former_names
from .._guests.instances import check_taken
from .._guests.libvirt import Connection
from .._host.afterwards import plan_reload
from .._host.document import read_partition
from .._host.host import Host
from .._host.kernel import read_kernel, read_machine
from .._host.paths import DOCUMENT, config_path
from .._host.sysfs import read_topology
from .._host.threads import realtime_guests
from .._host.tuning_daemons import TUNED, plan_tuned
from .._isolation.cgroups import DROP_INS, check_layout, plan_slices
from .._isolation.holders import check_moves
from .._isolation.hotplug import check_all_on, plan_recovery
from .._isolation.users import read_users
from .._node.archive import UNIT_TEXTS, plan_service
from .._runtime.cache import CACHE, cache_lines, plan_cache
from .._runtime.cpus import CPUS
from .._runtime.feature import plan_feature
from .._runtime.policies import SMT, THROTTLING, WATCHDOG, chosen
from .._runtime.priorities import check_priority_limit
from .._runtime.undo import undo_partition
from .._runtime.watchdog import WATCHDOG as WATCHDOG_FILE
from .._runtime.watchdog import check_seconds, plan_watchdog
from .._tables import plan_table
from ._common import LIMIT, Outcome
from ._guest_edges import GuestEdges
from ._specs import INSIDE

#: The module's options; M(cpu_partition) describes them.
OPTIONS: dict[str, Any] = {
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent", "recovered"], "default": "present"},
    "housekeeping_cores_per_node": {"type": "raw", "default": 1},
    "dataplane_cores_per_node": {"type": "raw", "default": 0},
    "dataplane_devices": {"type": "list", "elements": "str", "default": []},
    "shared_cores_per_node": {"type": "raw", "default": 0},
    "realtime": {"type": "raw", "default": "rest"},
    "smt": {"type": "str", "choices": ["together", "single"], "default": "single"},
    "isolation": {"type": "str", "choices": ["boot", "runtime"], "default": "boot"},
    "cpus": {"type": "dict", "default": {}},
    "guest": INSIDE,
    "cycle_cpus": {"type": "bool", "default": False},
    "priority_limit": {"type": "int", "default": 1},
    "rt_throttling": {"type": "str", "choices": ["budget", "unlimited", "kernel"], "default": "budget"},
    "hardware_watchdog_s": {"type": "int", "default": 60},
    "cache": {"type": "raw", "default": False},
    "cache_l2": {"type": "raw", "default": False},
    "cache_code_data": {"type": "bool", "default": False},
    "memory_bandwidth": {"type": "int", "default": 0},
    "uncore_frequency": {"type": "str", "choices": ["keep", "max"], "default": "keep"},
    "tuned": {"type": "str", "choices": ["refuse", "take_over"], "default": "refuse"},
    "fsroot": {"type": "path", "default": "/"},
}


def intent_from(parameters: dict[str, Any]) -> Intent:
    """Return the operator's request; a CPU list that YAML has read as a number is refused, not guessed."""
    cpus = {}
    for name, value in (parameters["cpus"] or {}).items():
        if value is None or value == []:
            raise PartitionError(f"cpu_partition_cpus.{name}: the list is empty; name CPUs or leave the key out")
        if not isinstance(value, str):
            raise PartitionError(
                f"cpu_partition_cpus.{name}: {value!r} is a {type(value).__name__}, not a CPU list; {_advice(name, value)}"
            )
        cpus[name] = value
    realtime = parameters["realtime"]
    if isinstance(realtime, bool) or not isinstance(realtime, (int, str)):
        raise PartitionError(f"cpu_partition_realtime: {realtime!r} is neither 'rest' nor a number of cores per NUMA node")
    counts = ("housekeeping_cores_per_node", "dataplane_cores_per_node", "shared_cores_per_node")
    return Intent(
        **{name: parse_counts(f"cpu_partition_{name}", parameters[name]) for name in counts},
        dataplane_devices=tuple(parameters["dataplane_devices"]),
        realtime=str(realtime),
        smt=parameters["smt"],
        isolation=parameters["isolation"],
        cpus=cpus,
    )


def _advice(name: str, value: Any) -> str:
    if isinstance(value, (bool, dict)):
        return f'write one as text, such as {name}: "4-7"'
    text = ",".join(str(item) for item in value) if isinstance(value, (list, tuple)) else str(value)
    return f'quote it ({name}: "{text}"), since YAML reads an unquoted one as a number'


def run(edges: GuestEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the partition: its partition file, its boot service and its run-time values."""
    host, runner = edges.host, edges.runner
    if parameters["state"] == "recovered":
        plan_recovery(host)
        return Outcome({})
    if parameters["state"] == "absent":
        return _undo(edges)
    if parameters.get("guest"):
        _check_guest(host, parameters["guest"]["name"])
    check_all_on(host)
    topology = read_topology(host)
    partition = _plan(host, topology, parameters)
    before = _documented(host)
    check_same_machine(before, partition)
    if before is None or not before.is_same(partition):
        check_taken(host, partial(_connect, edges), before, partition)
    if parameters["cycle_cpus"] and partition.isolation == "boot":
        host.notes.append(
            "cpu_partition_cycle_cpus: true has no effect with cpu_partition_isolation: boot, where the kernel isolates the CPUs before "
            "anything runs there; remove it"
        )
    if not host.captured:
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
    documented = before is not None and before.is_same(partition)
    document = json.dumps(to_document(partition), indent=1, sort_keys=True) + "\n"
    host.set_file(DOCUMENT, document.encode(), reason="the partition file")
    plan_service(host)
    check_priority_limit(parameters["priority_limit"])
    seconds = check_seconds(parameters["hardware_watchdog_s"])
    policies = chosen({SMT: partition.smt, THROTTLING: parameters["rt_throttling"], WATCHDOG: seconds}, _policies_before(host))
    options = {name: parameters[name] for name in CPUS.options}
    waits = plan_feature(host, CPUS, partition, options)
    caches = {name: parameters[name] for name in CACHE.options}
    plan_cache(host, partition, caches)
    hardware_watchdog = plan_watchdog(host, seconds)
    units = {*UNIT_TEXTS, *DROP_INS.values(), WATCHDOG_FILE}
    plan_reload(host, runner, due=any(change.resource in units for change in host.changes))
    results = {
        **describe(host, topology, partition),
        "topology": describe_cpus(topology),
        "policies": policies,
        "hardware_watchdog": hardware_watchdog,
        "cache": cache_lines(host, partition, caches),
        "deferred": waits,
        "documented": documented,
        "not_at_runtime": _not_at_runtime(host, partition),
    }
    return Outcome(results, after=partial(_settle, edges, topology, partition, options, caches))


def _plan(host: Host, topology: Topology, parameters: dict[str, Any]) -> Partition:
    if not parameters.get("guest"):
        return plan_partition(_with_former_names(host, topology), intent_from(parameters))
    return plan_guest_partition(topology, read_definition(parameters["guest"]), parameters["isolation"])


def _with_former_names(host: Host, topology: Topology) -> Topology:
    """Return the topology with the names of devices that the switch has, since an inventory that names them does so for good."""
    names = former_names(host)
    devices = [device if device.name else replace(device, name=names.get(device.address or "")) for device in topology.devices]
    return replace(topology, devices=tuple(devices))


def _check_guest(host: Host, name: str) -> None:
    """Refuse what answers in the place of a guest and is no Linux, or no virtual machine."""
    if host.captured:
        return
    if host.value("/proc/sys/kernel/ostype") != "Linux":
        raise PartitionError(
            f"guest {name} runs no Linux, whose inside alone can be set up here; take it out of the group realtime_guest_os, and give its guest_os in the "
            "list of its node"
        )
    machine = read_machine(host)
    if machine.x86 and "hypervisor" not in machine.cpu_flags:
        raise PartitionError(
            f"guest {name}: the machine that answers is no virtual machine, so it is none of a node's guests; correct its ansible_host. If it is the "
            "guest, its definition hides that (a CPU feature hypervisor with policy disable); take that away"
        )


def _connect(edges: GuestEdges) -> Connection | None:
    return edges.libvirt.connect(edges.host) if edges.libvirt.installed(edges.host) else None


def _documented(host: Host) -> Partition | None:
    """Return the partition of the node's document, None where it has none that can be read: it is written again then."""
    try:
        return read_partition(host)
    except PartitionError:
        return None


def _policies_before(host: Host) -> dict[str, str]:
    """Return the policies that the node has until now; a file that cannot be read is written again, so it names none."""
    found = {}
    for variable, path, key in ((SMT, DOCUMENT, "smt"), (THROTTLING, config_path(CPUS.name), "rt_throttling")):
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            found[variable] = str(json.loads(host.read(path) or "")[key])
    return found


def _check_arguments(host: Host, partition: Partition) -> None:
    """Refuse CPUs that the kernel command line isolates, unless the next boot uses planned arguments without that."""
    both = read_kernel(host).isolated & partition.isolated
    if both and not host.exists(config_path("kernel_arguments")):
        raise PartitionError(
            f"cpu_partition_isolation: runtime cannot have CPUs {format_cpulist(both)}: "
            "isolcpus= on the kernel command line isolates them until "
            "the next boot. Remove it there and reboot, or use cpu_partition_isolation: boot"
        )


def _not_at_runtime(host: Host, partition: Partition) -> list[dict[str, str]]:
    """Return the effects that mode ``runtime`` lacks, since the kernel takes them only at boot."""
    if partition.isolation != "runtime":
        return []
    arguments = isolation_arguments(partition, read_machine(host), ArgumentPolicy())
    running = set(read_kernel(host).cmdline)
    return [{"argument": item.token, "reason": item.reason} for item in arguments if item.token not in running]


def _settle(
    edges: GuestEdges, topology: Topology, partition: Partition, options: dict[str, Any], caches: dict[str, Any]
) -> dict[str, Any]:
    """Set values again that a tuned has restored while it was switched off."""
    host = edges.host
    if TUNED in {change.resource for change in host.changes}:
        plan_feature(host, CPUS, partition, options)
    return {**describe(host, topology, read_partition(host) or partition), "cache": cache_lines(host, partition, caches)}


def describe(host: Host, topology: Topology, partition: Partition) -> dict[str, Any]:
    """Return the results about a planned partition that cpu_partition and cpu_partition_info share."""
    kernel = read_kernel(host)
    return {
        "partition": to_document(partition),
        "table": plan_table(partition, topology),
        "kernel": {"release": kernel.release, "realtime": kernel.realtime},
        "realtime_guests": realtime_guests(host),
    }


def _undo(edges: GuestEdges) -> Outcome:
    host = edges.host
    partition = read_partition(host)
    check_taken(host, partial(_connect, edges), partition, None)
    undo_partition(host, partition, edges.runner, [*UNIT_TEXTS, WATCHDOG_FILE])
    kernel = read_kernel(host)
    return Outcome(
        {
            "partition": to_document(partition) if partition else {},
            "topology": {},
            "table": [],
            "kernel": {"release": kernel.release, "realtime": kernel.realtime},
            "realtime_guests": realtime_guests(host),
            "policies": [],
            "hardware_watchdog": "",
            "cache": [],
            "deferred": False,
            "documented": partition is not None,
            "not_at_runtime": [],
        }
    )
