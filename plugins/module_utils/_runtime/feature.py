# SPDX-License-Identifier: GPL-3.0-or-later
"""A feature: run-time values of a node with their options, plan and undo. Edge.

A module makes the values now, the boot service makes them again after a reboot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .._cpus.cpulist import format_cpulist, parse_or_empty
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._host.paths import config_path
from .settings import RT_RUNTIME, Setting

#: The CPUs that the running kernel isolates (isolcpus=).
ISOLATED = "/sys/devices/system/cpu/isolated"


def why_waiting(host: Host, partition: Partition) -> str:
    """Return why run-time values must wait for a reboot: the running kernel does not isolate what the partition says.

    An empty text: they need not wait. The boot service makes them after a boot of the documented kernel.
    """
    isolated = parse_or_empty(host.value(ISOLATED))
    if partition.isolation == "runtime":
        both = partition.isolated & isolated
        # only a reboot undoes isolcpus=
        return (
            f"the running kernel isolates CPUs {format_cpulist(both)} (isolcpus=), but the node is isolated at run time"
            * bool(both)
        )
    bare = partition.isolated - isolated
    return (
        f"the running kernel does not isolate CPUs {format_cpulist(bare)} (isolated: {format_cpulist(isolated) or 'none'}), "
        "which the partition file isolates by the kernel's arguments"
    ) * bool(bare)


def must_wait(host: Host, partition: Partition) -> bool:
    """Whether run-time values must wait for a reboot."""
    return bool(why_waiting(host, partition))


def one_of(*choices: object) -> Callable[[Any], str]:
    """Return a check for these values."""
    return lambda value: "" if value in choices else f"not one of {', '.join(map(str, choices))}"


@dataclass(frozen=True)
class Feature:
    """Run-time values that belong together."""

    name: str  #: the module's
    role: str
    plan: Callable[[Host, Partition, Mapping[str, Any]], None]
    #: The options in the boot service's file, each with a check that returns what is wrong with a value.
    options: Mapping[str, Callable[[Any], str]]
    #: The value of each option in a file of a release that did not know it: the module's own default.
    defaults: Mapping[str, Any] = field(default_factory=dict)


def plan_feature(host: Host, feature: Feature, partition: Partition, options: Mapping[str, Any]) -> bool:
    """Plan the options for the boot service and, unless they wait for a reboot, the values; return whether they wait."""
    content = json.dumps(dict(options), indent=1, sort_keys=True) + "\n"
    host.set_file(config_path(feature.name), content.encode(), reason="options for the boot service")
    waits = must_wait(host, partition)
    if not waits:
        feature.plan(host, partition, options)
    return waits


def undo_feature(host: Host) -> None:
    """Plan to restore the owner's values, links and files; the caller restores threads and lines."""
    host.restore_values(last=[RT_RUNTIME])
    host.restore_links()
    host.restore_files()


def plan_settings(host: Host, settings: Iterable[Setting]) -> None:
    """Plan every file, of a pattern too, that does not hold its value."""
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
