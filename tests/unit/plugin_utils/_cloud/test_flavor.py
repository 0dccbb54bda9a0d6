# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest as a flavor of Nova: each choice, its reason, and each refusal. tests/conformance/test_nova_extra_specs.py asks Nova itself."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.realtime.kvm.plugins.filter.cloud import FilterModule
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import SpecError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts, nova_flavor

NETWORKS = [{"name": "control", "physical_network": "rt-0"}, {"name": "office", "realtime": False}, {"name": "quiet"}]
PLC = {"name": "plc", "vcpus": 4, "realtime_vcpus": "1-3", "memory_mib": 2048}
RTOS = {"name": "rtos", "vcpus": 2, "realtime_vcpus": "0-1", "memory_mib": 512, "guest_os": "other"}


def specs(guest, hosts=None, **more):
    return nova_flavor(guest, NETWORKS, hosts=hosts, **more).extra_specs


def test_a_guest_with_a_housekeeping_vcpu_is_mixed():
    flavor = nova_flavor(PLC, disk=4)
    assert (flavor.vcpus, flavor.ram, flavor.disk) == (4, 2048, 4)
    assert flavor.extra_specs == {
        "hw:cpu_policy": "mixed",
        "hw:cpu_realtime": "true",
        "hw:cpu_realtime_mask": "1-3",
        "hw:cpu_thread_policy": "prefer",
        "hw:pmu": "false",
        "hw:mem_page_size": "2048",
        "hw:numa_nodes": "1",
        "trait:CUSTOM_REALTIME_KVM": "required",
    }
    assert flavor.reasons.keys() == flavor.extra_specs.keys()
    assert all(flavor.reasons.values())


@pytest.mark.parametrize(
    ("given", "mask"), [("^0", "1-3"), ("^1", "0,2-3"), ("^0-1", "2-3"), ("0", "0"), ("1-2", "1-2"), (2, "2")]
)
def test_the_mask_takes_all_of_novas_forms(given, mask):
    assert specs({**PLC, "realtime_vcpus": given})["hw:cpu_realtime_mask"] == mask


@pytest.mark.parametrize(
    ("nodes", "emulator", "policy"),
    [(0, None, "isolate"), (2, None, "isolate"), (1, None, "share"), (2, "housekeeping", "share"), (1, "own", "isolate")],
)
def test_all_real_time_has_an_emulator_policy_by_numa_nodes(nodes, emulator, policy):
    found = specs({**RTOS, "emulator": emulator}, Hosts(nodes))
    assert found["hw:emulator_threads_policy"] == policy
    assert found["hw:cpu_policy"] == "dedicated"
    assert "hw:cpu_realtime_mask" not in found


def test_a_mixed_guest_has_no_emulator_policy_unless_it_asks():
    assert "hw:emulator_threads_policy" not in specs(PLC, Hosts(2))
    assert specs({**PLC, "emulator": "own"})["hw:emulator_threads_policy"] == "isolate"


@pytest.mark.parametrize(
    ("guest", "hosts", "policy"),
    [
        (PLC, Hosts(2, "single"), "prefer"),
        (PLC, Hosts(), "prefer"),
        ({**RTOS, "siblings": "realtime", "emulator": "housekeeping"}, Hosts(1, "together"), "require"),
        ({**PLC, "realtime_vcpus": "2-3", "siblings": "any"}, Hosts(1, "together"), "require"),
        ({**PLC, "siblings": "realtime", "emulator": "own"}, Hosts(), "require"),
    ],
)
def test_threads(guest, hosts, policy):
    assert specs(guest, hosts)["hw:cpu_thread_policy"] == policy


def test_an_ordinary_guest_floats_and_takes_no_huge_pages():
    found = specs({"vcpus": 2, "memory_mib": 1024})
    assert (found["hw:cpu_policy"], found["hw:mem_page_size"]) == ("shared", "small")
    assert "hw:cpu_realtime" not in found


def test_networks_add_their_traits():
    found = specs({**PLC, "networks": [{"network": "control"}, {"network": "office"}, {"network": "quiet"}]})
    assert [name for name in found if "PHYSNET" in name] == ["trait:CUSTOM_REALTIME_PHYSNET_RT_0"]


def test_devices_and_numa():
    found = specs({**PLC, "numa": "spread", "hugepages": "1G", "watchdog": "reset", "tpm": True, "secure_boot": True})
    assert found["hw:numa_nodes"] == "2"
    assert found["hw:mem_page_size"] == "1048576"
    assert (found["hw:watchdog_action"], found["hw:tpm_version"], found["os:secure_boot"]) == ("reset", "2.0", "required")


def test_own_extra_specs_win_and_null_removes():
    found = specs(PLC, extra_specs={"hw:pmu": True, "hw:cpu_thread_policy": None, "quota:cpu_shares": 100})
    assert (found["hw:pmu"], found["quota:cpu_shares"]) == ("true", "100")
    assert "hw:cpu_thread_policy" not in found


@pytest.mark.parametrize(
    ("guest", "said"),
    [
        ({**RTOS, "guest_os": "linux"}, "all 2 vCPUs are real-time"),
        ({**PLC, "realtime_vcpus": "1-4"}, "names vCPU 4"),
        ({**PLC, "realtime_vcpus": "^0-3"}, "leaves no vCPU"),
        ({**PLC, "hugepages": "none"}, "hugepages none"),
        ({"vcpus": 2, "memory_mib": 512, "networks": [{"network": "quiet"}]}, "vhost-user ports"),
        ({**PLC, "memory_mib": 2047}, "choose 2048"),
        ({"vcpus": 1}, "memory_mib is missing"),
        ({**PLC, "policy": "rr"}, "SCHED_FIFO only"),
        ({**PLC, "priority": 3}, "nova_compute_priority"),
        ({**PLC, "numa_node": 1}, "hw:numa_nodes=1"),
        ({**PLC, "io_threads": 2}, "io_threads: Nova does not offer it"),
        ({**PLC, "vhost": "vcpu"}, "vhost: Nova does not offer it"),
        ({**PLC, "realtime_vcpu": "1"}, "did you mean realtime_vcpus"),
        ({**PLC, "networks": [{"network": "contrl"}]}, "did you mean control"),
        ({**PLC, "networks": ["control"]}, "mapping"),
        ({**PLC, "siblings": "realtime"}, "whole cores"),
        ({**PLC, "vcpus": 3, "realtime_vcpus": "1-2", "numa": "spread"}, "even number"),
        ({**PLC, "watchdog": "inject-nmi"}, "watchdog"),
        ({"vcpus": 2, "memory_mib": 64, "emulator": "own"}, "only a real-time guest"),
        ({"vcpus": 2, "memory_mib": 64, "policy": "fifo"}, "without realtime_vcpus"),
        ({**PLC, "vcpus": "4"}, "type int"),
        ({**PLC, "vcpus": 10**9}, "not in 1-512"),
        ("plc", "a guest is a mapping"),
    ],
)
def test_refusals(guest, said):
    with pytest.raises(SpecError, match=said):
        specs(guest)


def test_refusals_name_the_guest():
    with pytest.raises(SpecError, match=r"^plc: "):
        specs({**PLC, "priority": 3})


@pytest.mark.parametrize(
    ("guest", "smt", "said"),
    [
        (PLC, "together", "cpu_partition_smt: single"),
        ({**RTOS, "siblings": "any"}, "single", "leave siblings out"),
        (PLC, "off", "smt 'off'"),
    ],
)
def test_what_the_hosts_do_not_offer_is_refused(guest, smt, said):
    with pytest.raises(SpecError, match=said):
        specs(guest, Hosts(2, smt))


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"hw:cpu_polcy": "dedicated"}, "did you mean hw:cpu_policy"),
        ({"hw:cpu_dedicated_mask": "1"}, "only one of them"),
        ({"hw:cpu_realtime": False, "hw:cpu_realtime_mask": None, "hw:cpu_policy": "dedicated"}, "switches hw:cpu_realtime off"),
        ({"hw:mem_page_size": None}, "hw:mem_page_size is not given"),
        ({"hw:pmu": [1]}, "not text"),
        ([1], "mapping"),
    ],
)
def test_own_extra_specs_are_checked_too(own, said):
    with pytest.raises(SpecError, match=said):
        specs({**PLC, "networks": [{"network": "quiet"}]}, extra_specs=own)


def test_the_filter_returns_plain_data_and_refuses_in_ansibles_way():
    filters = FilterModule().filters()
    found = filters["nova_extra_specs"](PLC, NETWORKS, numa_nodes=2, smt="single", disk=1, extra_specs={"hw:pmu": None})
    assert found["disk"] == 1
    assert "hw:pmu" not in found["extra_specs"]
    with pytest.raises(AnsibleFilterError, match=r"realtime.kvm.nova_extra_specs: plc: "):
        filters["nova_extra_specs"]({**PLC, "priority": 2})
    with pytest.raises(AnsibleFilterError):
        filters["nova_extra_specs"](PLC, numa_nodes="many")
