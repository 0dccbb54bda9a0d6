# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_audit on a converged node: silent when all is right; each thing that is broken by hand has its finding and no other."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._audit import read as _audit_read
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN, GRUB_CFG
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import ROOT as CGROUPS
from ansible_collections.realtime.kvm.plugins.module_utils._module import _common
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import UNIT, WANTS
from ansible_collections.realtime.kvm.plugins.module_utils._switch.daemon import PROGRAM
from ansible_collections.realtime.kvm.plugins.modules import rt_audit as module
from unit.documents import ROOT
from unit.libvirts import FakeLibvirtOf
from unit.plants import GUESTS, KERNEL, NETWORKS, PLC1, SWITCH, Plant, mask
from unit.trees import fill, machine_files, plan, snapshot

NODE1 = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB"
CPU = "/sys/devices/system/cpu"
VHOST = (
    "<interface type='vhostuser'><mac address='52:54:00:00:00:09'/><source type='unix' path='/run/x' mode='server'/></interface>"
)


@pytest.fixture(name="plant")
def _plant(tmp_path, monkeypatch):
    return Plant(tmp_path / "node", monkeypatch)


def gone(path):
    def remove(plant):
        (plant.root / path[1:]).unlink()

    return remove


def written(path, text):
    return lambda plant: plant.write(path, text)


def edited(path, old, new):
    return lambda plant: plant.edit(path, old, new)


def task(*arguments, **options):
    return lambda plant: plant.task(*arguments, **options)


def redefined(old, new, name="plc1"):
    def change(plant):
        assert re.search(old, plant.libvirt.definitions[name]), plant.libvirt.definitions[name]
        plant.libvirt.definitions[name] = re.sub(old, new, plant.libvirt.definitions[name])

    return change


def moved(name, role, **options):
    return lambda plant: plant.libvirt.edit_thread(name, role, **options)


def switched(row, column, key, value):
    return lambda plant: plant.switch.set(row, column, key, value)


def foreign(**options):
    return lambda plant: plant.foreign(**options)


def both(*harms):
    def harm(plant):
        for one in harms:
            one(plant)

    return harm


def idle_entered(plant):
    """Counters that go on: read as 100 first, then as 103."""
    usage = f"{CPU}/cpu2/cpuidle/state2/usage"
    counts = iter(("100", "103"))
    value = Host.value
    Host.value = lambda host, path: next(counts) if path == usage else value(host, path)


def shown(one, other):
    """What ovs-appctl prints where these CPUs serve the two guests' ports."""
    ports = {one: "plc1.control", other: "plc2.control"}
    return "".join(
        f"pmd thread numa_id 0 core_id {cpu}:\n  isolated : false\n  port: {ports[cpu]:<16}  queue-id:  0 (enabled)   pmd usage:  0 %\n  overhead:  0 %\n"
        for cpu in sorted(ports)
    )


def stopped(plant):
    plant.libvirt.stop(["historian"], 0, force=True)


#: What is done to the node, and the findings that it must have: rule and resource, as a pattern.
SABOTAGES = {
    # the document, and what the roles keep
    "document gone": (gone(DOCUMENT), [("document-missing", DOCUMENT)]),
    "document damaged": (written(DOCUMENT, "{"), [("file-damaged", DOCUMENT)]),
    "document of other CPUs": (edited(DOCUMENT, '"topology_digest": "', '"topology_digest": "x'), [("topology-changed", "partition document")]),
    "journal damaged": (written(JOURNAL, "{"), [("file-damaged", JOURNAL)]),
    "options damaged": (written(config_path("cpu_power"), "{"), [("file-damaged", config_path("cpu_power"))]),
    "options of guests' memory damaged": (written(config_path("kvm_host"), "[]"), [("file-damaged", config_path("kvm_host"))]),
    "arguments on record damaged": (written(config_path("kernel_arguments"), "7"), [("file-damaged", config_path("kernel_arguments"))]),
    "power role never run": (gone(config_path("cpu_power")), [("unconfigured", config_path("cpu_power"))]),
    "kernel role never run": (gone(config_path("kernel_arguments")), [("unconfigured", config_path("kernel_arguments"))]),
    "boot service off": (gone(f"{WANTS}/{os.path.basename(UNIT)}"), [("boot-service", f"{WANTS}/*")]),
    "boot service edited": (edited(UNIT, "Type=oneshot", "Type=simple"), [("boot-service", UNIT)]),
    "boot service of an older release": (written(ARCHIVE, "old"), [("boot-service-old", ARCHIVE)]),
    # kernel and boot loader
    "another kernel": (written("/proc/sys/kernel/osrelease", "6.12.1-amd64\n"), [("kernel", "running kernel")]),
    "an older kernel": (written("/proc/sys/kernel/osrelease", "6.12.0-rt-amd64\n"), [("reboot-pending", "running kernel")]),
    "no real-time kernel": (written("/proc/sys/kernel/version", "#1 SMP\n"), [("kernel", "running kernel")]),
    "argument lost": (edited("/proc/cmdline", "skew_tick=1", ""), [("kernel-argument", "skew_tick")]),
    "not isolated": (written(f"{CPU}/isolated", "1-2\n"), [("isolation", f"{CPU}/isolated"), ("task", "sshd (pid 700)")]),  # balanced
    "isolcpus edited": (edited(DROP_IN, "isolcpus=managed_irq,domain,", "isolcpus=domain,"), [("boot-configuration", DROP_IN)]),
    "menu edited": (edited(GRUB_CFG, "isolcpus=managed_irq,domain,", "isolcpus=domain,"), [("boot-configuration", GRUB_CFG)]),
    "foreign argument": (
        written("/etc/default/grub.d/50-cloud.cfg", 'GRUB_CMDLINE_LINUX="isolcpus=1"\n'),
        [("argument-conflict", "/etc/default/grub.d/50-cloud.cfg")],
    ),
    "idle=poll": (edited("/proc/cmdline", " quiet", " quiet idle=poll"), [("idle-poll", "idle=poll")]),
    "mce=off": (edited("/proc/cmdline", " quiet", " quiet mce=off"), [("mce-off", "mce")]),
    "kthread_cpus": (edited("/proc/cmdline", " quiet", " quiet kthread_cpus=0"), [("argument-unknown", "kthread_cpus")]),
    "service manager on isolated CPUs": (
        edited("/proc/cmdline", " quiet", " quiet systemd.cpu_affinity=0,2"), [("housekeeping-overlap", "systemd.cpu_affinity")],
    ),
    "rationing kernel": (written(f"/boot/config-{KERNEL}", "CONFIG_RT_GROUP_SCHED=y\n"), [("rt-group-sched", "CONFIG_RT_GROUP_SCHED")]),
    "lockdown": (written("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"), [("lockdown", "/sys/kernel/security/lockdown")]),
    # run-time values
    "sysctl": (written("/proc/sys/vm/stat_interval", "1\n"), [("setting", "/proc/sys/vm/stat_interval")]),
    "throttling": (written("/proc/sys/kernel/sched_rt_runtime_us", "950000\n"), [("setting", "/proc/sys/kernel/sched_rt_runtime_us")]),
    "fair server": (
        written("/sys/kernel/debug/sched/fair_server/cpu4/runtime", "50000000\n"), [("setting", "/sys/kernel/debug/sched/fair_server/cpu4/runtime")],
    ),
    "workqueue": (written("/sys/devices/virtual/workqueue/cpumask", mask(*range(12))), [("setting", "/sys/devices/virtual/workqueue/cpumask")]),
    "governor": (written(f"{CPU}/cpufreq/policy4/scaling_governor", "powersave\n"), [("setting", f"{CPU}/cpufreq/policy4/scaling_governor")]),
    "idle limit": (written(f"{CPU}/cpu2/power/pm_qos_resume_latency_us", "0\n"), [("setting", f"{CPU}/cpu2/power/pm_qos_resume_latency_us")]),
    "idle state entered": (idle_entered, [("cstate-entered", "CPU 2")]),
    "kernel thread's CPUs": (task(60, "kcompactd0", "0-11", kernel=True), [("kthread", "thread:kcompactd0:60:*:affinity")]),
    "kernel thread's priority": (
        task(22, "ksoftirqd/2", "2", kernel=True, bound=True), [("kthread", "thread:ksoftirqd/2:22:*:priority")],
    ),
    "interrupt moved": (written("/proc/irq/24/smp_affinity_list", "2\n"), [("interrupt", "IRQ 24 (virtio0-config)")]),
    "interrupt fires there": (written("/proc/irq/24/effective_affinity_list", "2\n"), []),  # pending: it moves when it fires next
    "interrupt allowed there": (written("/proc/irq/9/smp_affinity_list", "0,2\n"), [("interrupt", "IRQ 9 (acpi)")]),
    "new interrupts": (written("/proc/irq/default_smp_affinity", mask(*range(12))), [("setting", "/proc/irq/default_smp_affinity")]),
    "irqbalance's list": (gone("/etc/realtime-kvm/irqbalance.env"), [("host-file", "/etc/realtime-kvm/irqbalance.env")]),
    "irqbalance by hand": (task(800, "irqbalance", "0"), [("irqbalance", "irqbalance (pid 800)")]),
    "irqbalance that knows": (
        both(task(800, "irqbalance", "0"), written("/proc/800/environ", "A=1\0IRQBALANCE_BANNED_CPULIST=1-2,4-5,7-8,10-11\0")), [],
    ),
    "tuned enabled": (
        lambda plant: fill(plant.root, {"/etc/systemd/system/multi-user.target.wants/tuned.service": ("link", "/lib/tuned.service")}),
        [("tuned", "tuned.service")],
    ),
    "another daemon": (task(801, "numad", "0"), [("tuning-daemon", "numad.service")]),
    "cpuset invalid": (
        both(written("/sys/fs/cgroup/rogue/cpuset.cpus.partition", "root invalid (Cpu list in cpuset.cpus not exclusive)\n")),
        [("cpuset", "/sys/fs/cgroup/rogue")],
    ),
    "cpuset root": (
        both(written("/sys/fs/cgroup/rogue/cpuset.cpus.partition", "root\n"), written("/sys/fs/cgroup/rogue/cpuset.cpus", "5\n")),
        [("cpuset-root", "/sys/fs/cgroup/rogue")],
    ),
    # programs
    "wanderer": (task(810, "make", "0-2"), [("task", "make (pid 810)")]),
    "stray on an isolated CPU": (task(811, "make", "0-11", last=5), [("task", "make (pid 811)")]),
    "bound to a free CPU": (task(812, "plc-sim", "5"), []),  # nobody is beside it
    "beside a vCPU": (both(foreign(cpu="5", scheduler=1), task(812, "make", "11")), [("smt-sibling", "make (pid 812)")]),
    "on a vCPU's CPU": (task(813, "make", "8"), [("cpu-contended", "make (pid 813)")]),
    "on a poll-mode thread's CPU": (task(814, "make", "7"), [("cpu-contended", "make (pid 814)")]),
    # memory
    "pages taken away": (written(f"{NODE1}/nr_hugepages", "10\n"), [("hugepages", f"{NODE1}/nr_hugepages")]),
    "pages taken away in use": (written(f"{NODE1}/surplus_hugepages", "6\n"), [("hugepages", f"{NODE1}/nr_hugepages")]),
    "mount gone": (written("/proc/mounts", ""), [("host-file", "mount:/dev/hugepages2M")]),
    # guests
    "pin live only": (moved("plc1", "vcpu1", cpus="5"), [("guest-thread", "domain plc1: vcpu1 cpus")]),
    "pin live to many": (moved("plc1", "vcpu1", cpus="0-11"), [("guest-thread", "domain plc1: vcpu1 cpus")]),
    "pin live onto another guest": (moved("plc1", "vcpu1", cpus="4"), [("guest-thread", "domain plc1: vcpu1 cpus")]),
    "pin persistent only": (
        redefined('vcpupin vcpu="1" cpuset="8"', 'vcpupin vcpu="1" cpuset="5"'), [("guest-definition", "domain plc1: cputune")],
    ),
    "policy live": (moved("plc1", "vcpu1", scheduler="rr 5"), [("guest-thread", "domain plc1: vcpu1 scheduler")]),
    "policy persistent": (redefined('priority="1"', 'priority="9"'), [("guest-definition", "domain plc1: cputune")]),
    "emulator live": (moved("plc2", "emulator", cpus="4"), [("guest-thread", "domain plc2: emulator cpus")]),
    "emulator live, with its workers": (
        both(moved("plc2", "emulator", cpus="0-5"), moved("plc2", "worker", cpus="0-5")), [("guest-thread", "domain plc2: emulator cpus")],
    ),
    "a worker alone": (moved("plc2", "worker", cpus="0-5"), [("task", "worker (pid *)")]),
    "guest stopped": (stopped, [("guest-state", "domain historian: state")]),
    "autostart off": (lambda plant: plant.libvirt.started_with_node.discard("plc2"), [("guest-definition", "domain plc2: autostart")]),
    "locking undone": (redefined("<locked */>", ""), [("guest-definition", "domain plc1: memoryBacking")]),
    "guest undefined": (lambda plant: (stopped(plant), plant.libvirt.remove("historian")), [("guest-definition", "domain historian")]),
    "disk gone": (gone("/images/plc1.qcow2"), [("refused", "guests")]),
    "memory elsewhere": (lambda plant: plant.settle_guest("plc2", node=0), [("guest-memory-node", "domain plc2")]),
    "memory not locked": (lambda plant: plant.settle_guest("plc2", locked="0"), [("guest-memory-unlocked", "domain plc2")]),
    "slice limited": (
        written("/etc/systemd/system/machine.slice.d/x.conf", "[Slice]\nAllowedCPUs=2,4-5,8,10-11\n"), [("slice-limit", "machine.slice")],
    ),
    "libvirt off": (lambda plant: setattr(plant, "answers", False), [("libvirt-missing", "libvirt")]),
    # foreign guests
    "foreign, well-behaved": (foreign(cpu="5", scheduler=1), []),
    "foreign on a guest's CPU": (foreign(cpu="2"), [("vcpu-overlap", "CPU 2")]),
    "foreign on a poll-mode thread's CPU": (foreign(cpu="7"), [("vcpu-pin", "domain theirs: vcpu0")]),
    "foreign above the kernel": (foreign(cpu="5", scheduler=50), [("vcpu-priority", "domain theirs: vcpu0")]),
    "foreign, not locked": (foreign(cpu="5", scheduler=1, locked="0"), [("guest-memory-unlocked", "domain theirs")]),
    "foreign, moved live": (both(foreign(cpu="5", scheduler=1), moved("theirs", "vcpu0", cpus="11")), [("guest-live", "domain theirs: vcpu0")]),
    "foreign, moved live onto a guest's CPU": (both(foreign(cpu="5", scheduler=1), moved("theirs", "vcpu0", cpus="4")), [("vcpu-overlap", "CPU 4")]),
    "foreign emulator": (both(foreign(cpu="5", scheduler=1), moved("theirs", "emulator", cpus="0,5")), [("emulator-pin", "domain theirs: emulator")]),
    "foreign without shared memory": (foreign(cpu="5", scheduler=1, devices=VHOST), [("vhost-user-memory", "domain theirs")]),
    "foreign with shared memory": (
        foreign(cpu="5", scheduler=1, devices=VHOST, more="<memoryBacking><access mode='shared'/></memoryBacking>"), [],
    ),
    "foreign that floats": (foreign(), []),
    # switch
    "mask edited": (switched(".", "other_config", "pmd-cpu-mask", "0x2"), [("switch", "ovs:Open_vSwitch other_config:pmd-cpu-mask")]),
    "queue moved": (switched("plc1.control", "other_config", "pmd-rxq-affinity", "0:4"), [("switch", "ovs:Interface/plc1.control other_config:*")]),
    "switch's memory": (switched(".", "other_config", "dpdk-socket-mem", "32"), [("switch", "ovs:Open_vSwitch other_config:dpdk-socket-mem")]),
    "switch's thread": (task(903, "handler1", "0,2", process=SWITCH), [("switch", "thread:handler1:903:*:affinity")]),
    "switch not installed": (gone(PROGRAM), [("switch-missing", "Open vSwitch")]),
    "poll-mode thread moved": (task(901, "pmd-c01/id:901", "5", process=SWITCH), [("pmd-pin", "pmd-c01/id:901 (thread 901)")]),
    "poll-mode thread freed": (task(901, "pmd-c01/id:901", "1,7", process=SWITCH), [("pmd-pin", "pmd-c01/id:901 (thread 901)")]),
    "poll-mode thread real-time": (task(901, "pmd-c01/id:901", "1", process=SWITCH, policy=1, priority=1), [("pmd-policy", "pmd-c01/id:901*")]),
    "queue served by another thread": (
        lambda plant: setattr(plant, "queues", shown(7, 1)), [("rxq-placement", "port plc1.control queue 0"), ("rxq-placement", "port plc2.control queue 0")],
    ),
    "queues as pinned": (lambda plant: setattr(plant, "queues", shown(1, 7)), []),
    "daemon does not tell": (lambda plant: setattr(plant, "queues", None), [("unchecked", "queues of the switch")]),
    # Nova
    "Nova shares": (
        written("/etc/nova/nova.conf", "[DEFAULT]\ncpu_shared_set = 9\n[compute]\ncpu_dedicated_set = 2,8\ncpu_shared_set = 0,8\n"),
        [("nova-sets", "?compute? cpu_dedicated_set")],
    ),
    "Nova polls": (written("/etc/nova/nova.conf", "[compute]\ncpu_dedicated_set=1-2,8\n"), [("nova-sets", "?compute? cpu_dedicated_set")]),
}  # fmt: skip


def matches(found, expected):
    """Whether each finding is one that was expected, and none is missing."""
    rest = list(expected)
    for rule, resource in found:
        fitting = next((item for item in rest if item[0] == rule and fnmatchcase(resource, item[1])), None)
        if fitting is None:
            return False
        rest.remove(fitting)
    return not rest


def test_a_converged_node_has_no_finding(plant):
    result = plant.audit()
    assert result["findings"] == []
    assert result["findings_table"] == ["no finding: the machine is as it should be"]
    assert result["unchecked"] == []
    # what is worth knowing: a queue that the kernel manages, and a guest on the node without poll-mode threads
    assert sorted((item["rule"], item["resource"], item["severity"]) for item in result["remarks"]) == [
        ("interrupt-managed", "IRQ 40 (nvme0q2)", "info"), ("pmd-remote", "port plc2.control", "info"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", SABOTAGES)
def test_each_sabotage_has_its_finding_and_no_other(plant, monkeypatch, name):
    harm, expected = SABOTAGES[name]
    monkeypatch.setattr(Host, "value", Host.value)  # put back whatever the harm does to it
    harm(plant)
    found = plant.findings()
    assert matches(found, expected), found


def test_the_table_has_every_rule_that_a_node_with_a_document_can_break():
    elsewhere = {
        "smt-split", "boot-cpu-isolated", "numa-housekeeping", "options", "unchecked", "guest-restart", "nohz-mismatch", "isolcpus-flags",
        "cstate-depth", "governor", "fair-server", "rt-throttling", "interrupt-default", "tuned-cores",
    }  # fmt: skip
    covered = {rule for _harm, expected in SABOTAGES.values() for rule, _resource in expected}
    assert covered | elsewhere == {rule.id for rule in RULES.values() if rule.severity != "info"}


# -- what is asked for -----------------------------------------------------------------------------


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
        "<domain type='kvm'><name>odd</name><vcpu>1</vcpu><cputune><vcpupin vcpu='x' cpuset='1'/></cputune></domain>"
    )
    result = plant.audit()
    assert result["findings"]
    assert {item["rule"] for item in result["findings"]} <= {"unchecked", "refused"}
    assert "something unexpected" in result["findings"][0]["actual"]


def test_a_priority_limit_is_the_nodes_own_unless_given(plant):
    high = [{**PLC1, "priority": 3}, *GUESTS[1:]]
    (refused,) = [item for item in plant.audit(guests=high)["findings"] if item["rule"] == "refused"]
    assert "priority 3" in refused["actual"]
    assert ("guest-thread", "domain plc1: vcpu1 scheduler") in plant.findings(guests=high, priority_limit=3)


# -- a node without a document ---------------------------------------------------------------------


def test_a_tuned_node_without_a_document_lacks_the_document_alone(plant):
    os.unlink(f"{plant.root}{DOCUMENT}")
    result = plant.audit()
    assert [item["rule"] for item in result["findings"]] == ["document-missing"]
    assert result["partition"] == {}


def untended(path, text):
    return lambda plant: plant.write(path, text)


#: What a node without a document gets beside that: rules that hold for whoever tuned it.
UNTENDED = {
    "governor": (untended(f"{CPU}/cpufreq/policy4/scaling_governor", "powersave\n"), [("governor", "CPUs 4")]),
    "idle limit": (untended(f"{CPU}/cpu4/power/pm_qos_resume_latency_us", "0\n"), [("cstate-depth", "CPUs 4")]),
    "fair server": (untended("/sys/kernel/debug/sched/fair_server/cpu4/runtime", "50000000\n"), [("fair-server", "CPUs 4")]),
    "new interrupts": (untended("/proc/irq/default_smp_affinity", "fff\n"), [("interrupt-default", "/proc/irq/default_smp_affinity")]),
    "interrupt": (untended("/proc/irq/9/smp_affinity_list", "4\n"), [("interrupt", "IRQ 9 (acpi)")]),
    "kernel thread": (
        lambda plant: plant.task(28, "ksoftirqd/8", "8", kernel=True, bound=True), [("vcpu-priority", "domain plc1: vcpu1")],
    ),
    "split cores": (
        both(untended(f"{CPU}/isolated", "1-2,4-5,7-8,10\n"), edited("/proc/cmdline", "10-11", "10")), [("smt-split", "CPUs 5,11")],
    ),
    "boot CPU": (
        untended(f"{CPU}/isolated", "0-2,4-8,10-11\n"),
        [
            ("boot-cpu-isolated", "CPU 0"), ("numa-housekeeping", "NUMA node 0"), ("housekeeping-overlap", "irqaffinity"),
            ("interrupt", "IRQ 9 (acpi)"), ("interrupt-default", "/proc/irq/default_smp_affinity"), ("fair-server", "CPUs 0,6"),
            ("cstate-depth", "CPUs 0,6"), ("emulator-pin", "domain plc1: emulator"), ("task", "sshd*"), ("task", "ovs-vswitchd*"),
        ],
    ),
    "tuned, the same CPUs": (lambda plant: tuned(plant, "1-2,4-5,7-8,10-11"), []),
    "tuned, other CPUs": (lambda plant: tuned(plant, "2-5"), [("tuned-cores", "tuned, profile realtime-virtual-host")]),
}  # fmt: skip


def tuned(plant, cores):
    plant.task(850, "tuned", "0", pidfile="/run/tuned/tuned.pid")
    plant.write("/etc/tuned/active_profile", "realtime-virtual-host\n")
    plant.write("/etc/tuned/realtime-virtual-host-variables.conf", f"isolated_cores={cores}\n")


@pytest.mark.parametrize("name", UNTENDED)
def test_known_conflicts_are_told_without_a_document_too(plant, name):
    harm, expected = UNTENDED[name]
    os.unlink(f"{plant.root}{DOCUMENT}")
    harm(plant)
    found = set(plant.findings(guests=[], networks=[])) - {("document-missing", DOCUMENT)}
    wanted = {item[0] for item in expected}
    assert {rule for rule, _resource in found} == wanted, found
    assert all(any(fnmatchcase(resource, item[1]) for rule, resource in found if rule == item[0]) for item in expected), found


def test_throttling_is_told_on_kernels_that_throttle(plant):
    os.unlink(f"{plant.root}{DOCUMENT}")
    plant.write("/proc/sys/kernel/osrelease", "6.1.0-rt\n")
    plant.write("/proc/sys/kernel/sched_rt_runtime_us", "950000\n")
    assert ("rt-throttling", "/proc/sys/kernel/sched_rt_runtime_us") in plant.findings(guests=[], networks=[])


# -- as Ansible runs it ----------------------------------------------------------------------------


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
    for role, options in (("kvm_host", module.HOST), ("ovs_dpdk", module.SWITCH)):
        defaults = yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
        for name, spec in options.items():
            value = defaults[f"{role}_{'extra' if name == 'dpdk_extra' else name}"]
            assert value == spec["default"] or "default(0)" in str(value), name


def test_it_is_an_info_module(call, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(_common, "Host", lambda root, **options: seen.append(options) or Host(str(tmp_path), **options))
    call()
    assert seen[0]["check_mode"] is True


# -- a node that is isolated at run time -----------------------------------------------------------


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
