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

from ._change import Change
from ._host import Host, HostError
from ._interrupts import plan_interrupts
from ._kthreads import plan_threads, restore_threads
from ._partition import Partition, PartitionError, partition_from_document
from ._settings import THROTTLING_CHOICES, Setting, c1_latency, power_settings, runtime_settings
from ._sysfs import read_kernel

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


def must_wait(host: Host, partition: Partition) -> bool:
    """Whether run-time values wait for a reboot: the running kernel does not isolate the partition's CPUs yet.

    They are then made by the boot service, on the kernel they are meant for.
    """
    return partition.isolation == "boot" and not partition.isolated <= read_kernel(host).isolated


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
    plan_settings(host, runtime_settings(partition, options["rt_throttling"]))
    plan_threads(host, partition)


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


#: Feature (its module's name) to what it does at run time.
FEATURES: dict[str, Callable[[Host, Partition, Mapping[str, Any]], None]] = {
    "cpu_partition": _plan_cpu_partition,
    "cpu_power": _plan_cpu_power,
    "irq_affinity": _plan_irq_affinity,
}


#: Feature to the role that configures it.
ROLES = {"cpu_partition": "cpu_partition", "cpu_power": "power", "irq_affinity": "irq_affinity"}

#: Feature to its options in the file that the boot service reads, each with its choices.
_OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu_partition": {"rt_throttling": THROTTLING_CHOICES},
    "cpu_power": {"governor": ("performance", "keep"), "turbo": ("keep", "off"), "cstates": ("C1", "C0", "keep")},
    "irq_affinity": {},
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
    host.restore_files()


def configured_features(host: Host) -> dict[str, Mapping[str, Any]]:
    """Return the features whose options are on the node, with their options."""
    found: dict[str, Mapping[str, Any]] = {}
    for feature in FEATURES:
        text = host.read(config_path(feature))
        if text is None:
            continue
        try:
            options = json.loads(text)
            _check_options(feature, options)
        except ValueError as error:
            path, role = config_path(feature), ROLES[feature]
            raise HostError(f"{path} is damaged ({error}); run the {role} role to write it anew") from None
        found[feature] = options
    return found


def _check_options(feature: str, options: Any) -> None:
    """Raise ``ValueError`` when options are not those that the module writes."""
    known = _OPTIONS[feature]
    if not isinstance(options, dict) or set(options) != set(known):
        raise ValueError(f"it should hold {', '.join(known) or 'no option'}")
    for name, choices in known.items():
        if options[name] not in choices:
            raise ValueError(f"{name} is {options[name]!r}, not one of {', '.join(choices)}")
