# SPDX-License-Identifier: GPL-3.0-or-later
"""The feature of cpu_partition. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.partition import Partition
from .._host.afterwards import afterwards
from .._host.host import Host
from .._host.kernel import read_online
from .._isolation.cgroups import check_layout, plan_partitions, plan_slice_values
from .._isolation.hotplug import is_switch, plan_cycles
from .cpu_settings import FAIR_SERVERS, THROTTLING_CHOICES, runtime_settings
from .feature import Feature, one_of, plan_settings
from .kernel_threads import plan_threads
from .priorities import PRIORITY_LIMITS
from .settings import RT_RUNTIME

#: What the journal holds from the first change of a run until the last one is made.
ALL_MADE = "cpu_partition: all values are made"


def _plan_cpu_partition(host: Host, partition: Partition, options: Mapping[str, Any]) -> None:
    if partition.isolation == "runtime":
        check_layout(host)
        plan_slice_values(host, partition, first=True)
        if options["cycle_cpus"]:
            plan_cycles(host, partition)
        plan_partitions(host, partition, read_online(host))
        plan_slice_values(host, partition, first=False)
    settings = runtime_settings(partition, options["rt_throttling"], servers=bool(host.glob(FAIR_SERVERS)))
    plan_settings(host, settings)
    wanted = {setting.path for setting in settings}
    # what another policy, or another partition, had set
    others = [path for path in host.entries("value") if path not in wanted and not is_switch(path)]
    host.restore_values(only=others, last=[RT_RUNTIME])
    plan_threads(host, partition, options["priority_limit"])
    # while this is in the journal, a run has not made all of them; the gate of real-time guests asks
    afterwards(host, ALL_MADE, lambda: None, due=bool(host.changes))


CPUS = Feature(
    "cpu_partition",
    "cpu_partition",
    _plan_cpu_partition,
    {
        "rt_throttling": one_of(*THROTTLING_CHOICES),
        "priority_limit": one_of(*PRIORITY_LIMITS),
        "cycle_cpus": one_of(True, False),
    },
    {"rt_throttling": THROTTLING_CHOICES[0], "priority_limit": 1, "cycle_cpus": False},
)
