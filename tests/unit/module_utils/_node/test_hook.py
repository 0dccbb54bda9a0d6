# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt's hook does when a guest starts and ends, on a tree; what the kernel makes of the writes is the lab's to test."""

from __future__ import annotations

import json
import syslog
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.cgroups import RESERVED, read_holders
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import HOLDERS, ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._node import hook as _hook
from ansible_collections.realtime.kvm.plugins.module_utils._node.hook import run_hook
from unit.trees import fill, machine_files, plan, snapshot, writable

SCOPE = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2d{{}}.scope/libvirt"


def document(isolation="runtime"):
    return {DOCUMENT: json.dumps(to_document(plan(Intent(smt="together", isolation=isolation))))}  # housekeeping 0, realtime 1-3


def cgroup(path, cpus="", state="member", threads=""):
    return {
        f"{path}/cpuset.cpus": f"{cpus}\n",
        f"{path}/cpuset.cpus.partition": f"{state}\n",
        f"{path}/cpuset.cpus.exclusive": "\n",
        f"{path}/cgroup.subtree_control": "cpuset\n",
        f"{path}/cgroup.threads": threads,
    }


def xml(*pins):
    text = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in enumerate(pins))
    return f"<domain><cputune>{text}</cputune></domain>"


def runs(root, guest, vcpu, cpus):
    """A vCPU of a guest that runs, in a partition of its own."""
    fill(root, cgroup(f"{SCOPE.format(guest)}/vcpu{vcpu}", cpus, "isolated", "77\n"))


def reserved(root):
    folder = Path(f"{root}{RESERVED}")
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.is_dir() else {}


def held(root):
    return {name: sorted(item.cpus) for name, item in read_holders(writable(root)).items() if item.cpus}


@pytest.fixture(name="node")
def _node(tmp_path, monkeypatch):
    """A node that is isolated at run time: all real-time CPUs are in their holder."""
    files = {
        **machine_files(),
        **document(),
        f"{ROOT}/cgroup.controllers": "cpuset cpu io memory\n",
        f"{ROOT}/cgroup.subtree_control": "cpuset cpu memory\n",
        f"{ROOT}/cpuset.cpus.isolated": "1-3\n",
        **cgroup(HOLDERS["realtime"], "1-3", "isolated"),
        "/var/lib/": None,
    }
    monkeypatch.setattr(_hook, "Host", lambda: writable(tmp_path))
    return fill(tmp_path, files)


def test_a_guest_that_starts_gets_its_cpus_from_the_holder(node):
    assert run_hook(["plc1", "prepare"], xml("2", "3")) == ""
    assert reserved(node) == {"plc1": "2-3"}
    assert held(node) == {"realtime": [1]}


def test_the_reservation_ends_once_its_threads_run(node):
    run_hook(["plc1", "prepare"], xml("2"))
    runs(node, "plc1", 0, "2")
    assert run_hook(["plc1", "started"], xml("2")) == ""
    assert (reserved(node), held(node)) == ({}, {"realtime": [1, 3]})


def test_the_cpus_of_a_guest_that_ended_return(node):
    run_hook(["plc1", "prepare"], xml("2"))
    assert held(node) == {"realtime": [1, 3]}
    assert run_hook(["plc1", "release"], xml("2")) == ""
    assert (reserved(node), held(node)) == ({}, {"realtime": [1, 2, 3]})


def test_a_start_on_cpus_in_use_is_refused_by_owner(node):
    runs(node, "plc2", 0, "2")
    assert run_hook(["plc1", "prepare"], xml("2", "3")) == (
        "realtime.kvm: plc1 cannot start on CPUs 2-3: in use: CPU 2 by plc2 vcpu0; stop or move it first"
    )
    assert reserved(node) == {}


def test_a_refused_start_keeps_no_reservation(node):
    """The refusal comes after CPUs were reserved: another cgroup has them."""
    fill(node, cgroup(f"{ROOT}/other.slice", "1-3", "member"))
    assert run_hook(["plc1", "prepare"], xml("2")).startswith("realtime.kvm: ")
    assert reserved(node) == {}


def test_a_guest_that_runs_already_goes_on_and_the_log_says_what_is_missing(node, monkeypatch):
    said = []
    monkeypatch.setattr(syslog, "syslog", lambda _level, text: said.append(text))
    fill(node, cgroup(f"{ROOT}/other.slice", "1-3", "member"))
    runs(node, "plc1", 0, "2")
    assert run_hook(["plc1", "started"], xml("2")) == ""
    assert len(said) == 1
    assert said[0].startswith("realtime.kvm: plc1 started: ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["plc1", "prepare"], xml("0")),  # no isolated CPU
        (["plc1", "prepare"], "<domain/>"),
        (["plc1", "stopped"], xml("2")),
    ],
)
def test_there_is_nothing_to_do(node, arguments, text):
    before = snapshot(node)
    assert run_hook(arguments, text) == ""
    assert snapshot(node) == before


@pytest.mark.parametrize("files", [{}, document("boot")], ids=["no document", "isolated by the boot"])
def test_a_node_that_is_not_isolated_at_run_time_is_left_alone(tmp_path, monkeypatch, files):
    fill(tmp_path, {**machine_files(), **files})
    monkeypatch.setattr(_hook, "Host", lambda: writable(tmp_path))
    before = snapshot(tmp_path)
    assert run_hook(["plc1", "prepare"], xml("2")) == ""
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("isolation", ["runtime", "boot"])
@pytest.mark.parametrize(("operation", "moved"), [("started", [50]), ("prepare", []), ("release", [])])
def test_kvms_worker_is_placed_once_the_guest_has_started(node, monkeypatch, isolation, operation, moved):
    """In both modes: libvirt starts guests by itself too, at boot for example."""
    fill(node, {**document(isolation), "/run/libvirt/qemu/plc1.pid": "50\n", "/run/libvirt/qemu/plc2.pid": "\n"})
    calls = []
    monkeypatch.setattr(_hook, "settle_workers", lambda _host, pid: calls.append(pid))
    for guest in ("plc1", "plc2", "plc3"):
        assert run_hook([guest, operation, "begin", "-"], xml()) == ""
    assert calls == moved
