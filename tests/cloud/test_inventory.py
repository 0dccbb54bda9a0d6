# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Placement counts what the document says, on machines of every shape."""

from ansible_collections.realtime.kvm.plugins.module_utils._openstack.traits import KVM_TRAIT


def test_the_machines_differ(fleet):
    shapes = {
        (len(host.document["numa_nodes"]), sum(len(host.cpus_of(name)) for name in host.document["sets"]))
        for host in fleet.values()
    }
    assert len(shapes) == len(fleet) >= 8


def test_dedicated_cpus_are_the_realtime_set(fleet):
    counted = {name: host.inventories["PCPU"] for name, host in fleet.items()}
    assert counted == {name: len(host.cpus_of("realtime")) for name, host in fleet.items()}


def test_other_cpus_are_the_shared_or_housekeeping_set(fleet):
    counted = {name: host.inventories["VCPU"] for name, host in fleet.items()}
    assert counted == {name: len(host.shared) for name, host in fleet.items()}
    sources = {bool(host.cpus_of("shared")) for host in fleet.values()}
    assert sources == {True, False}


def test_no_dedicated_cpu_is_that_of_the_switch_or_the_boot_cpu(fleet):
    for host in fleet.values():
        assert not host.dedicated & host.cpus_of("dataplane"), host.name
        assert host.document["boot_cpu"] not in host.dedicated


def test_only_realtime_hosts_have_the_trait(fleet):
    assert {name for name, host in fleet.items() if KVM_TRAIT in host.traits} == {
        name for name in fleet if name.startswith("rt-")
    }
