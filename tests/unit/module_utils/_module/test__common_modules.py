# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules as Ansible runs them, one after the other: checked, made, repeated, taken back, and on bad input."""

from __future__ import annotations

import json
import os
import re

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import UNIT_TEXTS, WANTS
from unit.calls import PARTITION
from unit.trees import fill, snapshot


def test_check_mode_on_this_machine_writes_nothing(call):
    if os.path.exists(DOCUMENT) or (os.cpu_count() or 1) < 2:
        pytest.skip("needs a machine that is no node yet and has two CPUs")
    result = call("cpu_partition", check=True, tuned="take_over")
    if result.get("failed"):
        assert re.match("cpu_partition_[a-z_]+: ", result["msg"]), "a machine too small is told so by variable"
    else:
        assert result["changed"]
        assert [change["resource"] for change in result["changes"]][:2] == [DOCUMENT, ARCHIVE]
    for name in ("cpu_power", "irq_affinity"):
        told = call(name, check=True, partition=PARTITION)
        assert "the partition file describes another topology than the node has now" in told["msg"]
    units = [path for unit in UNIT_TEXTS for path in (unit, f"{WANTS}/{os.path.basename(unit)}")]
    assert not [path for path in (DOCUMENT, ARCHIVE, *units, JOURNAL, "/etc/realtime-kvm") if os.path.lexists(path)]


def test_a_snapshot_is_planned_for_and_never_written(call, snap):
    before = snapshot(snap)
    result = call(
        "cpu_partition", fsroot=str(snap), dataplane_devices=["ens1"], shared_cores_per_node=1, realtime=1, smt="together"
    )
    assert {name: cpus["cpus"] for name, cpus in result["partition"]["sets"].items()} == {
        "housekeeping": "0,4",
        "dataplane": "1,5",
        "shared": "2,6",
        "realtime": "3,7",
    }
    assert result["deferred"] is True
    assert result["disruption"] == "none"
    told = call("kernel_arguments", fsroot=str(snap), partition=result["partition"], arguments=["a=1"], default_kernel="*-rt-*")
    assert told["arguments"][0]["token"] == "isolcpus=managed_irq,domain,1,3,5,7"
    assert told["arguments"][-1]["token"] == "a=1"
    assert all(argument["reason"] for argument in told["arguments"])
    assert (told["reboot_required"], told["changed"]) == (True, False), "the captured command line lacks them"
    assert told["missing"] == [argument["token"] for argument in told["arguments"]]
    assert told["not_counted"] == ["the boot loader's files and the kernel that boots next: captured files hold no boot loader"]
    assert snapshot(snap) == before


def test_of_a_snapshot_a_boot_is_counted_only_where_its_command_line_shows_it(call, snap):
    partition = call("cpu_partition", fsroot=str(snap))["partition"]
    wanted = [item["token"] for item in call("kernel_arguments", fsroot=str(snap), partition=partition)["arguments"]]
    fill(snap, {"/proc/cmdline": f"quiet {' '.join(wanted)}\n"})
    same = call("kernel_arguments", fsroot=str(snap), partition=partition)
    assert (same["reboot_required"], same["missing"], same["following"]) == (False, [], {})
    fill(snap, {"/proc/cmdline": f"quiet {' '.join(wanted[1:])}\n"})
    less = call("kernel_arguments", fsroot=str(snap), partition=partition)
    assert (less["reboot_required"], less["missing"]) == (True, wanted[:1])
    told = call("kernel_arguments", fsroot=str(snap), partition=partition, max_disruption="none")
    assert "running kernel and arguments (reboot)" in told["msg"]
    (snap / "proc/cmdline").unlink()
    blind = call("kernel_arguments", fsroot=str(snap), partition=partition)
    assert (blind["reboot_required"], blind["disruption"]) == (False, "none")
    assert blind["not_counted"] == [
        "kernel arguments and the reboot that they need: captured files hold no boot loader and no command line"
    ]


@pytest.mark.parametrize("name", ["cpu_power", "irq_affinity", "kernel_arguments"])
def test_without_a_document_the_role_to_run_is_named(refuse, name):
    assert re.search(rf"there is no partition on this node \({DOCUMENT} is missing\); run the cpu_partition role", refuse(name))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"schema": 9}', json.dumps({**PARTITION, "sets": {}}), "\xff\x00"]
)
@pytest.mark.parametrize("name", ["cpu_power", "irq_affinity", "kernel_arguments", "cpu_partition_info"])
def test_a_damaged_document_is_named(snap, refuse, name, text):
    fill(snap, {DOCUMENT: text})
    assert re.match(rf"\w+: {DOCUMENT}: .*", refuse(name))


@pytest.mark.parametrize(
    "damage",
    [
        {"sets": None},
        {"sets": {**PARTITION["sets"], "shared": {"cpus": "1"}}},
        {"idle": {"cpus": "9"}},
        {"smt": "what"},
        {"isolation": 7},
        {"boot_cpu": 1},
        {"boot_cpu": []},
        {"numa_nodes": {"x": "0-3"}},
        {"numa_nodes": {}},
        {"sets": {**PARTITION["sets"], "realtime": {"cpus": 13}}},
        {"schema": "1"},
    ],
)
@pytest.mark.parametrize("name", ["cpu_power", "irq_affinity", "kernel_arguments"])
def test_a_partition_given_that_contradicts_itself(refuse, name, damage):
    message = refuse(name, partition={**PARTITION, **damage})
    assert re.search(
        r"the partition file (is damaged|has schema '1').*; run the cpu_partition role \(site playbook\) to write it again",
        message,
    )


@pytest.mark.parametrize("fsroot", ["/none", "relative"])
@pytest.mark.parametrize("name", ["cpu_partition", "cpu_partition_info"])
def test_an_empty_snapshot_is_told(call, name, fsroot):
    result = call(name, fsroot=fsroot)
    assert result["failed"]
    assert re.match(rf"{name}: no CPU is listed below /sys/devices/system/cpu", result["msg"])


ALL = ("cpu_partition", "kernel_arguments", "cpu_power", "irq_affinity")


def test_the_whole_of_it_checked_made_repeated_and_taken_back(call, tree):
    before = snapshot(tree)
    for name in ALL:
        given = {} if name == "cpu_partition" else {"partition": PARTITION}
        at = snapshot(tree)
        check = call(name, check=True, **given)
        assert snapshot(tree) == at
        assert check["changed"]
        real = call(name)
        assert {key: real[key] for key in real if key != "invocation"} == {
            key: check[key] for key in check if key != "invocation"
        }
        again = call(name)
        assert (again["changed"], again["changes"], again["diff"]) == (False, [], [])
        assert call(name, check=True)["changed"] is False

    drift = call("cpu_partition_info")["drift"]
    assert {finding["rule"] for finding in drift} == {"kernel-argument"}
    cmdline = (tree / "proc/cmdline").read_text().split() + call("kernel_arguments")["missing"]
    fill(tree, {"/proc/cmdline": " ".join(cmdline)})
    assert call("cpu_partition_info")["drift"] == []
    fill(tree, {"/proc/sys/vm/stat_interval": "1\n"})
    (found,) = call("cpu_partition_info")["drift"]
    assert (found["rule"], found["resource"], found["expected"], found["actual"]) == (
        "setting",
        "/proc/sys/vm/stat_interval",
        "10",
        "1",
    )
    fill(tree, {"/proc/cmdline": before["/proc/cmdline"][2]})

    for name in ("irq_affinity", "cpu_power", "kernel_arguments", "cpu_partition"):
        check = call(name, check=True, state="absent")
        real = call(name, state="absent")
        assert real["changes"] == check["changes"] != []
        assert call(name, state="absent")["changed"] is False
    after = snapshot(tree)
    values = {path for path in before if path.startswith(("/proc/", "/sys/"))}
    assert {path: found for path, found in after.items() if path not in values} == {
        path: found for path, found in before.items() if path not in values
    }
    assert {path: after[path][-1].strip() for path in values if after[path][0] == "file"} == {
        path: before[path][-1].strip() for path in values if before[path][0] == "file"
    }
