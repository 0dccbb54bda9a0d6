# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_audit: what it is asked for and what it was given, as Ansible runs it, and on nodes that are isolated at run time."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._audit import read as _audit_read
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import ROOT as CGROUPS
from ansible_collections.realtime.kvm.plugins.module_utils._module import _door
from ansible_collections.realtime.kvm.plugins.module_utils._module import rt_audit as body
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import PROGRAM
from ansible_collections.realtime.kvm.plugins.modules import rt_audit as module
from unit.documents import ROOT
from unit.libvirts import FakeLibvirtOf
from unit.plants import GUESTS, NETWORKS, PLC1, matches
from unit.trees import fill, machine_files, plan, snapshot

CPU = "/sys/devices/system/cpu"


def test_without_specs_running_guests_are_held_against_their_definitions(plant):
    assert plant.findings(guests=[], networks=[]) == []
    plant.libvirt.edit_thread("plc1", "vcpu1", cpus="5")
    assert plant.findings(guests=[], networks=[]) == [("guest-live", "domain plc1: vcpu1")]
    plant.libvirt.edit_thread("plc1", "vcpu1", cpus="5,11")
    assert plant.findings(guests=[], networks=[]) == [("vcpu-pin", "domain plc1: vcpu1")]
    plant.switch.set(".", "other_config", "pmd-cpu-mask", "0x2")  # whose is it?
    assert plant.findings(guests=[], networks=[]) == [("vcpu-pin", "domain plc1: vcpu1")]


def test_libvirt_and_switch_that_nobody_needs_may_be_absent(plant):
    plant.answers = False
    os.unlink(f"{plant.root}{PROGRAM}")
    result = plant.audit(guests=[], networks=[])
    # two guests whose vCPUs share a core: whether that is a wish, their definitions know
    assert result["findings"] == []
    assert [(item["part"], item["state"]) for item in result["unchecked"]] == [("libvirt", "absent")]


def test_a_libvirt_that_does_not_answer_is_one_finding_and_the_rest_is_done(plant, monkeypatch):
    def fail(_self, _host):
        raise HostError("libvirt (qemu:///system) does not answer: broken")

    for name in ("connect", "existing"):
        monkeypatch.setattr(FakeLibvirtOf, name, fail)
    plant.write("/proc/sys/vm/stat_interval", "1\n")
    result = plant.audit()
    assert [(item["rule"], item["actual"]) for item in result["findings"]] == [
        ("libvirt-missing", "libvirt (qemu:///system) does not answer: broken"), ("setting", "1"),
    ]  # fmt: skip


def test_a_guest_that_the_inventory_has_changed_waits_for_its_role(plant):
    more = [{**PLC1, "memory_mib": 256}, *GUESTS[1:]]
    found = plant.findings(guests=more)
    assert matches(
        found,
        [
            ("options", config_path("kvm_host")), ("hugepages", "*node0*/nr_hugepages"), ("guest-restart", "domain plc1"),
            ("guest-definition", "domain plc1: memory"), ("guest-definition", "domain plc1: currentMemory"),
        ],
    ), found  # fmt: skip


def test_guests_and_ports_that_are_not_listed_are_remarks(plant):
    result = plant.audit(guests=GUESTS[:1])
    assert {(item["rule"], item["resource"]) for item in result["remarks"]} >= {
        ("guest-unlisted", "domain plc2"), ("guest-unlisted", "domain historian"), ("switch-unlisted", "port plc2.control"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("guests", "said"),
    [
        ([{**PLC1, "memory_mib": 129}], "realtime_guests: plc1: memory_mib 129 is no multiple"),
        ([{**PLC1, "vcpus": 9}], "realtime_guests: plc1 asks for 7 realtime CPUs"),
        ([{**PLC1, "networks": [{"network": "none"}]}], "network 'none' is not in realtime_networks"),
    ],
)
def test_an_inventory_that_cannot_be_had_is_one_finding_in_its_own_words(plant, guests, said):
    result = plant.audit(guests=guests)
    refused = [item["actual"] for item in result["findings"] if item["rule"] == "refused"]
    assert len(refused) == 1, refused
    assert said in refused[0]


def test_what_another_finding_explains_is_told_as_unchecked(plant):
    plant.foreign(cpu="2")
    result = plant.audit()
    assert [item["rule"] for item in result["findings"]] == ["vcpu-overlap"]
    assert any(
        "plc1 is pinned to realtime CPU 2, which domain theirs uses as well" in item["reason"] for item in result["unchecked"]
    )


def test_a_definition_that_makes_no_sense_is_named_without_a_traceback(plant):
    plant.libvirt.definitions["odd"] = (
        "<domain type='kvm'><name>odd</name><vcpu>1</vcpu><cpu><topology threads='x'/></cpu></domain>"
    )
    result = plant.audit()
    assert result["findings"]
    assert {item["rule"] for item in result["findings"]} <= {"unchecked", "refused"}
    assert "threads='x', which is no number" in result["findings"][0]["actual"]


def test_a_priority_limit_is_the_nodes_own_unless_given(plant):
    high = [{**PLC1, "priority": 3}, *GUESTS[1:]]
    (refused,) = [item for item in plant.audit(guests=high)["findings"] if item["rule"] == "refused"]
    assert "priority 3" in refused["actual"]
    assert ("guest-thread", "domain plc1: vcpu1 scheduler") in plant.findings(guests=high, priority_limit=3)


@pytest.fixture(name="call")
def _call(capsys):
    def call(**arguments):
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return json.loads(out)

    return call


def test_a_snapshot_is_held_against_its_own_kernel_and_never_written(call, tmp_path):
    snap = fill(tmp_path / "snap", {**machine_files(cores=4, threads=2), "/proc/cmdline": "ro isolcpus=0-3 nohz_full=0-3\n"})
    before = snapshot(snap)
    result = call(fsroot=str(snap), guests=[PLC1], networks=NETWORKS)
    assert snapshot(snap) == before
    assert [item["rule"] for item in result["findings"]] == [
        "document-missing",
        "boot-cpu-isolated",
        "smt-split",
        "isolcpus-flags",
    ]
    assert result["unchecked"][0]["reason"] == "not looked for in a snapshot"
    assert (result["changed"], result["changes"]) == (False, [])


@pytest.mark.parametrize(
    ("files", "rules"),
    [
        ({}, ["document-missing"]),
        ({"/sys/devices/system/cpu/cpu1/topology/thread_siblings_list": "x\n"}, ["document-missing", "unchecked"]),
        ({DOCUMENT: "[]"}, ["file-damaged"]),
        ({DOCUMENT: '{"schema": 9}'}, ["file-damaged"]),
        ({JOURNAL: "{"}, ["file-damaged", "document-missing"]),
        ({"/proc/irq/9/smp_affinity_list": "x", "/proc/irq/9/acpi/": None, "/proc/interrupts": "CPU0\n9:"}, ["document-missing"]),
        ({"/proc/config.gz": b"\x1f\x8bnonsense"}, ["document-missing"]),
        ({"/proc/5/task/5/stat": "5 (x) S", "/proc/5/task/5/status": "Name:"}, ["document-missing", "unchecked"]),
        ({"/etc/nova/nova.conf": "[compute]\ncpu_dedicated_set = many\n"}, ["document-missing", "nova-sets"]),
        ({"/proc/cmdline": "isolcpus=managed_irq,x-y nohz_full=!"}, ["document-missing"]),
    ],
)
def test_damaged_files_are_named_and_the_rest_is_done(call, tmp_path, files, rules):
    snap = fill(tmp_path / "snap", {**machine_files(), **files})
    assert [item["rule"] for item in call(fsroot=str(snap))["findings"]] == rules


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"interval": -1}, "interval: -1.0 is not in 0-60 seconds"),
        ({"interval": 61}, "interval: 61.0 is not in 0-60 seconds"),
        ({"host": {"switch_pages": "4K"}}, "value of switch_pages must be one of: 2M, 1G"),
        ({"switch": {"unknown": 1}}, "Unsupported parameters"),
    ],
)
def test_bad_options_are_refused(call, tmp_path, arguments, said):
    result = call(fsroot=str(fill(tmp_path / "snap", machine_files())), **arguments)
    assert result["failed"]
    assert said in result["msg"]


def test_it_waits_for_idle_states_only_where_there_are_any(plant, monkeypatch):
    waited = []
    monkeypatch.setattr(_audit_read.time, "sleep", waited.append)
    plant.audit(interval=30.0)
    assert len(waited) == 1
    for path in plant.root.glob("sys/devices/system/cpu/cpu*/cpuidle/*/*"):
        path.unlink()
    for path in plant.root.glob("sys/devices/system/cpu/cpu*/cpuidle/*"):
        path.rmdir()
    plant.audit(interval=30.0)
    assert len(waited) == 1


def test_the_roles_defaults_are_the_modules(call):
    """The role leaves out what the inventory does not say; then the module's defaults hold, which must be the roles'."""
    del call
    for role, options in (("kvm_host", body.HOST), ("ovs_dpdk", body.SWITCH)):
        defaults = yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
        for name, spec in options.items():
            value = defaults[f"{role}_{'extra' if name == 'dpdk_extra' else name}"]
            assert value == spec["default"] or "default(0)" in str(value), name


def test_it_is_an_info_module(call, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(_door, "Host", lambda root, **options: seen.append(options) or Host(str(tmp_path), **options))
    call()
    assert seen[0]["check_mode"] is True


def runtime_files():
    partition = replace(plan(), isolation="runtime")  # housekeeping 0, realtime 1-3
    holder = HOLDERS["realtime"]
    return {
        **machine_files(),
        DOCUMENT: json.dumps(to_document(partition)),
        config_path("cpu_partition"): '{"rt_throttling": "kernel", "priority_limit": 1, "cycle_cpus": true}',
        config_path("cpu_power"): '{"governor": "keep", "turbo": "keep", "cstates": "keep"}',
        config_path("irq_affinity"): "{}",
        f"{CGROUPS}/cpuset.cpus.isolated": "1-3\n",
        f"{CGROUPS}/cgroup.controllers": "cpuset cpu memory\n",
        f"{CGROUPS}/cgroup.subtree_control": "cpuset\n",
        f"{holder}/cpuset.cpus": "1-3\n",
        f"{holder}/cpuset.cpus.partition": "isolated\n",
        **{f"{CPU}/cpu{cpu}/online": "1\n" for cpu in (1, 2, 3)},
    }


#: Files of the boot service and of the slices, which the module writes and this small tree has not.
SERVICE = {"boot-service", "host-file"}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, []),
        ({f"{HOLDERS['realtime']}/cpuset.cpus.partition": "isolated invalid (Parent is not a partition root)\n"}, [("cpuset", "cpuset:realtime")]),
        ({f"{HOLDERS['realtime']}/cpuset.cpus": "1-2\n"}, [("cpuset", "cpuset:realtime")]),
        ({f"{CGROUPS}/user.slice/cpuset.cpus": "0-3\n"}, [("cpuset", f"{CGROUPS}/user.slice/cpuset.cpus")]),
        ({f"{CGROUPS}/rogue/cpuset.cpus.partition": "isolated\n", f"{CGROUPS}/rogue/cpuset.cpus.effective": "3\n"}, [("refused", "settings of cpu_partition")]),
    ],
)  # fmt: skip
def test_partitions_made_at_run_time(call, tmp_path, files, found):
    snap = fill(tmp_path / "snap", {**runtime_files(), **files})
    items = [item for item in call(fsroot=str(snap))["findings"] if item["rule"] not in SERVICE]
    assert [(item["rule"], item["resource"]) for item in items] == found
