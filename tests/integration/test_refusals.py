# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input through the playbook, as an operator meets it: refused before any change, with host, variable and remedy."""

from __future__ import annotations

import pytest
from integration.conftest import NODES
from integration.lab import differences, fingerprint, lab, playbook, ssh

NODE = NODES[0]

#: Wishes that node1 (12 CPUs, two threads per core, two NUMA nodes) cannot meet, and what the message must say.
REFUSALS = {
    "overlapping sets": (
        {"cpu_partition_cpus": {"realtime": "2-5", "dataplane": "4-5"}},
        ["cpu_partition_cpus.dataplane", "4-5"],
    ),
    "CPU that does not exist": ({"cpu_partition_cpus": {"realtime": "10-13"}}, ["cpu_partition_cpus.realtime", "12-13", "0-11"]),
    "boot CPU isolated": ({"cpu_partition_cpus": {"realtime": "0-1"}}, ["cpu_partition_cpus.realtime", "boot CPU"]),
    "no housekeeping CPU on a node": ({"cpu_partition_cpus": {"realtime": "6-11"}}, ["housekeeping", "NUMA node 1"]),
    "SMT siblings split": ({"cpu_partition_cpus": {"realtime": "8,10"}}, ["SMT siblings", "cpu_partition_smt: single"]),
    "too many cores": ({"cpu_partition_shared_cores_per_node": 3}, ["cpu_partition_shared_cores_per_node", "3 asked for"]),
    "NIC that is not there": ({"cpu_partition_dataplane_devices": ["ens99f0"]}, ["cpu_partition_dataplane_devices", "ens99f0"]),
    "junk list": ({"cpu_partition_cpus": {"realtime": "5-3"}}, ["cpu_partition_cpus.realtime", "5-3"]),
    "empty list": ({"cpu_partition_cpus": {"realtime": ""}}, ["cpu_partition_cpus.realtime", "empty"]),
    "number for a list": ({"cpu_partition_cpus": {"realtime": 2}}, ["cpu_partition_cpus.realtime", "quote"]),
    "kernel that is not available": (
        {"rt_kernel_packages": ["linux-image-nobody-has"]},
        ["rt_kernel_packages", "linux-image-nobody-has", NODE],
    ),
    "contradicting argument": ({"rt_kernel_arguments": ["isolcpus=3"]}, ["isolcpus=3", "isolcpus=managed_irq,domain,2-5,8-11"]),
    "too much disruption": (
        {"realtime_max_disruption": "stall"},
        ["realtime_max_disruption is stall", "/boot/grub/grub.cfg (reboot)", NODE],
    ),
}


@pytest.fixture(scope="module")
def stock() -> dict[str, str]:
    lab("reset", NODE)
    lab("guests", NODE)
    return fingerprint(NODE)


@pytest.mark.skipif(NODE != "node1", reason="the requests are made for node1 of the lab (LAB_NODES)")
@pytest.mark.parametrize("case", REFUSALS)
def test_refused_with_variable_and_remedy(stock: dict[str, str], case: str) -> None:
    wishes, parts = REFUSALS[case]
    refused = playbook("site.yml", nodes=NODE, extra=wishes, ok=False)
    failures = " ".join(event["msg"] for event in refused.events if event["event"] == "failed")
    for part in parts:
        assert part in failures, failures
    assert "Traceback" not in refused.output
    assert refused.changes(NODE) == []


def test_offline_cpu_and_admins_own_isolcpus_are_refused(stock: dict[str, str]) -> None:
    ssh(NODE, "echo 0 > /sys/devices/system/cpu/cpu11/online")
    refused = playbook("plan.yml", nodes=NODE, extra={"cpu_partition_cpus": {"realtime": "10-11"}}, ok=False)
    assert "CPUs 11 are offline" in refused.output
    ssh(
        NODE,
        "echo 1 > /sys/devices/system/cpu/cpu11/online; echo 'GRUB_CMDLINE_LINUX=isolcpus=3' > /etc/default/grub.d/60-admin.cfg",
    )
    refused = playbook("plan.yml", nodes=NODE, ok=False)
    assert "/etc/default/grub.d/60-admin.cfg has isolcpus=3, the plan needs isolcpus=managed_irq,domain,2-5,8-11" in " ".join(
        refused.output.split()
    )
    ssh(NODE, "rm /etc/default/grub.d/60-admin.cfg")


def test_a_boot_loader_that_cannot_be_written_is_refused(stock: dict[str, str]) -> None:
    ssh(NODE, "mount --bind /boot /boot && mount -o remount,ro,bind /boot")
    refused = playbook("site.yml", nodes=NODE, ok=False)
    assert "/boot/grub/grub.cfg cannot be written" in " ".join(refused.output.split())
    assert refused.changes(NODE) == []
    ssh(NODE, "umount /boot && mv /boot/grub/grub.cfg /boot/grub/aside")
    refused = playbook("site.yml", nodes=NODE, ok=False)
    assert "/boot/grub/grub.cfg does not exist" in " ".join(refused.output.split())
    ssh(NODE, "mv /boot/grub/aside /boot/grub/grub.cfg")


def test_the_node_is_as_it_was(stock: dict[str, str]) -> None:
    assert differences(stock, fingerprint(NODE)) == {}
