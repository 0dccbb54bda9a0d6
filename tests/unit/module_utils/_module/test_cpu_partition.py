# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_partition as Ansible runs it: wishes that cannot be met, nodes that cannot, CPUs that a killed run left off, and tuned."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT, KEPT
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.tuning_daemons import plan_tuned
from ansible_collections.realtime.kvm.plugins.module_utils._module import cpu_partition
from ansible_collections.realtime.kvm.plugins.module_utils._module._guest_edges import GuestEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_partition import _settle
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cache import CACHE
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpus import CPUS
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.feature import plan_feature
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.watchdog import WATCHDOG
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import Fleet, Node, plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.text import plan_lines
from unit.calls import PARTITION
from unit.instances import UUID, instance_xml
from unit.nics import ADDRESS
from unit.resctrls import Resctrl, cache_files, processor
from unit.trees import fill, machine_files, plan, snapshot, writable

OPTIONS = {"rt_throttling": "unlimited", "priority_limit": 1, "cycle_cpus": False}
STAT_INTERVAL = "/proc/sys/vm/stat_interval"


@pytest.mark.parametrize("tuned", [True, False])
def test_what_a_tuned_that_stops_puts_back_is_set_again(tmp_path, tuned):
    files = {"/etc/systemd/system/multi-user.target.wants/tuned.service": ("link", "/x")} if tuned else {}
    root = fill(tmp_path, {**machine_files(isolated="1-3"), STAT_INTERVAL: "1\n", "/var/lib/": None, **files})
    value = Path(f"{root}{STAT_INTERVAL}")
    commands = []

    def systemctl(command):
        commands.append(command)
        return 0, "", ""

    host = writable(root, "cpu_partition")
    with host.locked():
        plan_tuned(host, systemctl, take_over=True)
        plan_feature(host, CPUS, plan(), OPTIONS)
        host.commit()
        assert value.read_text().strip() != "1", "the values come after tuned was asked to stop"
        value.write_text("1\n")  # but it takes its time
        before = len(host.changes)
        _settle(GuestEdges(host, systemctl), read_topology(host), plan(), OPTIONS, dict(CACHE.defaults))
        host.commit()
    assert (value.read_text().strip() != "1") is tuned
    assert len(host.changes) == before + tuned
    assert len(commands) == tuned


@pytest.mark.parametrize(("isolation", "cycle", "said"), [("boot", True, True), ("boot", False, False), ("runtime", True, False)])
def test_cpus_that_the_boot_isolates_are_not_cycled_and_that_is_said(tmp_path, isolation, cycle, said):
    root = fill(
        tmp_path,
        {**machine_files(isolated="1-3" if isolation == "boot" else ""), "/sys/fs/cgroup/cgroup.controllers": "cpuset\n"},
    )
    host = writable(root, "cpu_partition", check_mode=True)
    given = {
        **dict.fromkeys(("housekeeping_cores_per_node", "priority_limit"), 1),
        **dict.fromkeys(("dataplane_cores_per_node", "shared_cores_per_node", "hardware_watchdog_s"), 0),
        "state": "present",
        "realtime": "rest",
        "smt": "single",
        "cpus": None,
        "dataplane_devices": [],
        "tuned": "refuse",
        "rt_throttling": "budget",
        "isolation": isolation,
        "cycle_cpus": cycle,
        **CACHE.defaults,
    }
    cpu_partition.run(GuestEdges(host, lambda _command: (0, "", "")), given)
    found = [
        note
        for note in host.notes
        if note.startswith("cpu_partition_cycle_cpus: true has no effect with cpu_partition_isolation: boot")
    ]
    assert bool(found) is said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"cpus": {"realtime": "2-3,6-7", "shared": "3,7"}},
            r"^cpu_partition_cpus\.shared: CPUs 3,7 are also in cpu_partition_cpus\.realtime; every CPU belongs to one set",
        ),
        ({"cpus": {"realtime": 2}}, r'^cpu_partition_cpus\.realtime: 2 is a int, not a CPU list; quote it \(realtime: "2"\)'),
        ({"cpus": {"realtime": 2.5}}, r"^cpu_partition_cpus\.realtime: 2.5 is a float, not a CPU list; quote it"),
        (
            {"cpus": {"realtime": [1, 3]}},
            r'^cpu_partition_cpus\.realtime: \[1, 3\] is a list, not a CPU list; quote it \(realtime: "1,3"\)',
        ),
        ({"cpus": {"realtime": None}}, r"^cpu_partition_cpus\.realtime: the list is empty; name CPUs or leave the key out$"),
        ({"cpus": {"realtime": []}}, r"^cpu_partition_cpus\.realtime: the list is empty; name CPUs or leave the key out$"),
        (
            {"cpus": {"realtime": True}},
            r'^cpu_partition_cpus\.realtime: True is a bool, not a CPU list; write one as text, such as realtime: "4-7"$',
        ),
        ({"cpus": {"realtime": "2-"}}, r"^cpu_partition_cpus\.realtime: '2-' is not a CPU number"),
        ({"cpus": {"realtime": ""}}, r"^cpu_partition_cpus\.realtime: the list '' is empty; name CPUs or leave the key out"),
        ({"cpus": {"realtime": "99"}}, r"^cpu_partition_cpus\.realtime: CPUs 99 do not exist; this node has 0-7"),
        (
            {"cpus": {"real": "2"}},
            r"^cpu_partition_cpus: 'real' is not a CPU set; the sets are housekeeping, dataplane, realtime, shared",
        ),
        (
            {"cpus": {"realtime": "1"}, "smt": "together"},
            r"^cpu_partition_cpus: realtime CPUs 1 are SMT siblings of .*; give whole cores or set cpu_partition_smt",
        ),
        ({"cpus": {"realtime": "0,4"}}, r"^cpu_partition_cpus\.realtime: CPU 0 is the boot CPU"),
        ({"cpus": [1, 3]}, r"argument 'cpus' is of type .*list.* and we were unable to convert to dict"),
        ({"cpus": "2-3"}, r"argument 'cpus' .* unable to convert to dict"),
        (
            {"housekeeping_cores_per_node": -1},
            r"^cpu_partition_housekeeping_cores_per_node: -1 is negative; give a number of cores from 0",
        ),
        ({"housekeeping_cores_per_node": 0}, r"^cpu_partition_housekeeping_cores_per_node: at least 1 is needed"),
        ({"dataplane_cores_per_node": -2}, r"^cpu_partition_dataplane_cores_per_node: -2 is negative"),
        ({"shared_cores_per_node": -2}, r"^cpu_partition_shared_cores_per_node: -2 is negative"),
        (
            {"shared_cores_per_node": 9},
            r"^cpu_partition_shared_cores_per_node: NUMA node 0 has 3 free cores left for shared, 9 asked for",
        ),
        ({"dataplane_cores_per_node": "two"}, r"^cpu_partition_dataplane_cores_per_node: 'two' is neither a number of cores nor"),
        ({"shared_cores_per_node": {"1": 1}}, r"^cpu_partition_shared_cores_per_node: there is no NUMA node 1 with CPUs"),
        ({"realtime": True}, r"^cpu_partition_realtime: True is neither 'rest' nor a number of cores per NUMA node"),
        ({"realtime": [1]}, r"^cpu_partition_realtime: \[1\] is neither"),
        ({"realtime": 1.5}, r"^cpu_partition_realtime: 1.5 is neither"),
        ({"realtime": -1}, r"^cpu_partition_realtime: '-1' is neither"),
        ({"realtime": "2-3"}, r"^cpu_partition_realtime: '2-3' is neither .*; CPU lists go into cpu_partition_cpus\.realtime"),
        (
            {"dataplane_devices": ["ens7"]},
            r"^cpu_partition_dataplane_devices: there is no network device 'ens7' on this node; known are: ens1",
        ),
        ({"smt": "off"}, r"value of smt must be one of: together, single, got: off"),
        ({"isolation": "none"}, r"value of isolation must be one of"),
        ({"unknown": 1}, r"Unsupported parameters for .*unknown"),
    ],
)
def test_a_wish_that_cannot_be_met(refuse, arguments, said):
    message = refuse("cpu_partition", **arguments)
    assert re.search(said, message), message


def test_values_wait_for_the_reboot_and_are_said_to(call, tree):
    fill(tree, {"/sys/devices/system/cpu/isolated": ""})
    result = call("cpu_partition")
    assert result["deferred"] is True
    assert (tree / "proc/sys/vm/stat_interval").read_text() == "1\n"
    assert json.loads((tree / DOCUMENT[1:]).read_text()) == PARTITION


def test_the_plan_shows_each_policy_and_what_the_node_has_until_now(call, tree):
    """A default that changes with a release is a change of the plan, never a silent one."""
    assert {item["variable"]: (item["value"], item["before"]) for item in call("cpu_partition")["policies"]} == {
        "cpu_partition_smt": ("single", ""),
        "cpu_partition_rt_throttling": ("budget", ""),
        "cpu_partition_hardware_watchdog_s": ("60", ""),
    }
    call("cpu_partition", smt="together", rt_throttling="unlimited")
    result = call("cpu_partition", check=True)
    assert [(item["value"], item["before"]) for item in result["policies"][:2]] == [
        ("single", "together"),
        ("budget", "unlimited"),
    ]
    lines = plan_lines(plan_document(Fleet({"": Node({"partition": result})})))
    assert "cpu_partition_smt: single (was together)" in lines
    assert "cpu_partition_rt_throttling: budget (was unlimited)" in lines
    assert [line for line in lines if line.startswith("  protects the node: ordinary work that waits behind a vCPU")]
    fill(tree, {"/etc/realtime-kvm/cpu_partition.json": "[]", DOCUMENT: "{"})
    assert {item["before"] for item in call("cpu_partition")["policies"]} == {""}, "damaged files name no policy"


def test_the_hardware_watchdog_is_armed_and_given_back(call, tree):
    fill(tree, {"/sys/class/watchdog/watchdog0/identity": "i6300ESB timer\n"})
    assert call("cpu_partition")["hardware_watchdog"] == "60 s, i6300ESB timer"
    assert (tree / WATCHDOG[1:]).exists()
    assert call("cpu_partition")["changed"] is False
    assert call("cpu_partition", state="absent")["changed"]
    assert not (tree / WATCHDOG[1:]).exists()
    assert re.match("cpu_partition_hardware_watchdog_s: 5 is neither", call("cpu_partition", hardware_watchdog_s=5)["msg"])


def test_undo_removes_the_cache_of_the_looks_code(call, tree):
    call("cpu_partition")
    fill(tree, {f"{KEPT}/look-1.pyz": "", f"{KEPT}/.realtime-kvm-look-2.pyz": "left by a killed run"})
    assert call("cpu_partition")["changed"] is False, "a cache is no part of the plan"
    planned = call("cpu_partition", check=True, state="absent")
    assert KEPT in {change["resource"] for change in planned["changes"]}
    assert (tree / KEPT[1:] / "look-1.pyz").exists()
    assert call("cpu_partition", state="absent")["changes"] == planned["changes"]
    assert not (tree / KEPT[1:]).exists()
    assert call("cpu_partition", state="absent")["changed"] is False


@pytest.mark.parametrize("form", ["link", "file", "beside"])
def test_undo_leaves_what_is_not_of_the_cache(call, tree, form):
    call("cpu_partition")
    other = tree / "other"
    fill(other, {"/look-1.pyz": "mine"})
    (tree / KEPT[1:]).parent.mkdir(parents=True, exist_ok=True)
    if form == "link":
        (tree / KEPT[1:]).symlink_to(other)
    elif form == "file":
        (tree / KEPT[1:]).write_text("mine")
    else:
        fill(tree, {f"{KEPT}/mine.txt": "mine", f"{KEPT}/look-1.pyz": ""})
    result = call("cpu_partition", state="absent")
    assert not result.get("failed")
    assert (KEPT in {change["resource"] for change in result["changes"]}) is (form == "beside")
    assert (other / "look-1.pyz").exists()
    assert os.path.lexists(tree / KEPT[1:])
    assert form != "beside" or os.listdir(tree / KEPT[1:]) == ["mine.txt"]


def test_a_refusal_after_the_first_write_says_changed(call, tree):
    (tree / "proc/sys/vm/stat_interval").unlink()
    (tree / "proc/sys/kernel/timer_migration").symlink_to("/proc/version")
    result = call("cpu_partition")
    assert result["failed"]
    assert result["changed"] is True
    assert re.match("cpu_partition: /proc/sys/kernel/timer_migration: the kernel refused '0'", result["msg"])
    (tree / "proc/sys/kernel/timer_migration").unlink()
    assert call("cpu_partition", state="absent")["changed"]


def test_a_damaged_journal_is_refused_before_any_change(call, tree):
    fill(tree, {JOURNAL: "{"})
    before = {path: found for path, found in snapshot(tree).items() if "realtime-kvm/lock" not in path}
    for state in ("present", "absent"):
        result = call("cpu_partition", state=state)
        assert (result["failed"], result["changed"]) == (True, False)
        assert re.match(f"cpu_partition: {JOURNAL} is damaged", result["msg"])
    assert {path: found for path, found in snapshot(tree).items() if "realtime-kvm/lock" not in path} == before


def test_a_device_that_the_switch_has_keeps_its_name_in_the_inventory(call, tree):
    """Bound to vfio-pci it has no interface; the second run of the README's own example meets it so."""
    device, link = f"/sys/devices/pci0000:40/{ADDRESS}", ("link", f"../../../devices/pci0000:40/{ADDRESS}")
    fill(tree, {f"{device}/numa_node": "0\n", f"{device}/class": "0x020000\n", f"/sys/bus/pci/devices/{ADDRESS}": link})
    fill(tree, {f"{device}/net/ens1/": None, "/sys/class/net/ens1": ("link", f"../../devices/pci0000:40/{ADDRESS}/net/ens1")})
    assert call("cpu_partition", dataplane_devices=["ens1"])["changed"]
    journal = json.loads((tree / JOURNAL[1:]).read_text())
    shutil.rmtree(tree / device[1:] / "net")
    (tree / "sys/class/net/ens1").unlink()
    refused = call("cpu_partition", dataplane_devices=["ens1"])
    assert refused["msg"].startswith("cpu_partition_dataplane_devices: there is no network device 'ens1' on this node")
    original = {"driver": "igb", "override": "", "name": "ens1"}
    journal["entries"][f"pci:{ADDRESS}:driver"] = {"owner": "ovs_dpdk", "kind": "driver", "before": original, "boot_id": "b"}
    for owner in ("rt_domain", "ovs_dpdk"):  # a guest's device is none of the switch's
        journal["entries"][f"pci:{ADDRESS}:driver"]["owner"] = owner
        fill(tree, {JOURNAL: json.dumps(journal)})
        assert call("cpu_partition", dataplane_devices=["ens1"]).get("failed", False) is (owner == "rt_domain")
    for wanted in ("ens1", ADDRESS):
        again = call("cpu_partition", dataplane_devices=[wanted])
        assert (again["changed"], again.get("failed", False)) == (False, False), again


def test_a_cpu_that_a_killed_run_left_off_is_named_then_switched_on(call, tree):
    switch = "/sys/devices/system/cpu/cpu2/online"
    entry = {"owner": "cpu_partition", "kind": "value", "before": "1", "boot_id": Host(str(tree)).boot_id()}
    journal = json.dumps({"schema": 1, "directories": [], "kernels": [], "entries": {switch: entry}})
    fill(tree, {switch: "0\n", "/var/lib/realtime-kvm/": None, JOURNAL: journal})
    for check in (True, False):
        refused = call("cpu_partition", check=check)
        assert (refused["failed"], refused["changed"], refused["left_off"]) == (True, False, "2")
        assert (tree / switch.lstrip("/")).read_text() == "0\n"
        assert not (tree / DOCUMENT.lstrip("/")).exists()
    predicted, made = call("cpu_partition", check=True, state="recovered"), call("cpu_partition", state="recovered")
    assert predicted["changes"] == made["changes"] != []
    assert (tree / switch.lstrip("/")).read_text() == "1"
    assert call("cpu_partition", state="recovered")["changed"] is False
    assert not call("cpu_partition", check=True).get("failed")


def test_that_cpu_stays_off_where_no_stall_is_allowed(call, tree):
    switch = "/sys/devices/system/cpu/cpu2/online"
    entry = {"owner": "cpu_partition", "kind": "value", "before": "1", "boot_id": Host(str(tree)).boot_id()}
    journal = json.dumps({"schema": 1, "directories": [], "kernels": [], "entries": {switch: entry}})
    fill(tree, {switch: "0\n", "/var/lib/realtime-kvm/": None, JOURNAL: journal})
    assert call("cpu_partition", max_disruption="none")["left_off"] == "2"
    for state in ("recovered", "absent"):
        refused = call("cpu_partition", state=state, max_disruption="none")
        assert (refused["failed"], refused["changed"]) == (True, False)
        assert f"the limit is none, but the plan needs more: {switch} (stall)" in refused["msg"]
        assert (tree / switch.lstrip("/")).read_text() == "0\n"
    assert call("cpu_partition", state="recovered", max_disruption="stall")["changed"]


CGROUPS = "/sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"needs cgroup v2 alone, mounted at /sys/fs/cgroup; this node has no cgroups"),
        (
            {"/proc/self/mounts": "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpuset cgroup rw 0 0\n"},
            r"needs cgroup v2 alone, .*; this node has cgroup2 on /sys/fs/cgroup/unified, cgroup on /sys/fs/cgroup/cpuset\. Boot with systemd.unified_cgroup",
        ),
        ({f"{CGROUPS}/cgroup.controllers": "cpu memory\n"}, r"needs the cpuset controller, which .* lacks \(cpu memory\)"),
        (
            {f"{CGROUPS}/cgroup.controllers": "cpuset\n", "/proc/sys/kernel/osrelease": "5.10.0-21-rt-amd64\n"},
            r"needs Linux 6.1 or newer .*; 5.10.0-21-rt-amd64 runs. Use cpu_partition_isolation: boot",
        ),
        (  # its command line isolates 1-3, and nobody of ours has written that
            {f"{CGROUPS}/cgroup.controllers": "cpuset\n"},
            r"cannot have CPUs 1-3: isolcpus= on the kernel command line isolates them until the next boot\. Remove it there",
        ),
        (
            {
                f"{CGROUPS}/cgroup.controllers": "cpuset\n",
                f"{CGROUPS}/vfio.slice/cpuset.cpus": "2\n",
                f"{CGROUPS}/vfio.slice/cpuset.cpus.effective": "2\n",
                f"{CGROUPS}/vfio.slice/cpuset.cpus.partition": "isolated\n",
                "/sys/devices/system/cpu/isolated": "\n",
            },
            r"CPUs 2 belong to the cpuset partition /sys/fs/cgroup/vfio.slice of another user; dissolve it \(echo member",
        ),
    ],
)
def test_a_node_that_cannot_be_isolated_at_run_time_is_told_why_before_any_change(call, tree, files, said):
    fill(tree, files)
    before = snapshot(tree)
    result = call("cpu_partition", isolation="runtime")
    assert (result["failed"], result["changed"]) == (True, False)
    assert re.match(rf"(cpu_partition: )?(cpu_partition_isolation: runtime )?{said}", result["msg"]), result["msg"]
    assert snapshot(tree) == before


def test_tuned_is_refused_before_any_change(call, tree):
    fill(tree, {"/etc/systemd/system/multi-user.target.wants/tuned.service": ("link", "/x")})
    before = snapshot(tree)
    result = call("cpu_partition")
    assert re.match("cpu_partition: tuned is enabled on this node .* set cpu_partition_tuned: take_over", result["msg"])
    assert snapshot(tree) == before


def test_other_sets_are_a_change_of_the_document_alone_until_the_reboot(call, tree):
    call("cpu_partition")
    result = call("cpu_partition", realtime=2)
    assert result["changes"][0]["resource"] == DOCUMENT
    assert result["partition"]["sets"]["realtime"]["cpus"] == "1-2"
    assert to_document(plan(Intent(realtime="2"))) == result["partition"]


# -- instances of Nova -----------------------------------------------------------------------------


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cpus": {"realtime": "3"}}, "the planned sets would take CPUs 2 "),
        ({"dataplane_cores_per_node": 2}, "the planned sets would take CPUs 2 "),
        ({"state": "absent"}, "undo would end the isolation of CPUs 2 "),
    ],
)
def test_a_change_that_takes_an_instances_cpu_is_refused_before_any_write(call, refuse, tree, arguments, said, check):
    call("cpu_partition", smt="together")
    fill(tree, {"/etc/libvirt/qemu/instance-00000001.xml": instance_xml(1, ["2"], sched="0")})
    before = snapshot(tree)
    message = refuse("cpu_partition", **{"smt": "together", **arguments}, check=check)
    assert message.startswith(f"cpu_partition: {said}"), message
    assert f"instance-00000001 (web, {UUID.format(1)}), shut off: CPU 2 of its vcpu0" in message
    assert snapshot(tree) == before


def test_a_second_run_and_changes_that_leave_an_instance_its_cpu_are_made(call, tree):
    call("cpu_partition", smt="together")
    fill(tree, {"/etc/libvirt/qemu/instance-00000001.xml": instance_xml(1, ["2"], sched="0")})
    assert not call("cpu_partition", smt="together")["changed"]
    assert call("cpu_partition", smt="together", cpus={"realtime": "2-3"})["changed"]


def test_what_nova_typed_is_data_in_the_refusal(call, refuse, tree):
    call("cpu_partition", smt="together")
    name = "{{ lookup('pipe', 'id') }}&#xA;ok: [node1]"
    fill(tree, {"/etc/libvirt/qemu/instance-00000001.xml": instance_xml(1, ["2"], name=name)})
    message = refuse("cpu_partition", smt="together", state="absent")
    assert "\n" not in message
    assert "{{ lookup('pipe', 'id') }}\\nok: [node1]" in message


def test_caches_are_planned_made_kept_and_undone_with_the_partition(call, tree, monkeypatch):
    fill(tree, {**cache_files(L3={0: "0-3"}), **processor()})
    kernel = Resctrl(tree, monkeypatch)
    before = call("cpu_partition", check=True)
    assert before["cache"] == []
    predicted = call("cpu_partition", check=True, cache=True)
    assert (predicted["cache"][1], kernel.groups) == ("L3 0: realtime 1-3, rest 0", {})
    made = call("cpu_partition", cache=True)
    assert made["changes"] == predicted["changes"]
    assert [change["resource"] for change in made["changes"] if "resctrl" in change["resource"]] == ["/sys/fs/resctrl"]
    assert made["disruption"] == predicted["disruption"] == "stall"
    assert "realtime-kvm-realtime" in made["cache"][2]
    again = call("cpu_partition", cache=True)
    assert (again["changed"], again["cache"]) == (False, made["cache"])
    call("cpu_partition", state="absent")
    assert kernel.groups == {}
    assert not (tree / JOURNAL[1:]).exists()


def test_what_a_machine_cannot_divide_is_in_the_plan(call, tree):
    fill(tree, processor("fpu"))
    result = call("cpu_partition", check=True, cache=True, memory_bandwidth=50)
    assert [line.partition(":")[0] for line in result["cache"]] == ["cpu_partition_cache", "cpu_partition_memory_bandwidth"]
    assert [change for change in result["changes"] if "resctrl" in change["resource"]] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cache": "yes"}, "^cpu_partition_cache: 'yes' is neither true, false, nor masks by set"),
        ({"cache_l2": {"idle": "f"}}, "^cpu_partition_cache_l2: 'idle' has no group"),
        ({"cache_code_data": True}, "^cpu_partition_cache_code_data: true divides nothing by itself"),
        ({"memory_bandwidth": -1}, "^cpu_partition_memory_bandwidth: -1 is negative"),
    ],
)
def test_a_wish_for_caches_that_no_machine_can_meet(refuse, arguments, said):
    assert re.search(said, refuse("cpu_partition", **arguments))


GUEST = {"name": "plc1", "vcpus": 4, "realtime_vcpus": "2-3"}
VIRTUAL = {"/proc/sys/kernel/ostype": "Linux\n", "/proc/cpuinfo": "vendor_id : GenuineIntel\nflags : constant_tsc hypervisor\n"}


def test_the_inside_of_a_guest_follows_its_definition_and_undo_takes_it_back(call, tree):
    fill(tree, VIRTUAL)
    before = snapshot(tree)
    check = call("cpu_partition", check=True, guest=GUEST)
    made = call("cpu_partition", guest=GUEST, cpus={"realtime": "1"})
    assert made["changes"] == check["changes"]
    assert {name: cpus["cpus"] for name, cpus in made["partition"]["sets"].items() if cpus["cpus"]} == {
        "housekeeping": "0-1",
        "realtime": "2-3",
    }
    assert made["partition"]["guest"] == {"name": "plc1", "idle": "halt"}
    assert call("cpu_partition", guest=GUEST)["changed"] is False
    assert call("cpu_partition", guest={**GUEST, "idle": "poll"})["changed"] is True
    assert call("cpu_partition", state="absent")["changed"]
    assert set(snapshot(tree)) == set(before)


@pytest.mark.parametrize(
    ("files", "guest", "said"),
    [
        ({"/proc/sys/kernel/ostype": "FreeBSD\n"}, {}, "guest plc1 runs no Linux, whose inside alone can be set up here"),
        (
            {"/proc/cpuinfo": "vendor_id : GenuineIntel\nflags : constant_tsc\n"},
            {},
            "answers is no virtual machine, so it is none of a",
        ),
        (
            {},
            {"vcpus": 6},
            "realtime_guests: plc1: its definition has 6 vCPUs and realtime_vcpus 2-3, the guest has CPUs 0-3",
        ),
        ({DOCUMENT: json.dumps(PARTITION)}, {}, "the machine that answers is set up as a node"),
    ],
)
def test_what_is_not_the_guest_is_refused_before_any_change(call, tree, files, guest, said):
    fill(tree, {**VIRTUAL, **files})
    before = snapshot(tree)
    told = call("cpu_partition", guest={**GUEST, **guest})
    assert told["failed"]
    assert said in told["msg"]
    assert "Traceback" not in told["msg"]
    after = {path: found for path, found in snapshot(tree).items() if "realtime-kvm/lock" not in path}
    assert after == {path: found for path, found in before.items() if "realtime-kvm/lock" not in path}
