# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with the kernel's knobs, and runs that make a feature on it."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.realtime.kvm.plugins.module_utils._runtime.feature import (
    plan_feature,
)
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.features import FEATURES
from unit.trees import plan, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
CPU = "/sys/devices/system/cpu"
OPTIONS = {
    "cpu_partition": {"rt_throttling": "budget", "priority_limit": 1, "cycle_cpus": False},
    "cpu_cache": {"cache": True, "cache_l2": False, "memory_bandwidth": 0, "cache_code_data": False, "uncore_frequency": "max"},
    "cpu_power": {"governor": "performance", "turbo": "off", "cstates": "C1"},
    "irq_affinity": {},
    "kvm_host": {
        "pages": {"0": {"2M": 96, "1G": 1}},
        "nx_huge_pages": "off",
        "halt_poll_ns": 0,
        "virtual_functions": {},
        "devices": {},
    },
}
KNOBS = {
    "/proc/sys/kernel/timer_migration": "1\n",
    "/proc/sys/vm/swappiness": "60\n",
    "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages": "64\n",
    "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages": "60\n",
    "/sys/module/kvm/parameters/nx_huge_pages": "Y\n",
    "/sys/module/kvm/parameters/halt_poll_ns": "200000\n",
    "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "/sys/devices/virtual/workqueue/cpumask": "f\n",
    "/sys/devices/virtual/workqueue/writeback/cpumask": "0000000f\n",
    "/sys/kernel/debug/sched/fair_server/cpu0/runtime": "50000000\n",
    "/sys/kernel/debug/sched/fair_server/cpu1/runtime": "50000000\n",
    "/sys/kernel/debug/sched/fair_server/cpu1/period": "1000000000\n",
    f"{CPU}/cpufreq/policy0/scaling_governor": "powersave\n",
    f"{CPU}/cpufreq/policy1/scaling_governor": "performance\n",
    f"{CPU}/intel_pstate/no_turbo": "0\n",
    f"{CPU}/cpu1/cpuidle/state0/name": "POLL\n",
    f"{CPU}/cpu1/cpuidle/state0/latency": "0\n",
    f"{CPU}/cpu1/cpuidle/state1/name": "C1\n",
    f"{CPU}/cpu1/cpuidle/state1/latency": "2\n",
    f"{CPU}/cpu1/cpuidle/state2/name": "C6\n",
    f"{CPU}/cpu1/cpuidle/state2/latency": "133\n",
    **{f"{CPU}/cpu{cpu}/power/pm_qos_resume_latency_us": "0\n" for cpu in range(4)},
    "/proc/irq/default_smp_affinity": "f\n",
    "/proc/irq/9/smp_affinity_list": "0-3\n",
    "/proc/irq/9/acpi/": None,
}


def run(root, planner, owner="cpu_partition"):
    host = writable(root, owner)
    with host.locked():
        planner(host)
        host.commit()
    return host


def apply(root, feature, partition=PARTITION, **options):
    return run(root, lambda host: plan_feature(host, FEATURES[feature], partition, {**OPTIONS[feature], **options}), feature)


def text(root, path):
    return Path(f"{root}{path}").read_text().strip()
