# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets, owners and the kernel of small nodes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import check_kernel
from ansible_collections.realtime.kvm.plugins.module_utils._boot.compared import TRIAL_TOKENS
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError, RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.document import read_partition
from ansible_collections.realtime.kvm.plugins.module_utils._host.kernel import read_kernel
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._host.threads import SWITCH_PID
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.guests import guest_samples
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.node import kernel_samples, owner_samples, partition_samples
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from unit.trees import machine_files, plan
from unit.watched import DEFINITIONS, PARTITION, domain, found, guest, look_at, node, samples_of, task

CPU = "/sys/devices/system/cpu"


def owners(look):
    """Kind and owner of each isolated CPU."""
    for source in (partition_samples, guest_samples):
        samples_of(source, look)
    return {labels[0]: (labels[3], labels[2]) for labels in samples_of(owner_samples, look)["cpu_owner_info"]}


def free(look):
    for source in (partition_samples, guest_samples):
        samples_of(source, look)
    out = samples_of(owner_samples, look)
    return {node: value for (node,), value in out["realtime_cpus_free"].items()}, out["largest_guest_vcpus"][()]


# -- partition -------------------------------------------------------------------------------------


def test_a_node_shows_its_sets(tmp_path):
    out = samples_of(partition_samples, node(tmp_path))
    assert out["info"] == {("r1", "boot", "single"): 1}
    assert out["partition_valid"] == {(): 1}
    assert out["set_cpus"] == {("housekeeping",): 1, ("dataplane",): 0, ("realtime",): 3, ("shared",): 0, ("idle",): 0}


def test_a_node_without_partition_says_so(tmp_path):
    look = node(tmp_path)
    (tmp_path / DOCUMENT[1:]).unlink()
    assert samples_of(partition_samples, look) == {"info": {("r1", "", ""): 1}, "partition_valid": {(): 0}}
    assert samples_of(owner_samples, look) == {}
    assert list(samples_of(kernel_samples, look)) == ["kernel_info"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged"),
        ('{"schema": 2}', "newer release"),
        (json.dumps({**to_document(PARTITION), "smt": 3}), "damaged"),
        ("", "damaged"),
    ],
)
def test_a_document_that_is_newer_or_damaged_is_named_and_nothing_depends_on_it(tmp_path, text, said):
    look = node(tmp_path)
    (tmp_path / DOCUMENT[1:]).write_text(text)
    out = Samples()
    with pytest.raises(RefusalError, match=said):
        partition_samples(look, out)
    assert found(out) == {"partition_valid": {(): 0}}
    assert samples_of(owner_samples, look) == {}


@pytest.mark.parametrize(
    "files",
    [{f"{CPU}/online": "0-2\n"}, {"/sys/devices/system/node/node0/cpulist": "0-2\n"}, {f"{CPU}/online": "damaged\n"}],
    ids=["a CPU is off", "a CPU is on no node", "damaged"],
)
def test_a_document_of_other_cpus_is_not_valid(tmp_path, files):
    assert samples_of(partition_samples, node(tmp_path, files))["partition_valid"] == {(): 0}


def test_a_kernel_without_numa_shows_no_nodes(tmp_path):
    look = node(tmp_path)
    (tmp_path / "sys/devices/system/node/node0/cpulist").unlink()
    assert samples_of(partition_samples, look)["partition_valid"] == {(): 1}


# -- owners ----------------------------------------------------------------------------------------


def test_who_owns_each_cpu(tmp_path):
    partition = plan(Intent(cpus={"dataplane": "1", "realtime": "2-6"}), cores=8)
    look = node(
        tmp_path,
        machine_files(cores=8),
        guest("plc1", 70, ["2"]),
        {SWITCH_PID: "90\n", f"{HOLDERS['realtime']}/cpuset.cpus": "4-5\n"},
        task(90, 90, "ovs-vswitchd", "0"),
        task(90, 91, "pmd-c01/id:9", "1"),
        task(60, 60, "cyclictest", "3"),
        task(61, 61, "stress", "0-7"),
        task(62, 62, "wide", "4-5"),
        task(14, 14, "ksoftirqd/6", "6", kernel=True),
        partition=partition,
    )
    assert owners(look) == {
        "1": ("pmd", "pmd-c01"),
        "2": ("vcpu", "plc1 vcpu0"),
        "3": ("program", "cyclictest"),
        "4": ("held", "holder of realtime"),
        "5": ("held", "holder of realtime"),
        "6": ("none", ""),
    }


def test_of_two_owners_the_guest_is_shown(tmp_path):
    look = node(tmp_path, task(60, 60, "early", "2"), guest("plc1", 70, ["2"]), task(80, 80, "late", "2"))
    assert owners(look)["2"] == ("vcpu", "plc1 vcpu0")


def test_a_guest_that_libvirt_does_not_know_has_the_name_that_qemu_was_given(tmp_path):
    files = {path: text for path, text in guest("by, hand", 70, ["1"]).items() if "libvirt" not in path}
    assert owners(node(tmp_path, files))["1"] == ("vcpu", "by, hand vcpu0")


def test_a_helper_of_a_guest_with_a_cpu_of_its_own_is_named_with_it(tmp_path):
    look = node(tmp_path, guest("plc1", 70, ["1"]), task(70, 79, "IO iothread1", "3"))
    assert owners(look)["3"] == ("program", "plc1 IO iothread1")


def test_free_cpus_and_the_largest_guest(tmp_path):
    look = node(tmp_path)
    assert free(look) == ({"0": 3}, 3)
    look = node(tmp_path, guest("plc1", 70, ["1"]))
    assert free(look) == ({"0": 2}, 2)
    look = node(tmp_path, {f"{DEFINITIONS}/off.xml": domain("off", pins=[(0, "2")])})
    assert free(look) == ({"0": 1}, 0), "a guest that is off keeps its CPUs, and one vCPU is no real-time guest"


def test_a_core_of_which_a_thread_is_in_use_is_not_free_for_a_guest(tmp_path):
    partition = plan(Intent(smt="together"), cores=4, threads=2)
    look = node(tmp_path, machine_files(cores=4, threads=2), task(60, 60, "test", "1"), partition=partition)
    cpus, largest = free(look)
    assert cpus == {"0": len(partition.sets["realtime"]) - 1}
    assert largest == len(partition.sets["realtime"]) - 2


# -- kernel ----------------------------------------------------------------------------------------

WANTED = {"default_kernel": "*-rt-amd64", "tokens": ["isolcpus=1-3", "nohz_full=1-3"]}
AS_ASKED = "BOOT_IMAGE=/x ro isolcpus=1-3 nohz_full=1-3"


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"/proc/cmdline": "ro quiet\n"}, False),
        ({"/proc/cmdline": f"{AS_ASKED} isolcpus=2\n"}, False),
        ({"/proc/cmdline": f"{AS_ASKED.replace('nohz_full', 'nohz-full')} foreign=1\n"}, True),
        ({"/proc/cmdline": f"{AS_ASKED} {' '.join(TRIAL_TOKENS)}\n"}, True),
        ({"/proc/sys/kernel/osrelease": "6.1.0-50-amd64\n"}, False),
        ({"/proc/sys/kernel/version": "#1 SMP PREEMPT_DYNAMIC\n"}, False),
        ({f"{CPU}/isolated": "1-2\n"}, False),
        ({f"{CPU}/isolated": "\n"}, False),
    ],
)
def test_the_kernel_is_as_documented_where_the_audit_has_no_finding(tmp_path, changed, same):
    look = node(tmp_path, {"/proc/cmdline": AS_ASKED, config_path("kernel_arguments"): json.dumps(WANTED)}, changed)
    samples_of(partition_samples, look)
    out = samples_of(kernel_samples, look)
    assert out["kernel_as_documented"] == {(): same}
    kernel = read_kernel(look.host)
    found_by_audit = check_kernel(
        read_partition(look.host),
        release=kernel.release,
        realtime=kernel.realtime,
        isolated=kernel.isolated,
        cmdline=kernel.cmdline,
        wanted=WANTED,
    )
    assert (found_by_audit == []) is same
    assert out["kernel_info"] == {(kernel.release, "true" if kernel.realtime else "false"): 1}


@pytest.mark.parametrize(
    ("changed", "isolates"),
    [
        ({}, True),
        ({"/proc/cmdline": f"{AS_ASKED} isolcpus=2\n"}, True),
        ({"/proc/sys/kernel/osrelease": "6.1.0-50-amd64\n"}, True),
        ({f"{CPU}/isolated": "1-2\n"}, True),
        ({"/proc/sys/kernel/version": "#1 SMP PREEMPT_DYNAMIC\n"}, False),
        ({f"{CPU}/isolated": "\n"}, False),
    ],
)
def test_a_kernel_that_waits_for_its_next_boot_isolates_all_the_same(tmp_path, changed, isolates):
    look = node(tmp_path, {"/proc/cmdline": AS_ASKED, config_path("kernel_arguments"): json.dumps(WANTED)}, changed)
    samples_of(partition_samples, look)
    out = samples_of(kernel_samples, look)
    assert out["kernel_isolates"] == {(): isolates}
    assert isolates or out["kernel_as_documented"] == {(): 0}, "what explains other alerts has one of its own"


def test_a_node_that_is_isolated_at_run_time_needs_no_isolated_kernel(tmp_path):
    look = node(
        tmp_path,
        {f"{CPU}/isolated": "\n", config_path("kernel_arguments"): json.dumps({"default_kernel": None, "tokens": []})},
        partition=replace(PARTITION, isolation="runtime"),
    )
    samples_of(partition_samples, look)
    out = samples_of(kernel_samples, look)
    assert (out["kernel_as_documented"], out["kernel_isolates"]) == ({(): 1}, {(): 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5025.18 9876.54\n", {(): 5025.18}),
        ("0.00 0.00\n", {(): 0}),
        ("", {}),
        ("-1.0 2\n", {}),
        ("٣.0 2\n", {}),
        ("9" * 5000 + ".0 2\n", {}),
    ],
)
def test_how_long_the_node_has_run_does_not_depend_on_its_clock(tmp_path, text, expected):
    assert samples_of(kernel_samples, node(tmp_path, {"/proc/uptime": text})).get("uptime_seconds", {}) == expected


@pytest.mark.parametrize("text", ["", "{}", '{"tokens": "x", "default_kernel": null}', "\0"])
def test_damaged_options_of_the_kernel_are_named(tmp_path, text):
    look = node(tmp_path, {config_path("kernel_arguments"): text})
    samples_of(partition_samples, look)
    out = Samples()
    with pytest.raises(HostError, match=r"kernel_arguments\.json is damaged"):
        kernel_samples(look, out)
    assert list(found(out)) == ["kernel_info"]


def test_the_look_is_shared(tmp_path):
    look = look_at(tmp_path)
    assert (look.partition, look.isolated, look.release) == (None, frozenset(), "r1")
