# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node is made to hold while it runs, by feature.

Edge. The modules and the node's boot service share these functions: a feature's options are kept in
``/etc/realtime-kvm/<feature>.json``, so that the boot service does after a reboot what the module does now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ._cgroups import plan_partitions, plan_slice_values
from ._change import Change
from ._guest import PAGE_MIB
from ._host import Host, HostError
from ._hotplug import plan_cycles
from ._interrupts import plan_interrupts
from ._kthreads import plan_threads, restore_threads
from ._memory import plan_pages
from ._partition import Partition, PartitionError, partition_from_document
from ._settings import PRIORITY_LIMITS, THROTTLING_CHOICES, Setting, c1_latency, kvm_settings, power_settings, runtime_settings
from ._sysfs import read_kernel, read_online
from ._topology import Topology

DOCUMENT = "/etc/ansible/facts.d/realtime_partition.fact"
CONFIG_DIR = "/etc/realtime-kvm"


def read_partition(host: Host) -> Partition | None:
    """Return the partition of the node's document, None where there is no document."""
    text = host.read(DOCUMENT)
    if text is None:
        return None
    try:
        return partition_from_document(json.loads(text))
    except (ValueError, PartitionError) as error:
        raise PartitionError(f"{DOCUMENT}: {error}") from None


def require_partition(host: Host, given: Mapping[str, Any] | None) -> Partition:
    """Return the partition given by the caller, else the node's; ``PartitionError`` when there is none."""
    if given:
        return partition_from_document(given)
    partition = read_partition(host)
    if partition is None:
        raise PartitionError(
            f"there is no partition on this node ({DOCUMENT} is missing); run the cpu_partition role first, or pass partition"
        )
    return partition


def require_current_partition(host: Host, topology: Topology, given: Mapping[str, Any] | None) -> Partition:
    """Return the partition; ``PartitionError`` when it was made for other CPUs than the machine has now."""
    partition = require_partition(host, given)
    if partition.topology_digest != topology.digest():
        raise PartitionError(
            "the partition document is of another topology than the node has now (CPUs were added, removed or renumbered); "
            "run the cpu_partition role (site playbook) before its guests are changed"
        )
    return partition


def must_wait(host: Host, partition: Partition) -> bool:
    """Whether run-time values wait for a reboot: the running kernel does not isolate the partition's CPUs yet.

    They are then made by the boot service, on the kernel they are meant for.
    """
    isolated = read_kernel(host).isolated
    if partition.isolation == "runtime":
        return bool(partition.isolated & isolated)  # isolcpus= cannot be taken back before the reboot
    return not partition.isolated <= isolated


def plan_settings(host: Host, settings: Iterable[Setting]) -> None:
    """Plan every file that does not hold its value; a pattern covers all the files that match."""
    done: set[str] = set()
    for setting in settings:
        for path in host.glob(setting.path):
            current = host.value(path)
            if current is None:
                host.notes.append(f"{path} cannot be read, so it was left alone (is the kernel locked down?)")
            if path in done or current is None or setting.holds(current):
                continue
            done.add(path)
            before = setting.simplify(current)
            change = Change(path, before, setting.value, setting.disruption, setting.reason)
            host.change(change, partial(_set, host, setting, path), kind="value")


def _set(host: Host, setting: Setting, path: str) -> None:
    host.write_value(path, setting.value)
    current = host.value(path)
    if current is not None and not setting.holds(current):
        raise HostError(f"{path}: {setting.value!r} was written, but the kernel shows {current!r}")


def _plan_cpu_partition(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    if partition.isolation == "runtime":
        plan_slice_values(host, partition, first=True)
        if options["cycle_cpus"]:
            plan_cycles(host, partition)
        plan_partitions(host, partition, read_online(host))
        plan_slice_values(host, partition, first=False)
    plan_settings(host, runtime_settings(partition, options["rt_throttling"]))
    plan_threads(host, partition, options["priority_limit"])


def _plan_cpu_power(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    limit = options["cstates"]
    latency = {"C1": c1_latency(_idle_states(host, partition)), "C0": "n/a", "keep": None}[limit]
    plan_settings(
        host,
        power_settings(partition, latency_us=latency, turbo=options["turbo"], performance=options["governor"] == "performance"),
    )


def _idle_states(host: Host, partition: Partition) -> list[tuple[str, int]]:
    cpu = min(partition.isolated, default=partition.boot_cpu)
    states = []
    for base in host.glob(f"/sys/devices/system/cpu/cpu{cpu}/cpuidle/state[0-9]*"):
        name, latency = host.value(f"{base}/name") or "", host.value(f"{base}/latency") or ""
        if latency.isdecimal():
            states.append((name, int(latency)))
    return states


def _plan_irq_affinity(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    del options  # the partition says it all
    plan_interrupts(host, partition)


def _plan_kvm_host(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    del partition  # the numbers follow from it already
    plan_pages(host, options["pages"])
    settings = kvm_settings(options["nx_huge_pages"], options["halt_poll_ns"])
    plan_settings(host, [setting for setting in settings if host.value(setting.path) != "never"])  # off for good already


#: Feature (its module's name) to what it does at run time.
FEATURES: dict[str, Callable[[Host, Partition, Mapping[str, Any]], None]] = {
    "cpu_partition": _plan_cpu_partition,
    "cpu_power": _plan_cpu_power,
    "irq_affinity": _plan_irq_affinity,
    "kvm_host": _plan_kvm_host,
}


#: Feature to the role that configures it.
ROLES = {"cpu_partition": "cpu_partition", "cpu_power": "power", "irq_affinity": "irq_affinity", "kvm_host": "kvm_host"}


def _one_of(*choices: object) -> Callable[[Any], str]:
    """Return a check for one of several values."""
    return lambda value: "" if value in choices else f"not one of {', '.join(map(str, choices))}"


def _check_pages(pages: Any) -> str:
    good = isinstance(pages, dict) and all(
        node.isdecimal()
        and isinstance(sizes, dict)
        and set(sizes) <= set(PAGE_MIB)
        and all(isinstance(count, int) and count > 0 for count in sizes.values())
        for node, sizes in pages.items()
    )
    return "" if good else "not numbers of pages by NUMA node and size"


def _check_halt_poll(value: Any) -> str:
    return "" if isinstance(value, int) and value >= -1 else "not a number of nanoseconds (-1: left alone)"


#: Feature to its options in the file that the boot service reads, each with a check that says what is wrong with a value.
_OPTIONS: dict[str, dict[str, Callable[[Any], str]]] = {
    "cpu_partition": {
        "rt_throttling": _one_of(*THROTTLING_CHOICES),
        "priority_limit": _one_of(*PRIORITY_LIMITS),
        "cycle_cpus": _one_of(True, False),
    },
    "cpu_power": {
        "governor": _one_of("performance", "keep"),
        "turbo": _one_of("keep", "off"),
        "cstates": _one_of("C1", "C0", "keep"),
    },
    "irq_affinity": {},
    "kvm_host": {"pages": _check_pages, "nx_huge_pages": _one_of("keep", "off"), "halt_poll_ns": _check_halt_poll},
}


def config_path(feature: str) -> str:
    """Return the file that keeps a feature's options on the node."""
    return f"{CONFIG_DIR}/{feature}.json"


def plan_feature(host: Host, feature: str, partition: Partition, options: Mapping[str, Any]) -> bool:
    """Plan a feature: its options for the boot service and, unless a reboot comes first, its values now.

    Returns whether the values wait for the reboot.
    """
    content = json.dumps(dict(options), indent=1, sort_keys=True) + "\n"
    host.set_file(config_path(feature), content.encode(), reason="options for the boot service")
    waits = must_wait(host, partition)
    if not waits:
        FEATURES[feature](host, partition, options)
    return waits


def undo_feature(host: Host) -> None:
    """Plan to put back all that the host's owner has changed."""
    restore_threads(host)
    host.restore_values()
    host.restore_links()
    host.restore_lines()
    host.restore_files()


def configured_features(host: Host) -> dict[str, Mapping[str, Any]]:
    """Return the features whose options are on the node, with their options."""
    found = {feature: read_options(host, feature) for feature in FEATURES}
    return {feature: options for feature, options in found.items() if options is not None}


def read_options(host: Host, feature: str) -> Mapping[str, Any] | None:
    """Return the options of a feature that are on the node, None where it is not configured."""
    text = host.read(config_path(feature))
    if text is None:
        return None
    try:
        return _checked(feature, json.loads(text))
    except ValueError as error:
        path, role = config_path(feature), ROLES[feature]
        raise HostError(f"{path} is damaged ({error}); run the {role} role to write it anew") from None


def _checked(feature: str, options: Any) -> Mapping[str, Any]:
    """Return options; ``ValueError`` when they are not those that the module writes."""
    known = _OPTIONS[feature]
    if not isinstance(options, dict) or set(options) != set(known):
        raise ValueError(f"it should hold {', '.join(known) or 'no option'}")
    for name, check in known.items():
        wrong = check(options[name])
        if wrong:
            raise ValueError(f"{name} is {options[name]!r}, {wrong}")
    return options
