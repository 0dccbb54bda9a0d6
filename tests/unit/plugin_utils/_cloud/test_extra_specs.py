# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nova's rules for extra specs: names, values, and what goes together."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.errors import SpecError
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.extra_specs import (
    check_extra_specs,
    check_name,
    check_value,
    read_mask,
    text_of,
)

REALTIME = {"hw:cpu_policy": "dedicated", "hw:cpu_realtime": "true", "hw:mem_page_size": "2048"}
MIXED = {**REALTIME, "hw:cpu_policy": "mixed"}


@pytest.mark.parametrize(
    "name",
    [
        "hw:cpu_policy",
        "hw:numa_cpus.12",
        "trait:CUSTOM_X_1",
        "trait2:CUSTOM_X",
        "trait_net:HW_CPU_X86_AVX512F",
        "resources:VGPU",
        "resources1:CUSTOM_RT",
        "aggregate_instance_extra_specs:anything",
        "capabilities:cpu_info:features",
    ],
)
def test_names_that_nova_knows_are_taken(name):
    check_name(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hw:cpu_polcy", "hw:cpu_policy"),
        ("hw:emulator_thread_policy", "hw:emulator_threads_policy"),
        ("hw:realtime", "hw:cpu_realtime"),
        ("hw:cpu_realtime_masks", "hw:cpu_realtime_mask"),
        ("hw:mem_pagesize", "hw:mem_page_size"),
        ("cpu_policy", "hw:cpu_policy"),
        ("hw_cpu_policy", "hw:cpu_policy"),
        ("os:cpu_realtime", "hw:cpu_realtime"),
        ("traits:CUSTOM_REALTIME_KVM", "trait:CUSTOM_REALTIME_KVM"),
    ],
)
def test_a_misspelt_name_is_refused_with_what_was_meant(name, meant):
    with pytest.raises(SpecError, match=f"did you mean {meant}\\?"):
        check_name(name)


@pytest.mark.parametrize("name", ["", "a" * 256, "hw:é", "hw:x\n", "zz:qq"])
def test_other_names_are_refused(name):
    with pytest.raises(SpecError):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("hw:cpu_policy", "dedicate", "did you mean dedicated"),
        ("hw:cpu_realtime", "sometimes", "neither true nor false"),
        ("hw:cpu_realtime_mask", "a", "form"),
        ("hw:cpu_realtime_mask", "^0,", "form"),
        ("hw:numa_nodes", "0", "less than 1"),
        ("hw:numa_nodes", "two", "whole number"),
        ("hw:numa_nodes", "9" * 40, "whole number"),
        ("hw:redirected_usb_ports", "16", "more than 15"),
        ("hw:mem_page_size", "huge", "form"),
        ("trait:CUSTOM_X", "require", "did you mean required"),
        ("trait:HW_CPU_X86_AVX", "yes", "not one of"),
        ("resources:VGPU", "one", "whole number"),
        ("accel:device_profile", "x" * 256, "256 characters"),
    ],
)
def test_a_value_that_nova_refuses_is_refused(name, value, said):
    with pytest.raises(SpecError, match=said):
        check_value(name, value)


@pytest.mark.parametrize(
    ("text", "vcpus"),
    [
        ("^0", {1, 2, 3}),
        ("^1", {0, 2, 3}),
        ("^0-1", {2, 3}),
        ("0", {0}),
        ("1-2", {1, 2}),
        ("0-3,^2", {0, 1, 3}),
        ("^0,^2", {1, 3}),
    ],
)
def test_masks_are_read_in_all_of_novas_forms(text, vcpus):
    assert read_mask(text, 4, "mask") == vcpus


@pytest.mark.parametrize("text", ["4", "1-9", "^0-3", "0,^0", "3-1", "x"])
def test_masks_beyond_or_without_vcpus_are_refused(text):
    with pytest.raises(SpecError, match="mask"):
        read_mask(text, 4, "mask")


@pytest.mark.parametrize(
    "specs",
    [
        {},
        {"hw:cpu_policy": "shared"},
        {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "require"},
        {**REALTIME, "hw:emulator_threads_policy": "share"},
        {**REALTIME, "hw:cpu_realtime_mask": "^0"},
        {**MIXED, "hw:cpu_realtime_mask": "1-2"},
        {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0"},
        {**REALTIME, "hw:cpu_realtime_mask": "^0", "hw:locked_memory": "true"},
    ],
)
def test_what_goes_together_is_taken(specs):
    check_extra_specs(specs, 4, vhost_user=bool(specs.get("hw:mem_page_size")))


@pytest.mark.parametrize(
    ("specs", "said"),
    [
        (REALTIME, "hw:emulator_threads_policy is not given"),
        ({**REALTIME, "hw:cpu_realtime_mask": "0-3"}, "hw:emulator_threads_policy is not given"),
        ({**MIXED, "hw:cpu_realtime_mask": "1", "hw:cpu_dedicated_mask": "1"}, "only one of them"),
        (MIXED, "needs hw:cpu_realtime_mask or hw:cpu_dedicated_mask"),
        ({**MIXED, "hw:cpu_realtime_mask": "0-3", "hw:emulator_threads_policy": "share"}, "names all 4 vCPUs"),
        ({"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0"}, "not given .shared."),
        ({"hw:cpu_policy": "shared", "hw:cpu_realtime": "1"}, "hw:cpu_policy is shared"),
        ({"hw:cpu_policy": "shared", "hw:cpu_thread_policy": "isolate"}, "pinned"),
        ({"trait:HW_CPU_HYPERTHREADING": "forbidden"}, "pinned"),
        ({"hw:emulator_threads_policy": "isolate"}, "pinned"),
        ({"hw:cpu_policy": "dedicated", "hw:cpu_dedicated_mask": "1"}, "needs hw:cpu_policy=mixed"),
        ({"hw:cpu_policy": "dedicated", "hw:cpu_realtime_mask": "^0"}, "ignored by Nova"),
        ({"hw:cpu_policy": "dedicated", "resources:PCPU": "4"}, "resources:PCPU: hw:cpu_policy says"),
        (
            {"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "prefer", "trait:HW_CPU_HYPERTHREADING": "required"},
            "both together",
        ),
        ({"hw:locked_memory": "true"}, "needs hw:mem_page_size"),
        ({**REALTIME, "hw:cpu_realtime_mask": "^0", "hw:mem_page_size": "small"}, "small pages"),
        *(
            ({**REALTIME, "hw:cpu_realtime_mask": "^0", "hw:mem_page_size": size}, "small pages")
            for size in ("any", "4", "4KB", "4KiB", "4096B")
        ),
        *(({"hw:cpu_policy": "shared", "hw:mem_page_size": size}, "is no size for Nova") for size in ("4kB", "2kB", "4K", "2M")),
        ({**REALTIME, "hw:cpu_realtime_mask": "^0", "hw:mem_page_size": "4096"}, r"no size of huge pages of the hosts .2M, 1G."),
        (
            {name: value for name, value in {**REALTIME, "hw:cpu_realtime_mask": "^0"}.items() if name != "hw:mem_page_size"},
            "so a real-time instance has small pages",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(specs, said):
    with pytest.raises(SpecError, match=said):
        check_extra_specs(specs, 4)


@pytest.mark.parametrize("size", ["small", "any", "4", "4KB"])
def test_small_pages_are_no_memory_for_the_switch(size):
    with pytest.raises(SpecError, match="which the switch cannot map"):
        check_extra_specs({"hw:cpu_policy": "shared", "hw:mem_page_size": size}, 2, vhost_user=True)


@pytest.mark.parametrize("size", ["large", "2048", "2MB", "2048KiB", "1GB", "1048576"])
def test_huge_pages_in_all_of_novas_forms_are_taken(size):
    check_extra_specs({**REALTIME, "hw:cpu_realtime_mask": "^0", "hw:mem_page_size": size}, 4, 2048, vhost_user=True)


NODES = {"hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "2-3", "hw:numa_mem.0": "1024", "hw:numa_mem.1": "1024"}


@pytest.mark.parametrize(
    ("specs", "memory", "said"),
    [
        ({"hw:numa_nodes": "3"}, 2048, "choose multiples of 3"),
        ({"hw:numa_nodes": "8"}, 2048, "choose multiples of 8"),
        ({"hw:numa_nodes": "2"}, 2049, "choose multiples of 2"),
        ({"hw:numa_cpus.0": "0-3"}, 2048, "hw:numa_cpus.0 and hw:numa_mem.0"),
        ({"hw:numa_mem.0": "2048"}, 2048, "hw:numa_cpus.0 and hw:numa_mem.0"),
        ({**NODES}, 2048, "of the one node"),
        ({**NODES, "hw:numa_nodes": "3"}, 2048, "of all 3 nodes"),
        ({**NODES, "hw:numa_nodes": "2", "hw:numa_cpus.1": "2"}, 2048, "name vCPUs 0-2, but each of 0-3"),
        ({**NODES, "hw:numa_nodes": "2", "hw:numa_cpus.1": "1-3"}, 2048, "in one node, once"),
        ({**NODES, "hw:numa_nodes": "2", "hw:numa_mem.1": "512"}, 2048, "1536 MiB together, but the flavor has 2048"),
        (
            {"hw:numa_nodes": "2"},
            2050,
            "1025 MiB of one is no multiple of the pages .hw:mem_page_size=2048., so no host can ever take it; choose 2052",
        ),
        ({"hw:numa_nodes": "2", "hw:mem_page_size": "1GB"}, 1024, "choose 2048"),
        ({"hw:numa_nodes": "2", "hw:mem_page_size": "large"}, 2050, "choose 2052"),
        ({"hw:mem_page_size": "1GB"}, 1536, "1536 MiB of one is no multiple"),
        ({**NODES, "hw:numa_nodes": "2", "hw:numa_mem.0": "1023", "hw:numa_mem.1": "1025"}, 2048, "1023 MiB of one"),
    ],
)
def test_nodes_that_nova_refuses_or_no_host_has_are_refused(specs, memory, said):
    with pytest.raises(SpecError, match=said):
        check_extra_specs({**MIXED, "hw:cpu_realtime_mask": "^0", **specs}, 4, memory)


@pytest.mark.parametrize("specs", [{"hw:numa_nodes": "2"}, {**NODES, "hw:numa_nodes": "2"}, {}])
def test_nodes_that_nova_makes_are_taken(specs):
    check_extra_specs({**MIXED, "hw:cpu_realtime_mask": "^0", **specs}, 4, 2048)


def test_an_instance_without_numa_nodes_has_no_parts():
    check_extra_specs({"hw:cpu_policy": "shared"}, 3, 1023)


def test_vhost_user_needs_a_page_size():
    with pytest.raises(SpecError, match="vhost-user"):
        check_extra_specs({"hw:cpu_policy": "dedicated"}, 2, vhost_user=True)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (2048, "2048"), ("^0", "^0")])
def test_values_of_yaml_are_written_as_nova_keeps_them(value, text):
    assert text_of(value) == text
