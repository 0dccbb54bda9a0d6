# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature of cpu_power. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.partition import Partition
from .._host.host import Host
from .feature import Feature, one_of, plan_settings
from .power_settings import c1_latency, power_settings


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


POWER = Feature(
    "cpu_power",
    "power",
    _plan_cpu_power,
    {"governor": one_of("performance", "keep"), "turbo": one_of("keep", "off"), "cstates": one_of("C1", "C0", "keep")},
    {"governor": "performance", "turbo": "keep", "cstates": "C1"},
)
