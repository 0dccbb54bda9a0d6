# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that can run guests: virtualization, and huge pages where guests and switch will be."""

import os

from integration.lab import module

NODE = os.environ.get("LAB_NODES", "node1")

#: 2 MiB pages by NUMA node, counted by hand: a guest of 128 MiB on each, and 64 MiB for the switch.
PAGES = {0: 96, 1: 96}
POOL = "/sys/devices/system/node/node{}/hugepages/hugepages-2048kB/nr_hugepages"


def test_libvirt_answers_and_offers_kvm(host):
    assert host.service("libvirtd").is_enabled
    capabilities = host.check_output("virsh --connect qemu:///system domcapabilities --virttype kvm --machine q35")
    assert "<domain>kvm</domain>" in capabilities
    assert host.run("python3 -c 'import libvirt'").succeeded


def test_huge_pages_are_on_the_nodes_that_need_them(host):
    assert {node: int(host.check_output(f"cat {POOL.format(node)}")) for node in PAGES} == PAGES


def test_the_boot_service_makes_them_before_anything_takes_memory(host):
    host.run(f"echo 0 > {POOL.format(1)}")
    assert host.run("systemctl restart realtime-kvm.service").succeeded
    assert int(host.check_output(f"cat {POOL.format(1)}")) == PAGES[1]
    before = host.check_output("systemctl show --property=Before --value realtime-kvm.service").split()
    assert {"libvirtd.service", "ovs-vswitchd.service"} <= set(before)


def test_no_unit_of_the_boot_waits_for_itself(host):
    """Open vSwitch starts before network.target: systemd would drop a job of the boot if this unit came after both."""
    assert "cycle" not in host.run("systemd-analyze verify multi-user.target").stderr


def test_more_memory_than_the_node_has_is_refused_with_numbers():
    guests = '[{"name": "big", "memory_mib": 8192, "vcpus": 2, "realtime_vcpus": "1"}]'
    result = module(NODE, "realtime.kvm.kvm_host", "-a", f'{{"guests": {guests}}}', "--check")
    assert result["failed"]
    assert "big" in result["msg"]
    assert "8192" in result["msg"]
