# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing that a node is made to hold while it runs: its options, its plan, its undo. Edge.

Modules and boot service share it: what the module does now, the boot service does after a reboot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._cpus.cpulist import parse_or_empty
from .._cpus.errors import HostError
from .._cpus.partition import Partition
from .._host.change import Change
from .._host.host import Host
from .._host.paths import config_path
from .settings import Setting

#: The CPUs that the running kernel isolates (isolcpus=).
ISOLATED = "/sys/devices/system/cpu/isolated"


def must_wait(host: Host, partition: Partition) -> bool:
    """Whether run-time values wait for a reboot: the running kernel does not isolate the partition's CPUs yet.

    They are then made by the boot service, on the kernel they are meant for.
    """
    isolated = parse_or_empty(host.value(ISOLATED))
    if partition.isolation == "runtime":
        return bool(partition.isolated & isolated)  # isolcpus= cannot be taken back before the reboot
    return not partition.isolated <= isolated


def one_of(*choices: object) -> Callable[[Any], str]:
    """Return a check for one of several values."""
    return lambda value: "" if value in choices else f"not one of {', '.join(map(str, choices))}"


@dataclass(frozen=True)
class Feature:
    """One thing that the node is made to hold at run time."""

    name: str  #: that of its module
    role: str  #: the role that configures it
    plan: Callable[[Host, Partition, Mapping[str, Any]], None]
    #: Its options in the file that the boot service reads, each with a check that returns what is wrong with a value.
    options: Mapping[str, Callable[[Any], str]]


def plan_feature(host: Host, feature: Feature, partition: Partition, options: Mapping[str, Any]) -> bool:
    """Plan a feature: its options for the boot service and, unless a reboot comes first, its values now.

    Returns whether the values wait for the reboot.
    """
    content = json.dumps(dict(options), indent=1, sort_keys=True) + "\n"
    host.set_file(config_path(feature.name), content.encode(), reason="options for the boot service")
    waits = must_wait(host, partition)
    if not waits:
        feature.plan(host, partition, options)
    return waits


def undo_feature(host: Host) -> None:
    """Plan to put back the values, links and files that the host's owner has changed; its threads and lines are the caller's."""
    host.restore_values()
    host.restore_links()
    host.restore_files()


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
