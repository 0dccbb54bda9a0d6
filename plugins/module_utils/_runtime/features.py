# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node is made to hold while it runs, by feature.

Edge. The modules and the node's boot service share these functions: a feature's options are kept in
``/etc/realtime-kvm/<feature>.json``, so that the boot service does after a reboot what the module does now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._cpus.pages import PAGE_MIB
from .._cpus.partition import Partition
from .._host.errors import HostError
from .._host.host import Host
from .._host.paths import config_path
from .._host.sysfs import read_kernel, read_online
from .._host.threads import restore_threads
from .._interrupts.interrupts import plan_interrupts
from .._isolation.cgroups import plan_partitions, plan_slice_values
from .._isolation.hotplug import plan_cycles
from .._memory.pools import plan_pages
from .apply import plan_settings
from .kernel_threads import plan_threads
from .settings import PRIORITY_LIMITS, THROTTLING_CHOICES, c1_latency, kvm_settings, power_settings, runtime_settings


def must_wait(host: Host, partition: Partition) -> bool:
    """Whether run-time values wait for a reboot: the running kernel does not isolate the partition's CPUs yet.

    They are then made by the boot service, on the kernel they are meant for.
    """
    isolated = read_kernel(host).isolated
    if partition.isolation == "runtime":
        return bool(partition.isolated & isolated)  # isolcpus= cannot be taken back before the reboot
    return not partition.isolated <= isolated


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


@dataclass(frozen=True)
class Feature:
    """One thing that the node is made to hold at run time."""

    role: str  #: the role that configures it
    plan: Callable[[Host, Partition, Mapping[str, Any]], None]
    #: Its options in the file that the boot service reads, each with a check that returns what is wrong with a value.
    options: Mapping[str, Callable[[Any], str]]


#: Features by their module's name, in the order in which the boot service makes them.
FEATURES = {
    "cpu_partition": Feature(
        "cpu_partition",
        _plan_cpu_partition,
        {
            "rt_throttling": _one_of(*THROTTLING_CHOICES),
            "priority_limit": _one_of(*PRIORITY_LIMITS),
            "cycle_cpus": _one_of(True, False),
        },
    ),
    "cpu_power": Feature(
        "power",
        _plan_cpu_power,
        {
            "governor": _one_of("performance", "keep"),
            "turbo": _one_of("keep", "off"),
            "cstates": _one_of("C1", "C0", "keep"),
        },
    ),
    "irq_affinity": Feature("irq_affinity", _plan_irq_affinity, {}),
    "kvm_host": Feature(
        "kvm_host",
        _plan_kvm_host,
        {"pages": _check_pages, "nx_huge_pages": _one_of("keep", "off"), "halt_poll_ns": _check_halt_poll},
    ),
}


def plan_feature(host: Host, feature: str, partition: Partition, options: Mapping[str, Any]) -> bool:
    """Plan a feature: its options for the boot service and, unless a reboot comes first, its values now.

    Returns whether the values wait for the reboot.
    """
    content = json.dumps(dict(options), indent=1, sort_keys=True) + "\n"
    host.set_file(config_path(feature), content.encode(), reason="options for the boot service")
    waits = must_wait(host, partition)
    if not waits:
        FEATURES[feature].plan(host, partition, options)
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
        path, role = config_path(feature), FEATURES[feature].role
        raise HostError(f"{path} is damaged ({error}); run the {role} role to write it anew") from None


def _checked(feature: str, options: Any) -> Mapping[str, Any]:
    """Return options; ``ValueError`` when they are not those that the module writes."""
    known = FEATURES[feature].options
    if not isinstance(options, dict) or set(options) != set(known):
        raise ValueError(f"it should hold {', '.join(known) or 'no option'}")
    for name, check in known.items():
        wrong = check(options[name])
        if wrong:
            raise ValueError(f"{name} is {options[name]!r}, {wrong}")
    return options
