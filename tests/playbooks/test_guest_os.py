# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of guests: worked out from the lists of their nodes, which are not touched; and audited with them in one run."""

from __future__ import annotations

import sys

import yaml

PLC1 = {"name": "plc1", "memory_mib": 64, "vcpus": 4, "realtime_vcpus": "1-3"}
PLC2 = {"name": "plc2", "memory_mib": 64, "vcpus": 2, "realtime_vcpus": 1}
AUDIT = {
    "kernel": {"release": "6.12-rt", "realtime": True, "isolated": "1-3"},
    "managed_interrupts": [],
    "smi": {"count": 0, "reason": ""},
}
WANTED = {
    "plc1": {"name": "plc1", "vcpus": 4, "realtime_vcpus": "1-3", "idle": "halt"},
    "inside2": {"name": "plc2", "vcpus": 2, "realtime_vcpus": "1", "idle": "poll"},
}


def inventory(nodes, down=(), **plc1):
    """Two nodes, and a guest of each as a host; the Python of each host says its name."""
    inside = {
        "plc1": {"guest_os_node": "node1", **plc1},
        "inside2": {"guest_os_node": "node2", "guest_os_guest": "plc2", "guest_os_idle": "poll"},
    }
    hosts = {"node1": {"realtime_guests": [PLC1]}, "node2": {"realtime_guests": [PLC2]}, **inside}
    for name, variables in hosts.items():
        python = nodes.folder / f"python-{name}"
        python.write_text(f'#!/bin/sh\nNODE={name} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        variables["ansible_python_interpreter"] = str(python)
        variables["ansible_connection"] = "realtime.kvm.down" if name in down else "local"
    groups = {"realtime_nodes": {"hosts": {name: hosts[name] for name in ("node1", "node2")}}}
    groups["realtime_guest_os"] = {"hosts": {name: hosts[name] for name in inside}}
    path = nodes.folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"children": groups, "vars": {"realtime_plan_folder": str(nodes.folder / "plan")}}}))
    return path


def run(nodes, playbook, answers, *arguments, path=None):
    results = {**answers, "results": {**answers.get("results", {}), "rt_audit": {**AUDIT, **answers.get("found", {})}}}
    return nodes.run(f"realtime.kvm.{playbook}", results, *arguments, inventory=path or inventory(nodes))


def made(calls):
    return [(call["node"], call["module"]) for call in calls if not call["check"]]


def test_the_inside_follows_the_definition_and_no_node_is_asked(nodes):
    work = {"cpu_partition": "none", "guest_os": "none", "kernel_arguments": "reboot"}
    code, said, calls = run(nodes, "guest_os", work)
    assert code == 0, said
    assert {call["node"] for call in calls} == {"plc1", "inside2"}
    assert {call["node"]: call["guest"] for call in calls if call["module"] == "cpu_partition"} == WANTED
    assert {call["node"]: call["guest"] for call in calls if call["module"] == "rt_audit"} == WANTED
    assert [name for host, name in made(calls) if host == "plc1" and name != "rt_audit"][:5] == [
        "cpu_partition", "cpu_power", "irq_affinity", "guest_os", "kernel_arguments",
    ]  # fmt: skip
    assert "inside2, plc1: done, and nothing found" in said


def test_unchanged_guests_are_asked_once(nodes):
    code, said, calls = run(nodes, "guest_os", {})
    assert (code, made(calls)) == (0, []), said
    assert "nothing to change, and nothing found" in said
    assert len([call for call in calls if call["module"] == "cpu_partition"]) == 2


def test_a_guest_that_does_not_answer_is_named_with_its_node(nodes):
    path = inventory(nodes, down=["plc1"])
    code, said, calls = run(nodes, "guest_os", {"cpu_partition": "none"}, path=path)
    assert code != 0
    assert made(calls) == []
    assert "plc1 does not answer: " in said
    assert "On its node node1 the guest plc1 " in said
    assert "Nothing was changed on any guest. " in said
    skip = ("-e", "realtime_unreachable=skip")
    _code, said, calls = run(nodes, "guest_os", {"cpu_partition": "none"}, *skip, path=path)
    assert {host for host, _name in made(calls)} == {"inside2"}, said
    assert "plc1: skipped, since it cannot be reached" in said


def test_what_the_inventory_says_wrong_is_refused_before_any_is_asked(nodes):
    code, said, calls = run(
        nodes, "guest_os", {}, path=inventory(nodes, guest_os_node="node2", cpu_partition_cpus={"realtime": "1"})
    )
    assert (code != 0, calls) == (True, [])
    assert "plc1: guest_os_node: the list of node2 has no guest plc1, but plc2; set guest_os_node: node1" in said
    assert "plc1: cpu_partition_cpus: the definition of guest plc1" in said


def test_nodes_and_guests_are_audited_in_one_run(nodes):
    finding = {"rule": "guest-os-steal", "severity": "warning", "resource": "", "expected": "", "actual": "", "remedy": ""}
    answers = {"nodes": {"plc1": {"results": {"rt_audit": {**AUDIT, "findings": [finding]}}}}}
    code, said, calls = run(nodes, "verify", answers)
    assert code == 0, said
    assert {call["node"]: call.get("guest") for call in calls} == {"node1": None, "node2": None, **WANTED}
    assert "plc1: 1 warning (guest-os-steal)" in said


def test_undo_takes_guests_before_their_nodes(nodes):
    path = inventory(nodes)
    code, said, calls = run(nodes, "undo", {}, path=path)
    assert (code != 0, made(calls)) == (True, [])
    assert "inside2 on node2, plc1 on node1. Undo the guests first (--limit realtime_guest_os), then the nodes" in said
    code, said, calls = run(nodes, "undo", {"guest_os": "none"}, "--limit", "plc1", path=path)
    assert code == 0, said
    assert ("plc1", "guest_os") in made(calls)
    assert {host for host, _name in made(calls)} == {"plc1"}
