# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests and switch on a node whose CPUs are isolated without a reboot: threads where they belong, each in a partition of its own."""

from __future__ import annotations

import json

import pytest
from integration.conftest import NODES
from integration.lab import lab, module, playbook, ssh, wait_for
from integration.machine import SCHED_FIFO, SCHED_OTHER, cpus, look
from integration.test_audit import ARGUMENTS, PINS

NODE = "node1"
pytestmark = pytest.mark.skipif(NODE not in NODES, reason="the guests are those of node1 of the lab (LAB_NODES)")

MODE = {"cpu_partition_isolation": "runtime"}
ORDINARY, POLLING = {0, 1, 6, 7}, {2, 3}
HOLDER = "/sys/fs/cgroup/realtime-kvm.realtime"

#: Prints for each thread that has one CPU: the CPU, the state and the CPUs of its own cgroup as a partition.
PARTITIONS = """
for file in /run/libvirt/qemu/plc*.pid /run/openvswitch/ovs-vswitchd.pid; do
  for task in /proc/$(cat $file)/task/*; do
    case $(cat $task/comm) in 'CPU '*|pmd-*) ;; *) continue ;; esac
    cgroup=/sys/fs/cgroup$(cut -d: -f3 $task/cgroup)
    echo $(awk '/^Cpus_allowed_list/ {print $2}' $task/status) $(cat $cgroup/cpuset.cpus.effective) $(cat $cgroup/cpuset.cpus.partition)
  done
done
"""


def partitions() -> set[str]:
    return set(ssh(NODE, PARTITIONS).splitlines())


def held() -> set[int]:
    return cpus(ssh(NODE, f"cat {HOLDER}/cpuset.cpus"))


@pytest.fixture(scope="module", autouse=True)
def _hosting() -> None:
    lab("guests", NODE)
    playbook("site.yml", nodes=NODE, timeout=1500, extra=MODE)


def test_threads_are_where_they_are_with_isolation_by_boot() -> None:
    guests, switch = look(NODE)
    assert {name: {vcpu: set(thread.cpus) for vcpu, thread in guests[name].vcpus.items()} for name in PINS} == PINS
    for name in PINS:
        vcpus = guests[name].vcpus
        assert [(vcpus[number].policy, vcpus[number].priority) for number in (0, 1)] == [(SCHED_OTHER, 0), (SCHED_FIFO, 1)]
        assert all(thread.cpus <= ORDINARY for thread in guests[name].others)
    assert {cpu for thread in switch if thread.name.startswith("pmd-") for cpu in thread.cpus} == POLLING
    assert all(thread.cpus <= ORDINARY for thread in switch if not thread.name.startswith("pmd-"))


def test_each_thread_has_a_partition_of_its_own_and_the_holder_what_is_free() -> None:
    assert partitions() == {f"{cpu} {cpu} isolated" for cpu in (2, 3, 4, 5, 8, 9)}
    assert held() == {10, 11}


def test_a_guest_that_ends_gives_its_cpus_back_and_takes_them_again() -> None:
    ssh(NODE, "virsh destroy plc2")
    assert wait_for(NODE, f"grep -qx 8-11 {HOLDER}/cpuset.cpus", 60)
    assert partitions() == {f"{cpu} {cpu} isolated" for cpu in (2, 3, 4, 5)}
    ssh(NODE, "virsh start plc2")
    assert wait_for(NODE, f"grep -qx 10-11 {HOLDER}/cpuset.cpus", 60)
    assert partitions() == {f"{cpu} {cpu} isolated" for cpu in (2, 3, 4, 5, 8, 9)}


def test_the_audit_has_no_finding_and_a_second_run_changes_nothing() -> None:
    assert module(NODE, "realtime.kvm.rt_audit", "-a", json.dumps(ARGUMENTS))["findings"] == []
    assert playbook("site.yml", nodes=NODE, timeout=900, extra=MODE).changes(NODE) == []
