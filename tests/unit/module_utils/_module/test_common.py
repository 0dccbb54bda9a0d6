# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules as Ansible runs them: on this machine in check mode, on trees that take themselves for a machine, and on bad input."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.realtime.kvm.plugins.module_utils._boot.loader import DROP_IN, GRUB_CFG, GRUB_DEFAULTS
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.journal import JOURNAL
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import ARCHIVE, DOCUMENT, config_path
from ansible_collections.realtime.kvm.plugins.module_utils._module import _common
from ansible_collections.realtime.kvm.plugins.module_utils._node.archive import UNIT_TEXTS, WANTS
from ansible_collections.realtime.kvm.plugins.modules import (
    cpu_partition,
    cpu_partition_info,
    cpu_power,
    irq_affinity,
    kernel_arguments,
)
from unit.menus import MakeConfig
from unit.trees import fill, machine_files, plan, snapshot

MODULES = {
    "cpu_partition": cpu_partition,
    "cpu_partition_info": cpu_partition_info,
    "cpu_power": cpu_power,
    "irq_affinity": irq_affinity,
    "kernel_arguments": kernel_arguments,
}
PARTITION = to_document(plan())  # housekeeping 0, realtime 1-3


@pytest.fixture(name="call")
def _call(capsys):
    def call(name, *, check=False, **arguments):
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit) as stopped:
            MODULES[name].main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        result = json.loads(out)
        assert bool(result.get("failed")) == (stopped.value.code != 0)
        return result

    return call


@pytest.fixture(name="snap")
def _snap(tmp_path):
    """A captured machine, for fsroot."""
    device = "/sys/devices/pci0000:00/0000:00:03.0"
    network = {
        f"{device}/net/ens1/": None,
        f"{device}/class": "0x020000\n",
        f"{device}/numa_node": "0\n",
        "/sys/bus/pci/devices/0000:00:03.0": ("link", "../../../devices/pci0000:00/0000:00:03.0"),
        "/sys/class/net/ens1": ("link", "../../devices/pci0000:00/0000:00:03.0/net/ens1"),
    }
    return fill(tmp_path / "snap", {**machine_files(cores=4, threads=2), **network})


@pytest.fixture(name="refuse")
def _refuse(call, snap):
    def refuse(name, **arguments):
        before = snapshot(snap)
        result = call(name, fsroot=str(snap), **arguments)
        assert result.get("failed"), result
        assert snapshot(snap) == before
        return result["msg"]

    return refuse


# -- this machine ----------------------------------------------------------------------------------


def test_info_reads_this_machine(call):
    result = call("cpu_partition_info")
    assert result["changed"] is False
    assert result["changes"] == []
    online = Path("/sys/devices/system/cpu/online").read_text().strip()
    assert result["topology"]["online"] == online
    assert result["kernel"]["release"] == os.uname().release
    if not os.path.exists(DOCUMENT):
        assert [finding["rule"] for finding in result["drift"]] == ["document-missing"]


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
        assert told["changes"][-1]["resource"].startswith(("/etc/realtime-kvm/", "/etc/systemd/", "service:", "/sys/", "/proc/"))
    units = [path for unit in UNIT_TEXTS for path in (unit, f"{WANTS}/{os.path.basename(unit)}")]
    assert not [path for path in (DOCUMENT, ARCHIVE, *units, JOURNAL, "/etc/realtime-kvm") if os.path.lexists(path)]


def test_without_a_boot_loader_it_is_said_what_was_looked_for(call):
    if os.path.exists(GRUB_DEFAULTS) or os.path.exists(GRUB_CFG) or os.path.exists("/usr/sbin/grubby"):
        pytest.skip("this machine has a boot loader")
    result = call("kernel_arguments", check=True, partition=PARTITION)
    assert result["failed"]
    assert re.match(
        "kernel_arguments: no boot loader configuration was found: neither grubby .* nor grub-mkconfig", result["msg"]
    )


# -- a snapshot ------------------------------------------------------------------------------------


def test_a_snapshot_is_planned_for_and_never_written(call, snap):
    before = snapshot(snap)
    result = call("cpu_partition", fsroot=str(snap), dataplane_devices=["ens1"], shared_cores_per_node=1, realtime=1)
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
    assert (told["reboot_required"], told["changed"]) == (False, False)
    assert snapshot(snap) == before


# -- bad input -------------------------------------------------------------------------------------


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
        ({"cpus": {"realtime": None}}, r"^cpu_partition_cpus\.realtime: None is"),
        ({"cpus": {"realtime": True}}, r"^cpu_partition_cpus\.realtime: True is a bool"),
        ({"cpus": {"realtime": "2-"}}, r"^cpu_partition_cpus\.realtime: '2-' is not a CPU number"),
        ({"cpus": {"realtime": ""}}, r"^cpu_partition_cpus\.realtime: the list '' is empty; name CPUs or leave the key out"),
        ({"cpus": {"realtime": "99"}}, r"^cpu_partition_cpus\.realtime: CPUs 99 do not exist; this node has 0-7"),
        (
            {"cpus": {"real": "2"}},
            r"^cpu_partition_cpus: 'real' is not a CPU set; the sets are housekeeping, dataplane, realtime, shared",
        ),
        (
            {"cpus": {"realtime": "1"}},
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
        ({"dataplane_cores_per_node": "two"}, r"argument 'dataplane_cores_per_node' .* unable to convert to int"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"arguments": [1]}, r"^kernel_arguments: kernel argument 1 is not text; quote it in YAML"),
        ({"arguments": [True]}, r"kernel argument True is not text"),
        ({"arguments": [{"a": 1}]}, r"kernel argument \{'a': 1\} is not text"),
        (
            {"arguments": ["a b"]},
            r"^kernel_arguments: kernel argument 'a b': one token of .* is accepted \(one list entry per argument\)",
        ),
        ({"arguments": ['a="b"']}, r"kernel argument 'a=\"b\"': one token of"),
        ({"arguments": ["a='b'"]}, r"kernel argument \"a='b'\": one token of"),
        ({"arguments": "hugepages=0:16,1:16"}, r"kernel argument '1:16' has no name .* write the arguments as a YAML list"),
        (
            {"arguments": ["rcu_nocbs=1"]},
            r"^kernel_arguments: kernel argument rcu_nocbs=1 contradicts rcu_nocbs=1-3 of the plan \(.*\); remove it, or change the variable",
        ),
        ({"arguments": ["a=1", "a=2"]}, r"kernel argument a=2 contradicts a=1 of the plan \(requested in rt_kernel_arguments\)"),
        ({"default_kernel": "'; reboot"}, r"^default_kernel: .* is not a pattern of a kernel release such as \*-rt-\*"),
        ({"nohz_full": "some"}, r"value of nohz_full must be one of"),
        ({"unknown": 1}, r"Unsupported parameters"),
    ],
)
def test_arguments_that_cannot_be_taken(refuse, arguments, said):
    message = refuse("kernel_arguments", **{"partition": PARTITION, **arguments})
    assert re.search(said, message), message


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
        r"the partition document (is damaged|has schema '1').*; run the cpu_partition role \(site playbook\) to write it again",
        message,
    )


@pytest.mark.parametrize("feature", ["cpu_partition", "cpu_power", "irq_affinity", "kernel_arguments"])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", '{"tokens": 7}', '{"tokens": [1], "default_kernel": null}', '{"unknown": 1}']
)
def test_info_names_damaged_options(snap, refuse, feature, text):
    fill(snap, {DOCUMENT: json.dumps(PARTITION), config_path(feature): text})
    message = refuse("cpu_partition_info")
    assert re.search(rf"{config_path(feature)} is damaged.*; run the \w+ role to write it again", message)


@pytest.mark.parametrize("fsroot", ["/none", "relative"])
@pytest.mark.parametrize("name", ["cpu_partition", "cpu_partition_info"])
def test_an_empty_snapshot_is_told(call, name, fsroot):
    result = call(name, fsroot=fsroot)
    assert result["failed"]
    assert re.match(rf"{name}: no CPU is listed below /sys/devices/system/cpu", result["msg"])


# -- trees that take themselves for a machine --------------------------------------------------------


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    root = tmp_path / "node"
    kernel = "6.1.0-50-rt-amd64"
    files = {
        **machine_files(isolated="1-3"),
        "/proc/sys/vm/stat_interval": "1\n",
        "/proc/irq/default_smp_affinity": "f\n",
        "/sys/devices/system/cpu/cpu1/power/pm_qos_resume_latency_us": "0\n",
        **{f"{folder}/": None for folder in ("/var/lib", "/usr/local/lib", "/etc/systemd/system", "/etc/default/grub.d")},
        "/usr/sbin/grub-mkconfig": "",
        GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        f"/boot/vmlinuz-{kernel}": "",
        "/boot/grub/": None,
    }
    fill(root, files)
    make = MakeConfig(root)
    make(["/usr/sbin/grub-mkconfig", "-o", f"{root}{GRUB_CFG}"])
    monkeypatch.setattr(_common, "Host", lambda _root, **options: Host(str(root), **options))
    monkeypatch.setattr(_common, "runner_of", lambda _module: make)
    return root


ALL = ("cpu_partition", "kernel_arguments", "cpu_power", "irq_affinity")


def test_the_whole_of_it_checked_made_repeated_and_taken_back(call, node):
    before = snapshot(node)
    for name in ALL:
        given = {} if name == "cpu_partition" else {"partition": PARTITION}
        at = snapshot(node)
        check = call(name, check=True, **given)
        assert snapshot(node) == at
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
    cmdline = (node / "proc/cmdline").read_text().split() + call("kernel_arguments")["missing"]
    fill(node, {"/proc/cmdline": " ".join(cmdline)})
    assert call("cpu_partition_info")["drift"] == []
    fill(node, {"/proc/sys/vm/stat_interval": "1\n"})
    (found,) = call("cpu_partition_info")["drift"]
    assert (found["rule"], found["resource"], found["expected"], found["actual"]) == (
        "setting",
        "/proc/sys/vm/stat_interval",
        "10",
        "1",
    )
    fill(node, {"/proc/cmdline": before["/proc/cmdline"][2]})

    for name in ("irq_affinity", "cpu_power", "kernel_arguments", "cpu_partition"):
        check = call(name, check=True, state="absent")
        real = call(name, state="absent")
        assert real["changes"] == check["changes"] != []
        assert call(name, state="absent")["changed"] is False
    after = snapshot(node)
    values = {path for path in before if path.startswith(("/proc/", "/sys/"))}
    assert {path: found for path, found in after.items() if path not in values} == {
        path: found for path, found in before.items() if path not in values
    }
    assert {path: after[path][-1].strip() for path in values if after[path][0] == "file"} == {
        path: before[path][-1].strip() for path in values if before[path][0] == "file"
    }


def test_the_admins_isolcpus_is_told_with_both_values_and_the_file(call, node):
    fill(node, {GRUB_DEFAULTS: 'GRUB_CMDLINE_LINUX_DEFAULT="quiet isolcpus=2,3"\n'})
    before = snapshot(node)
    result = call("kernel_arguments", partition=PARTITION)
    assert result["failed"]
    assert result["changed"] is False
    assert result["msg"] == (
        f"kernel_arguments: kernel arguments contradict the plan: {GRUB_DEFAULTS} has isolcpus=2,3, the plan needs "
        "isolcpus=managed_irq,domain,1-3. Remove them there, or change the variables that the plan is made from "
        "(cpu_partition_*, rt_kernel_*)"
    )
    assert snapshot(node) == before


def test_a_reboot_is_asked_for_until_the_arguments_run(call, node):
    result = call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")
    assert result["reboot_required"] is True
    assert "isolcpus=managed_irq,domain,1-3" in result["missing"]
    fill(node, {"/proc/cmdline": " ".join(["BOOT_IMAGE=/x", *reversed(result["following"]["tokens"])])})
    result = call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")
    assert (result["reboot_required"], result["missing"], result["unexpected"]) == (False, [], [])
    fill(node, {"/proc/sys/kernel/osrelease": "6.1.0-50-amd64"})
    assert call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")["reboot_required"] is True
    fill(node, {"/proc/sys/kernel/osrelease": "6.1.0-49-rt-amd64"})  # it matches, but a newer one boots next
    assert call("kernel_arguments", partition=PARTITION, default_kernel="*-rt-*")["reboot_required"] is True


def test_a_menu_that_names_no_kernel_is_refused_before_any_change(call, node):
    fill(node, {GRUB_CFG: "set default=0\n"})
    before = snapshot(node)
    result = call("kernel_arguments", partition=PARTITION)
    assert re.search("the boot loader's menu names no kernel; repair it first", result["msg"])
    assert snapshot(node) == before
    assert not (node / DROP_IN[1:]).exists()


def test_values_wait_for_the_reboot_and_are_said_to(call, node):
    fill(node, {"/sys/devices/system/cpu/isolated": ""})
    result = call("cpu_partition")
    assert result["deferred"] is True
    assert (node / "proc/sys/vm/stat_interval").read_text() == "1\n"
    assert json.loads((node / DOCUMENT[1:]).read_text()) == PARTITION


def test_a_refusal_after_the_first_write_says_changed(call, node):
    (node / "proc/sys/vm/stat_interval").unlink()
    (node / "proc/sys/kernel/timer_migration").symlink_to("/proc/version")
    result = call("cpu_partition")
    assert result["failed"]
    assert result["changed"] is True
    assert re.match("cpu_partition: /proc/sys/kernel/timer_migration: the kernel refused '0'", result["msg"])
    (node / "proc/sys/kernel/timer_migration").unlink()
    assert call("cpu_partition", state="absent")["changed"]


def test_a_damaged_journal_is_refused_before_any_change(call, node):
    fill(node, {JOURNAL: "{"})
    before = {path: found for path, found in snapshot(node).items() if "realtime-kvm/lock" not in path}
    for state in ("present", "absent"):
        result = call("cpu_partition", state=state)
        assert (result["failed"], result["changed"]) == (True, False)
        assert re.match(f"cpu_partition: {JOURNAL} is damaged", result["msg"])
    assert {path: found for path, found in snapshot(node).items() if "realtime-kvm/lock" not in path} == before


def test_a_cpu_that_a_killed_run_left_off_is_named_then_switched_on(call, node):
    switch = "/sys/devices/system/cpu/cpu2/online"
    entry = {"owner": "cpu_partition", "kind": "value", "before": "1", "boot_id": Host(str(node)).boot_id()}
    journal = json.dumps({"schema": 1, "directories": [], "kernels": [], "entries": {switch: entry}})
    fill(node, {switch: "0\n", "/var/lib/realtime-kvm/": None, JOURNAL: journal})
    refused = call("cpu_partition", check=True)
    assert (refused["failed"], refused["changed"], refused["left_off"]) == (True, False, "2")
    predicted, made = call("cpu_partition", check=True, state="recovered"), call("cpu_partition", state="recovered")
    assert predicted["changes"] == made["changes"] != []
    assert (node / switch.lstrip("/")).read_text() == "1"
    assert call("cpu_partition", state="recovered")["changed"] is False
    assert not call("cpu_partition", check=True).get("failed")


def test_that_cpu_stays_off_where_no_stall_is_allowed(call, node):
    switch = "/sys/devices/system/cpu/cpu2/online"
    entry = {"owner": "cpu_partition", "kind": "value", "before": "1", "boot_id": Host(str(node)).boot_id()}
    journal = json.dumps({"schema": 1, "directories": [], "kernels": [], "entries": {switch: entry}})
    fill(node, {switch: "0\n", "/var/lib/realtime-kvm/": None, JOURNAL: journal})
    assert call("cpu_partition", max_disruption="none")["left_off"] == "2"
    for state in ("recovered", "absent"):
        refused = call("cpu_partition", state=state, max_disruption="none")
        assert (refused["failed"], refused["changed"]) == (True, False)
        assert f"the limit is none, but the plan needs more: {switch} (stall)" in refused["msg"]
        assert (node / switch.lstrip("/")).read_text() == "0\n"
    assert call("cpu_partition", state="recovered", max_disruption="stall")["changed"]


def test_a_boot_configuration_is_not_written_where_no_reboot_is_allowed(call, node):
    before = snapshot(node)
    for check in (True, False):
        refused = call("kernel_arguments", check=check, partition=PARTITION, max_disruption="guest")
        assert (refused["failed"], refused["changed"], refused["disruption"]) == (True, False, "reboot")
        assert f"{DROP_IN} (reboot)" in refused["msg"]
        assert snapshot(node) == before


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
def test_a_node_that_cannot_be_isolated_at_run_time_is_told_why_before_any_change(call, node, files, said):
    fill(node, files)
    before = snapshot(node)
    result = call("cpu_partition", isolation="runtime")
    assert (result["failed"], result["changed"]) == (True, False)
    assert re.match(rf"(cpu_partition: )?(cpu_partition_isolation: runtime )?{said}", result["msg"]), result["msg"]
    assert snapshot(node) == before


def test_tuned_is_refused_before_any_change(call, node):
    fill(node, {"/etc/systemd/system/multi-user.target.wants/tuned.service": ("link", "/x")})
    before = snapshot(node)
    result = call("cpu_partition")
    assert re.match("cpu_partition: tuned is enabled on this node .* set cpu_partition_tuned: take_over", result["msg"])
    assert snapshot(node) == before


def test_other_sets_are_a_change_of_the_document_alone_until_the_reboot(call, node):
    call("cpu_partition")
    result = call("cpu_partition", realtime=2)
    assert result["changes"][0]["resource"] == DOCUMENT
    assert result["partition"]["sets"]["realtime"]["cpus"] == "1-2"
    assert to_document(plan(Intent(realtime="2"))) == result["partition"]
