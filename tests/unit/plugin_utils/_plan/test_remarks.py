# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan remarks: little housekeeping, guests that are not listed any more, guests that a reboot ends; each with place and remedy."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import describe_cpus, to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.remarks import remarks_of
from property.machines import regular


def partitioned(*, nodes=2, cores=20, threads=2, **intent):
    """The result of cpu_partition for a machine: by default two sockets of 20 cores with two threads, 80 CPUs."""
    topology = build_topology(regular(nodes=nodes, cores=cores, threads=threads).files())
    return {"partition": to_document(plan_partition(topology, Intent(**intent))), "topology": describe_cpus(topology)}


def guest(name, *, emulator="0", floating="", vcpus=2):
    return {"name": name, "state": "running", "emulator": emulator, "floating": floating, "vcpu_count": vcpus}


def on_housekeeping(results, guests=()):
    return [item for item in remarks_of(results, guests) if item["place"].startswith("housekeeping")]


def test_housekeeping_that_is_small_against_the_machine_is_remarked_with_what_would_do():
    (found,) = on_housekeeping({"partition": partitioned()})
    assert found["text"].startswith("4 of 80 CPUs (0,20,40,60) serve the operating system")
    assert found["remedy"] == "consider cpu_partition_housekeeping_cores_per_node: 2, or numbers by NUMA node, such as {0: 2}"
    assert found["source"] == "rule of this collection, docs/partition.md"


@pytest.mark.parametrize(
    "machine",
    [
        {"cores": 16},  # 4 of 64: one of 16
        {"housekeeping_cores_per_node": 2},  # the remedy
        {"housekeeping_cores_per_node": {0: 2}},
        {"nodes": 1, "cores": 4, "threads": 1},
        {"realtime": "1"},  # housekeeping has what is left
    ],
)
def test_enough_housekeeping_is_not_remarked(machine):
    assert on_housekeeping({"partition": partitioned(**machine)}) == []


def test_the_number_of_cores_follows_the_threads_of_a_core():
    (found,) = on_housekeeping({"partition": partitioned(nodes=1, cores=160, threads=1)})
    assert "consider cpu_partition_housekeeping_cores_per_node: 10," in found["remedy"]


@pytest.mark.parametrize(("number", "remarked"), [(16, False), (17, True)])
def test_emulator_threads_that_crowd_a_numa_node_are_remarked(number, remarked):
    guests = [guest(f"g{at}", emulator="0,8") for at in range(number)]  # node 0 has the housekeeping CPUs 0 and 8
    found = on_housekeeping({"partition": partitioned(nodes=2, cores=4)}, guests)
    assert bool(found) == remarked
    if remarked:
        assert found[0]["place"] == "housekeeping CPUs of NUMA node 0"
        assert found[0]["text"].startswith("the emulator threads of 17 guests may share CPUs 0,8; that is more than 8 for one")
        assert found[0]["remedy"] == "consider more cores there (cpu_partition_housekeeping_cores_per_node: {0: 2})"


def test_ordinary_vcpus_count_where_they_float_on_housekeeping():
    found = on_housekeeping(
        {"partition": partitioned(nodes=1, cores=4)}, [guest("office", emulator="0,4", floating="0,4", vcpus=16)]
    )
    assert found[0]["text"].startswith("the emulator threads of 1 guest and 16 ordinary vCPUs may share CPUs 0,4")
    assert "cores for the ordinary vCPUs (cpu_partition_shared_cores_per_node)" in found[0]["remedy"]


def test_a_guest_that_goes_crowds_nothing():
    guests = [{**guest(f"g{at}", emulator="0,8"), "state": "absent"} for at in range(50)]
    assert on_housekeeping({"partition": partitioned(nodes=2, cores=4)}, guests) == []


def test_the_planners_notes_are_remarks():
    results = {"partition": {"partition": {**partitioned(cores=4)["partition"], "warnings": ["NUMA node 1 has no memory"]}}}
    assert [(item["place"], item["text"]) for item in remarks_of(results, [])] == [("CPU sets", "NUMA node 1 has no memory")]


REBOOT = {"reboot_required": True, "running": {"release": "6.1", "matches": False}, "following": {"release": "6.1-rt"}}


def test_guests_that_a_reboot_ends_and_what_restricts_the_kernel():
    kernel = {**REBOOT, "running_guests": ["historian", "plc1"], "protection": {"notes": ["Secure Boot is on"]}}
    found = remarks_of({"kernel": kernel}, [])
    assert [(item["place"], item["text"]) for item in found] == [
        ("reboot", "guests run: historian, plc1"),
        ("kernel", "Secure Boot is on"),
    ]
    assert "rt_kernel_reboot_with_guests: true" in found[0]["remedy"]
    assert remarks_of({"kernel": {**kernel, "reboot_required": False, "protection": {}}}, []) == []


def test_guests_that_an_earlier_run_left_down():
    (found,) = remarks_of({"kernel": {"stopped_guests": ["plc1", "plc2"]}}, [])
    assert found["text"] == "plc1, plc2 were shut down by an earlier run and wait for their start"


def test_guests_and_ports_that_are_not_listed_any_more():
    found = remarks_of({"guests": {"unlisted": ["old"]}, "switch": {"unlisted": ["old.control"]}}, [])
    assert [(item["place"], item["text"]) for item in found] == [
        ("guests", "not listed any more, and left as they are: old"),
        ("switch", "not listed any more, and left as they are: old.control"),
    ]
    assert all("state: absent" in item["remedy"] for item in found)


def test_guests_of_a_node_whose_inventory_lists_none_are_named_all_the_same():
    """Without guests and networks the guests' module is not asked; who runs is known from the kernel's look."""
    kernel = {"running_guests": ["plc9"]}
    (found,) = remarks_of({"kernel": kernel, "guests": {"skipped": True}}, [])
    assert found["text"] == "run here, and the inventory lists neither guests nor networks: plc9"
    assert remarks_of({"kernel": kernel, "guests": {"failed": True}}, []) == []
    assert remarks_of({"kernel": kernel}, []) == [], "a playbook that plans no guests"


def test_a_guest_that_waits_for_a_restart():
    (found,) = remarks_of({"guests": {"restart_required": {"plc1": ["memory", "vcpu"]}}}, [])
    assert (found["place"], found["text"]) == ("guest plc1", "takes these changes only when it restarts: memory, vcpu")
    assert "rt_guest_restart: true" in found["remedy"]
