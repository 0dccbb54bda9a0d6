# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verification of a running node: silent when all is right, exact when something is not."""

import os

import pytest
from integration.lab import module

NODE = os.environ.get("LAB_NODES", "node1")

#: What is done to the node, the finding that must name it (its rule, and how its resource begins), and what undoes it.
SABOTAGES = {
    "sysctl": (
        "echo 3 > /proc/sys/vm/stat_interval",
        ("setting", "/proc/sys/vm/stat_interval"),
        "echo 10 > /proc/sys/vm/stat_interval",
    ),
    "workqueue": (
        "echo fff > /sys/devices/virtual/workqueue/cpumask",
        ("setting", "/sys/devices/virtual/workqueue/cpumask"),
        "echo c3 > /sys/devices/virtual/workqueue/cpumask",
    ),
    "interrupt": (
        "systemctl service-watchdogs no; systemctl freeze realtime-kvm-watch; echo 2 > /proc/irq/9/smp_affinity_list",
        ("interrupt", "IRQ 9 (acpi)"),
        "echo 0-1 > /proc/irq/9/smp_affinity_list; systemctl thaw realtime-kvm-watch; systemctl service-watchdogs yes",
    ),
    "idle state": (
        "echo 0 > /sys/devices/system/cpu/cpu2/power/pm_qos_resume_latency_us",
        ("setting", "/sys/devices/system/cpu/cpu2/power/pm_qos_resume_latency_us"),
        "echo 1 > /sys/devices/system/cpu/cpu2/power/pm_qos_resume_latency_us",
    ),
    "wandering task": ("taskset -c 0-2 sleep 300 >/dev/null 2>&1 &", ("task", "sleep"), "pkill -x sleep"),
    "kernel thread": (
        "taskset -cp 0-11 $(pgrep -x oom_reaper)",
        ("kthread", "thread:oom_reaper:"),
        "taskset -cp 0-1,6-7 $(pgrep -x oom_reaper)",
    ),
    "another tuning daemon": (
        "ln -s /lib/systemd/system/numad.service /etc/systemd/system/multi-user.target.wants/",
        ("tuning-daemon", "numad.service"),
        "rm /etc/systemd/system/multi-user.target.wants/numad.service",
    ),
    "document gone": (
        "mv /etc/ansible/facts.d/realtime_partition.fact /root/",
        ("document-missing", "/etc/ansible/facts.d/realtime_partition.fact"),
        "mv /root/realtime_partition.fact /etc/ansible/facts.d/",
    ),
    "CPU offline": (
        "echo 0 > /sys/devices/system/cpu/cpu11/online",
        ("topology-changed", "partition file"),
        # virtio_net then spreads its interrupts over all CPUs, which the boot service puts right
        "echo 1 > /sys/devices/system/cpu/cpu11/online && systemctl restart realtime-kvm.service",
    ),
}


#: A look at the node takes a third of a minute under emulation, so what touches different things is broken at once. Without
#: its partition file, or with another topology, a node is compared with something else: these two stand alone.
ALONE = ("document gone", "CPU offline")
BATCHES = {"different things": [name for name in SABOTAGES if name not in ALONE], **{name: [name] for name in ALONE}}

#: Roles that this scenario leaves out; site.yml has them all.
LEFT_OUT = {("unconfigured", "/etc/realtime-kvm/kernel_arguments.json")}


def drift():
    """What rt_audit finds; what cpu_partition_info finds is among it."""
    result = module(NODE, "realtime.kvm.rt_audit")
    assert not result.get("changed")
    assert not result["failed"], result
    return [found for item in result["findings"] if (found := (item["rule"], item["resource"])) not in LEFT_OUT]


def test_a_converged_node_has_no_finding():
    assert drift() == []
    assert module(NODE, "realtime.kvm.cpu_partition_info")["drift"] == []


@pytest.mark.parametrize("batch", BATCHES)
def test_each_sabotage_is_named_and_nothing_else(host, batch):
    sabotages = [SABOTAGES[name] for name in BATCHES[batch]]
    try:
        for harm, _finding, _repair in sabotages:
            assert host.run(harm).succeeded, harm
        found = drift()
    finally:
        repaired = [host.run(repair).succeeded for _harm, _finding, repair in sabotages]
    assert all(repaired)
    for _harm, (rule, resource), _repair in sabotages:
        named = [item for item in found if item[0] == rule and item[1].startswith(resource)]
        assert len(named) == 1, (rule, resource, found)
    if batch == "document gone":  # it alone says that the kernel's own share is right on 2-3, which are the switch's
        found.remove(("fair-server", "CPUs 2-3"))
    if batch != "CPU offline":  # an absent CPU shows in more places
        assert len(found) == len(sabotages), found  # so the batch before it is repaired


def test_a_repaired_node_has_no_finding():
    assert drift() == []
