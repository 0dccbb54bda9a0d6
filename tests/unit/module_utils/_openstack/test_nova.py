# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nova-compute is told, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._openstack import nova
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.ini import Settings, parse_ini
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.instances import Sets
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.nova import Node, NovaError
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.physnets import Physnet
from unit.clouds import PARTITION

ONLINE = frozenset(range(8))
SETS = Sets(frozenset({2, 3, 5, 6, 7}), frozenset({0, 4}))
RT0, RT1 = Physnet("rt0", "a", "br-a", 1, "ens1", 0), Physnet("rt1", "b", "br-b", 1)
NODE = Node(SETS, 1, {(1, "2M"): 32, (0, "2M"): 416, (0, "1G"): 2}, [RT0, RT1], "unix:/run/x")
NOTHING = Settings()


def settings(text, path="/etc/nova/nova.conf"):
    return Settings([parse_ini(text, path)])


def test_options():
    assert nova.nova_options(NODE, NOTHING) == {
        ("DEFAULT", "reserved_huge_pages"): [
            "node:0,size:1048576,count:2",
            "node:0,size:2048,count:416",
            "node:1,size:2048,count:32",
        ],
        ("compute", "cpu_dedicated_set"): ["2-3,5-7"],
        ("compute", "cpu_shared_set"): ["0,4"],
        ("libvirt", "realtime_scheduler_priority"): ["1"],
        ("libvirt", "cpu_power_management"): ["false"],
        ("neutron", "physnets"): ["rt0"],
        ("neutron_physnet_rt0", "numa_nodes"): ["0"],
        ("os_vif_ovs", "ovsdb_connection"): ["unix:/run/x"],
    }


def test_without_pages_and_nics_there_are_no_such_options():
    options = nova.nova_options(replace(NODE, reserved={}, physnets=[RT1]), NOTHING)
    assert {group for group, _name in options} == {"compute", "libvirt", "os_vif_ovs"}


def test_the_operators_physical_networks_stay():
    theirs = settings("[neutron]\nphysnets = prov, rt0\n[neutron_physnet_prov]\nnuma_nodes = 1\n")
    options = nova.nova_options(NODE, theirs)
    assert options["neutron", "physnets"] == ["prov,rt0"]
    assert ("neutron_physnet_prov", "numa_nodes") not in options


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("priority", "limit"), [(1, 1), (2, 3), (40, 40)])
def test_priorities(priority, limit):
    nova.check_priority(priority, limit)


@pytest.mark.parametrize(
    ("priority", "limit", "said"),
    [
        (0, 1, "nova_compute_priority: 0 is not in 1-99"),
        (-1, 1, "is not in 1-99"),
        (100, 1, "nova_compute_priority: 100 is not in 1-99"),
        (2, 1, "not below the kernel's own threads: ksoftirqd and ktimers run at 2, .*; the highest that works is 1"),
        (99, 40, "the highest that works is 40"),
    ],
)
def test_a_priority_that_is_none_or_not_below_the_kernels_threads(priority, limit, said):
    with pytest.raises(NovaError, match=said):
        nova.check_priority(priority, limit)


@pytest.mark.parametrize(
    ("sets", "online", "said"),
    [
        (Sets(frozenset({2, 3}), frozenset({0, 3})), ONLINE, "CPUs 3 would be in cpu_dedicated_set and in cpu_shared_set"),
        (Sets(frozenset({0, 2}), frozenset({4})), ONLINE, "cpu_dedicated_set would have CPU 0, the boot CPU"),
        (Sets(frozenset({2, 3}), frozenset({0})), ONLINE - {3}, "cpu_dedicated_set would have CPUs 3, which are offline"),
        (Sets(frozenset({2, 3}), frozenset({0, 4})), ONLINE - {4}, "cpu_shared_set would have CPUs 4, which are offline"),
        (
            Sets(frozenset({1, 2}), frozenset({0})),
            ONLINE,
            "cpu_dedicated_set would have CPUs 1, on which the switch's poll-mode threads run",
        ),
        (Sets(frozenset({2}), frozenset({0, 1})), ONLINE, "cpu_shared_set would have CPUs 1, on which the switch's"),
        (Sets(frozenset(), frozenset({0})), ONLINE, r"no realtime CPU is left for Nova \(realtime: 2-3,5-7"),
    ],
    ids=["overlap", "boot CPU", "offline", "offline and shared", "dataplane", "dataplane and shared", "nothing"],
)
def test_sets_that_nova_would_fail_with(sets, online, said):
    nova.check_sets(SETS, PARTITION, ONLINE)
    with pytest.raises(NovaError, match=said):
        nova.check_sets(sets, PARTITION, online)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[DEFAULT]\nvcpu_pin_set = 4-7\n",
            r"^/etc/nova/nova\.conf: \[DEFAULT\] vcpu_pin_set is set, beside which nova-compute refuses",
        ),
        ("[DEFAULT]\nreserved_host_cpus = 2\n", r"\[DEFAULT\] reserved_host_cpus is set"),
        ("[DEFAULT]\nreserved_host_cpus = x\n", r"\[DEFAULT\] reserved_host_cpus is set"),
        ("[DEFAULT]\nvcpu_pin_set = 0\n", r"\[DEFAULT\] vcpu_pin_set is set"),
        (
            "[libvirt]\ncpu_power_management = True\n",
            "cpu_power_management is on with strategy cpu_state, so nova-compute switches dedicated CPUs off",
        ),
        ("[libvirt]\ncpu_power_management = on\ncpu_power_management_strategy = cpu_state\n", "remove it"),
    ],
)
def test_contradictions_in_the_operators_files(text, said):
    with pytest.raises(NovaError, match=said):
        nova.check_operator(settings(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[DEFAULT]\nreserved_host_cpus = 0\nvcpu_pin_set =\n",
        "[libvirt]\ncpu_power_management = false\n",
        "[libvirt]\ncpu_power_management = true\ncpu_power_management_strategy = governor\n",
    ],
)
def test_what_does_not_contradict(text):
    nova.check_operator(settings(text))


@pytest.mark.parametrize(
    ("text", "given", "found"),
    [("", "", "node1"), ("[DEFAULT]\nhost = node1\n", "", "node1"), ("[DEFAULT]\nhost = c-7\n", "c-7", "c-7")],
)
def test_the_host_that_is_expected(text, given, found):
    assert nova.check_host(settings(text), given, "node1", "x") == found


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        (
            "[DEFAULT]\nhost = c-7\n",
            "",
            r"/etc/nova/nova\.conf: \[DEFAULT\] host is c-7, but the host name of the node is node1\..*nova_compute_host: c-7",
        ),
        ("[DEFAULT]\nhost = c-7\n", "c-8", "host is c-7, but nova_compute_host is c-8"),
        ("", "c-8", "the host name is node1, but nova_compute_host is c-8"),
    ],
)
def test_another_host_is_refused(text, given, said):
    with pytest.raises(NovaError, match=said):
        nova.check_host(settings(text), given, "node1", "neutron_agent too")


def test_sets_of_before():
    assert nova.known_sets(settings("[compute]\ncpu_dedicated_set = 2-3,^3\ncpu_shared_set = 0\n")) == Sets(
        frozenset({2}), frozenset({0})
    )
    assert nova.known_sets(settings("[compute]\ncpu_dedicated_set = nonsense\n")) == Sets()
    assert nova.known_sets(NOTHING) == Sets()


def test_lines_of_pages_that_ours_replace():
    theirs = settings(
        "[DEFAULT]\nreserved_huge_pages = node:0,size:2048,count:64\nreserved_huge_pages = node:1, size:2048, count:1\n"
        "reserved_huge_pages = node:0,size:1GB,count:1\nreserved_huge_pages = node:2,size:2MB,count:9\n"
    )
    assert nova.overlaid([(0, "1G")], theirs) == ["/etc/nova/nova.conf: node:0,size:1GB,count:1"]
    assert nova.overlaid([(2, "2M")], theirs) == ["/etc/nova/nova.conf: node:2,size:2MB,count:9"]
    assert nova.overlaid([(0, "2M")], theirs) == ["/etc/nova/nova.conf: node:0,size:2048,count:64"]
    assert nova.overlaid([(1, "2M")], theirs) == ["/etc/nova/nova.conf: node:1, size:2048, count:1"]
