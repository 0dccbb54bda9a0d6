# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NUMA nodes and pages of a flavor; tests/conformance/test_nova_extra_specs.py compares with Nova."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import SpecError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.extra_specs import read_mask
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.numa import check_numa, ordinary_vcpus, page_kib

CELLS = {"hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "2-3", "hw:numa_mem.0": "1536", "hw:numa_mem.1": "512"}
SIZES = {"": 0, "small": 0, "large": 0, "2048": 2048, "2MB": 2048, "1GiB": 1048576, "4KB": 4, "8Kb": 1, "4096B": 4}


@pytest.mark.parametrize(("size", "kib"), SIZES.items())
def test_sizes(size, kib):
    assert page_kib(size) == kib


@pytest.mark.parametrize("size", ["4kB", "2M", "huge", "-1", "2.5MB"])
def test_sizes_that_nova_refuses_when_an_instance_is_made(size):
    with pytest.raises(SpecError, match="none that Nova reads"):
        page_kib(size)


@pytest.mark.parametrize(
    ("specs", "ram"),
    [
        ({}, 3),
        ({"hw:numa_nodes": "2"}, 2048),
        ({"hw:numa_nodes": "2", "hw:mem_page_size": "1GB"}, 2048),
        ({"hw:mem_page_size": "2048"}, 2050),
        ({"hw:numa_nodes": "2", **CELLS}, 2048),
        ({"hw:mem_page_size": "large"}, 2048),
    ],
)
def test_what_fits(specs, ram):
    check_numa(specs, 4, ram, read_mask)


@pytest.mark.parametrize(
    ("specs", "ram", "said"),
    [
        ({"hw:numa_nodes": "3"}, 2048, "parts vcpus 4 equally"),
        ({"hw:numa_nodes": "4"}, 2050, "parts memory_mib 2050 equally"),
        (
            {"hw:numa_nodes": "2", "hw:mem_page_size": "2048"},
            2050,
            "NUMA node 0 of the instance has 1025 MiB, which are no whole",
        ),
        ({"hw:numa_nodes": "2", "hw:mem_page_size": "1048576"}, 1024, "512 MiB, which are no whole pages"),
        ({"hw:mem_page_size": "1GB"}, 1536, "1536 MiB, which are no whole pages of 1048576 KiB"),
        ({"hw:mem_page_size": "large"}, 1025, "no whole pages of 2048 KiB"),
        ({"hw:numa_nodes": "1", "hw:numa_cpus.0": "0-3"}, 2048, r"too many or missing: hw:numa_mem\.0"),
        ({"hw:numa_nodes": "1", **CELLS}, 2048, r"hw:numa_cpus\.1, hw:numa_mem\.1"),
        (
            {"hw:numa_nodes": "2", **CELLS, "hw:numa_cpus.1": "1-3"},
            2048,
            r"hw:numa_cpus\.1 has vCPU 1, which another node has too",
        ),
        ({"hw:numa_nodes": "2", **CELLS, "hw:numa_cpus.1": "2"}, 2048, "leave out vCPU 3"),
        ({"hw:numa_nodes": "2", **CELLS, "hw:numa_cpus.1": "2-4"}, 2048, "names vCPU 4"),
        ({"hw:numa_nodes": "2", **CELLS}, 1024, "hw:numa_mem.N are 2048 MiB together, but memory_mib is 1024"),
        ({"hw:numa_nodes": "2", **CELLS, "hw:mem_page_size": "1048576"}, 2048, "NUMA node 0 of the instance has 1536 MiB"),
    ],
)
def test_what_no_host_takes(specs, ram, said):
    with pytest.raises(SpecError, match=said):
        check_numa(specs, 4, ram, read_mask)


@pytest.mark.parametrize(
    ("specs", "number"),
    [
        ({"hw:cpu_policy": "dedicated", "hw:numa_nodes": "1"}, 0),
        ({}, 0),
        ({"hw:numa_nodes": "2"}, 2),
        ({"hw:cpu_policy": "mixed", "hw:cpu_realtime_mask": "^0", "hw:mem_page_size": "2048"}, 1),
        ({"hw:cpu_policy": "mixed", "hw:cpu_realtime_mask": "3", "hw:numa_nodes": "2"}, 2),
        ({"hw:numa_nodes": "2", **CELLS, "hw:numa_cpus.0": "0", "hw:numa_cpus.1": "1-3"}, 3),
    ],
)
def test_ordinary_vcpus_of_a_numa_node(specs, number):
    assert ordinary_vcpus(specs, 4, read_mask) == number
