# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/partition.yml refuses what it cannot do before it looks at any node; the cpu_partition role recovers CPUs that a killed run left off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("isolation", [None, "boot"])
def test_isolation_that_needs_a_boot_is_refused(tmp_path, isolation):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("realtime_nodes:\n  hosts: {node1: {ansible_host: 192.0.2.1}, node2: {ansible_host: 192.0.2.1}}\n")
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(ROOT / "playbooks" / "partition.yml")]
    if isolation:
        command += ["-e", f"cpu_partition_isolation={isolation}"]
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(tmp_path),
    }
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert "node1: cpu_partition_isolation is boot, which takes effect at a boot; set it to runtime" in said
    assert "unreachable=0" in said
    assert "Traceback" not in said


# -- CPUs that a killed run left off ---------------------------------------------------------------


def seen(calls):
    """Each call: its state, and whether in check mode."""
    return [(call.get("state", "present"), call["check"]) for call in calls]


PLANNED, MADE, RECOVERED = ("present", True), ("present", False), ("recovered", False)


def test_the_role_alone_switches_them_on_and_partitions_the_node_again(nodes):
    code, said, calls = nodes.run_role("main", {"left_off": "2"}, realtime_max_disruption="stall")
    assert code == 0, said
    assert seen(calls) == [MADE, RECOVERED, MADE]
    assert {call["max_disruption"] for call in calls} == {"stall"}
    assert "failed=0" in said
    assert "rescued=0" in said


def test_a_node_without_such_cpus_is_partitioned_once(nodes):
    for tasks_from, call in (("main", MADE), ("preflight", PLANNED)):
        code, said, calls = nodes.run_role(tasks_from, {}, __cpu_partition_recover=True)
        assert code == 0, said
        assert seen(calls) == [call]


def test_a_preflight_of_a_playbook_that_goes_on_switches_them_on_and_plans_again(nodes):
    code, said, calls = nodes.run_role(
        "preflight", {"left_off": "2"}, __cpu_partition_recover=True, realtime_max_disruption="stall"
    )
    assert code == 0, said
    assert seen(calls) == [PLANNED, RECOVERED, PLANNED]
    assert [call.get("max_disruption") for call in calls] == [None, "stall", None], "a plan has no limit, a change has"


def test_a_preflight_that_only_plans_refuses_and_touches_nothing(nodes):
    code, said, calls = nodes.run_role("preflight", {"left_off": "2"})
    assert code != 0
    assert "CPUs are off" in said
    assert seen(calls) == [PLANNED]


@pytest.mark.parametrize("tasks_from", ["main", "preflight"])
def test_check_mode_refuses_and_touches_nothing(nodes, tasks_from):
    code, said, calls = nodes.run_role(tasks_from, {"left_off": "2"}, "--check", __cpu_partition_recover=True)
    assert code != 0
    assert "CPUs are off" in said
    assert seen(calls) == [PLANNED]


@pytest.mark.parametrize(("tasks_from", "first"), [("main", MADE), ("preflight", PLANNED)])
def test_cpus_that_stay_off_are_told_once_and_for_all(nodes, tasks_from, first):
    answers = {"left_off": "2", "for_ever": True}
    code, said, calls = nodes.run_role(tasks_from, answers, __cpu_partition_recover=False)
    if tasks_from == "main":
        assert seen(calls) == [first, RECOVERED, first]
    assert code != 0
    assert "CPUs are off" in said


def test_playbooks_that_go_on_to_change_the_node_recover_and_the_others_do_not():
    recover = {}
    for path in (ROOT / "playbooks").glob("*.yml"):
        for play in yaml.safe_load(path.read_text(encoding="utf-8")):
            looks = {"ansible.builtin.import_tasks": "tasks/look.yml"}.items()
            plans = any(looks <= task.items() for task in play.get("tasks", [])) and "cpu_partition" in play["vars"]["looks"]
            if plans or play.get("ansible.builtin.import_playbook") == "realtime.kvm.plan":
                recover[path.stem] = play.get("vars", {}).get("__cpu_partition_recover", False)
    assert recover == {"site": True, "partition": True, "guest_os": True, "plan": False}


OTHER = {"results": {"cpu_partition": {"documented": False}}}


@pytest.mark.parametrize(
    ("playbook", "chosen"),
    [
        ("site", ["--tags", "rt_kernel"]),
        ("site", ["--skip-tags", "cpu_partition"]),
        ("site", ["--tags", "power", "--check"]),
        ("partition", ["--tags", "irq_affinity"]),
    ],
    ids=str,
)
def test_a_role_alone_is_refused_while_its_plan_is_not_the_nodes_partition(nodes, playbook, chosen):
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", OTHER, *chosen, cpu_partition_isolation="runtime")
    assert code != 0
    assert "node1: the planned partition is not the one on the node" in said
    assert f"{' '.join(chosen[:2])} leaves out cpu_partition, which makes it. Nothing was changed on any node." in said.replace(
        "--tags all ", ""
    )
    assert "Run it without --tags, or with cpu_partition among them" in said
    assert [call for call in calls if not call["check"]] == []


@pytest.mark.parametrize(
    ("answers", "chosen"),
    [(OTHER, []), (OTHER, ["--tags", "cpu_partition,power"]), (OTHER, ["--tags", "plan"]), ({}, ["--tags", "power"])],
    ids=str,
)
def test_a_run_that_makes_the_partition_or_needs_none_goes_on(nodes, answers, chosen):
    code, said, calls = nodes.run(
        "realtime.kvm.partition",
        {"cpu_power": "stall", **answers},
        *chosen,
        "--skip-tags",
        "verify",
        cpu_partition_isolation="runtime",
    )
    assert code == 0, said[-500:]
    assert "leaves out cpu_partition" not in said
    assert ("cpu_power" in {call["module"] for call in calls if not call["check"]}) == (chosen != ["--tags", "plan"])
