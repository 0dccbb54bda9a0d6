# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of guests: worked out from the lists of their nodes, which are not touched; and audited with them in one run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader

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


def inventory(nodes, down=("lost",)):
    """Two nodes, and their guests as hosts, of which ``lost`` does not answer; the Python of each host says its name."""
    inside = {
        "plc1": {"guest_os_node": "node1"},
        "inside2": {"guest_os_node": "node2", "guest_os_guest": "plc2", "guest_os_idle": "poll"},
        "lost": {"guest_os_node": "node1"},
    }
    hosts = {"node1": {"realtime_guests": [PLC1, {**PLC2, "name": "lost"}]}, "node2": {"realtime_guests": [PLC2]}, **inside}
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


def run(nodes, playbook, answers, *arguments, **hosts):
    results = {**answers, "results": {**answers.get("results", {}), "rt_audit": {**AUDIT, **answers.get("found", {})}}}
    return nodes.run(f"realtime.kvm.{playbook}", results, *arguments, inventory=inventory(nodes, **hosts))


def made(calls):
    return [(call["node"], call["module"]) for call in calls if not call["check"]]


def test_the_inside_follows_the_definition_and_no_node_is_changed(nodes):
    """One guest with work and without a clock, one with nothing to change, and one that is skipped."""
    results = {"rt_audit": AUDIT, "guest_os": {"asks_node": True}}
    work = {"cpu_partition": "none", "guest_os": "none", "kernel_arguments": "reboot", "results": results}
    code, said, calls = run(nodes, "guest_os", {"nodes": {"plc1": work}}, "-e", "realtime_unreachable=skip")
    assert code == 0, said
    assert {call["node"] for call in calls} == {"plc1", "inside2"}
    assert {call["node"]: call["guest"] for call in calls if call["module"] == "cpu_partition"} == WANTED
    assert {call["node"]: call["guest"] for call in calls if call["module"] == "rt_audit"} == WANTED
    assert [name for host, name in made(calls) if host == "plc1" and name != "rt_audit"][:5] == [
        "cpu_partition", "cpu_power", "irq_affinity", "guest_os", "kernel_arguments",
    ]  # fmt: skip
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource").read_text().strip()
    asked = [call["node_clock_source"] for call in calls if call["module"] == "guest_os" and call["node"] == "plc1"]
    assert (asked[0], set(asked[1:])) == ("", {source})
    assert "plc1: done, and nothing found" in said
    assert [call["module"] for call in calls if call["node"] == "inside2"].count("cpu_partition") == 1
    assert "inside2: nothing to change, and nothing found" in said
    assert "lost: skipped, since it cannot be reached" in said


def test_a_guest_that_does_not_answer_is_named_with_its_node(nodes):
    code, said, calls = run(nodes, "guest_os", {"cpu_partition": "none"})
    assert (code != 0, made(calls)) == (True, [])
    assert "lost does not answer: " in said
    assert "On its node node1 the guest lost " in said
    assert "Nothing was changed on any guest. " in said


def test_a_guest_whose_node_does_not_answer_either_is_named_or_skipped_and_the_clock_of_another_is_left(nodes):
    work = {"guest_os": "none", "results": {"rt_audit": AUDIT, "guest_os": {"asks_node": True}}}
    down = ("lost", "node1")
    code, said, calls = run(nodes, "guest_os", {"nodes": {"plc1": work}}, down=down)
    assert (code != 0, made(calls)) == (True, [])
    assert "On its node node1 the guest lost could not be asked for: " in said
    assert "Look at the node first, or leave it out" in said
    code, said, calls = run(nodes, "guest_os", {"nodes": {"plc1": work}}, "-e", "realtime_unreachable=skip", down=down)
    assert code == 0, said
    assert "lost: skipped, since it cannot be reached" in said
    asked = [call["node_clock_source"] for call in calls if call["module"] == "guest_os" and call["node"] == "plc1"]
    assert set(asked[1:]) == {"unknown"}


def test_nodes_and_guests_are_audited_in_one_run(nodes):
    finding = {"rule": "guest-os-steal", "severity": "warning", "resource": "", "expected": "", "actual": "", "remedy": ""}
    answers = {"nodes": {"plc1": {"results": {"rt_audit": {**AUDIT, "findings": [finding]}}}}}
    code, said, calls = run(nodes, "verify", answers, "--limit", "!lost")
    assert code == 0, said
    assert {call["node"]: call.get("guest") for call in calls} == {"node1": None, "node2": None, **WANTED}
    assert "plc1: 1 warning (guest-os-steal)" in said


@pytest.mark.parametrize(
    ("limit", "guests"), [("node1,plc1", "node1,plc1,&realtime_guest_os"), ("node1:plc1", "node1:plc1:&realtime_guest_os")]
)
def test_undo_refuses_a_node_with_its_guest_and_says_what_to_run_within_the_limit_of_the_run(nodes, limit, guests):
    code, said, calls = run(nodes, "undo", {}, "--limit", limit)
    assert (code != 0, calls) == (True, [])
    assert f"plc1 on node1. Undo the guests first (--limit '{guests}'), then the nodes" in said
    hosts = InventoryManager(DataLoader(), str(inventory(nodes)))
    hosts.subset(guests)
    assert [host.name for host in hosts.get_hosts()] == ["plc1"]
