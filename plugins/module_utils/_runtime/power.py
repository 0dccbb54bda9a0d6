# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature of cpu_power. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.partition import Partition
from .._host.host import Host
from .feature import Feature, one_of, plan_settings
from .power_settings import AWAKE, is_limit, limit_path, power_settings, shallowest


def _plan_cpu_power(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    cpus = () if options["cstates"] == "keep" else partition.isolated
    limits = {cpu: AWAKE if options["cstates"] == "C0" else shallowest(_idle_states(host, cpu)) for cpu in cpus}
    performance = options["governor"] == "performance"
    plan_settings(host, power_settings(partition, limits=limits, turbo=options["turbo"], performance=performance))
    # CPUs that have left these sets; what an option no longer sets stays, as its page says
    stay = {limit_path(cpu) for cpu in partition.sets["realtime"] | partition.sets["dataplane"]}
    host.restore_values(only=[path for path in host.entries("value") if is_limit(path) and path not in stay])


def _idle_states(host: Host, cpu: int) -> list[tuple[str, int]]:
    states = []
    for base in host.glob(f"/sys/devices/system/cpu/cpu{cpu}/cpuidle/state[0-9]*"):
        name, latency = host.value(f"{base}/name") or "", host.value(f"{base}/latency") or ""
        if latency.isdecimal() and host.value(f"{base}/disable") in (None, "0"):
            states.append((name, int(latency)))
    return states


POWER = Feature(
    "cpu_power",
    "power",
    _plan_cpu_power,
    {"governor": one_of("performance", "keep"), "turbo": one_of("keep", "off"), "cstates": one_of("C1", "C0", "keep")},
    {"governor": "performance", "turbo": "keep", "cstates": "C1"},
)
