# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition of a running node: document, workqueues, kernel threads, limits, boot service."""

import json
import os

from integration.lab import module

NODE = os.environ.get("LAB_NODES", "node1")

ISOLATED = {2, 3, 4, 5, 8, 9, 10, 11}
ORDINARY_MASK = 0b000011000011


def test_document_is_what_the_topology_asks_for(host):
    document = json.loads(host.file("/etc/ansible/facts.d/realtime_partition.fact").content_string)
    assert document["sets"]["dataplane"] == {"cpus": "2-3", "mask": "0000000c", "nodes": {"0": "2-3"}}
    assert document["sets"]["realtime"] == {"cpus": "4-5,8-11", "mask": "00000f30", "nodes": {"0": "4-5", "1": "8-11"}}
    assert document["sets"]["housekeeping"] == {"cpus": "0-1,6-7", "mask": "000000c3", "nodes": {"0": "0-1", "1": "6-7"}}
    facts = module(NODE, "ansible.builtin.setup", "-a", "gather_subset=!all,!min,local")["ansible_facts"]
    assert facts["ansible_local"]["realtime_partition"] == document


def test_workqueues_stay_on_housekeeping(host):
    masks = host.check_output(
        "cat /sys/devices/virtual/workqueue/cpumask /sys/devices/virtual/workqueue/writeback/cpumask"
    ).split()
    assert [int(mask.replace(",", ""), 16) for mask in masks] == [ORDINARY_MASK, ORDINARY_MASK]


def test_waiting_work_has_a_small_share_of_realtime_cpus_alone(host):
    """The kernel takes these values; poll-mode threads are ordinary tasks, so dataplane CPUs keep the kernel's own."""
    for cpu in range(12):
        folder = f"/sys/kernel/debug/sched/fair_server/cpu{cpu}"
        found = host.check_output(f"cat {folder}/runtime {folder}/period").split()
        assert found == (["10000", "10000000"] if cpu in (4, 5, 8, 9, 10, 11) else ["50000000", "1000000000"]), cpu


def test_kernel_threads_stand_above_vcpus(host):
    for name, wanted in {"ksoftirqd": "FF 2", "ktimers": "FF 2", "rcuc": "FF 4", "irq_work": "FF 5"}.items():
        for cpu in ISOLATED:
            assert host.check_output(f"ps -o cls=,rtprio= -p $(pgrep -x {name}/{cpu})").split() == wanted.split()


def test_boot_service_is_enabled_and_valid(host):
    assert host.service("realtime-kvm").is_enabled
    assert host.run("systemd-analyze verify realtime-kvm.service").stderr == ""
    assert host.run("systemctl start realtime-kvm.service").succeeded
    assert "cpu_partition: " not in host.check_output("journalctl -u realtime-kvm.service --since=-60s -o cat"), (
        "it found something left to do"
    )


def test_journal_is_private_and_knows_the_originals(host):
    journal = host.file("/var/lib/realtime-kvm/journal.json")
    assert (journal.mode, journal.user) == (0o600, "root")
    assert json.loads(journal.content_string)["entries"]["/proc/sys/vm/stat_interval"]["before"] == "1"


def test_undo_would_restore_what_was_there():
    result = module(NODE, "realtime.kvm.cpu_partition", "-a", "state=absent", "--check")
    assert "/proc/sys/vm/stat_interval" in [change["resource"] for change in result["changes"]]
