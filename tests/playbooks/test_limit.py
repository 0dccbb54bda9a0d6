# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""realtime_max_disruption in the playbooks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from playbooks.awx_api import COLLECTIONS, FOUND

ROOT = Path(__file__).resolve().parents[2]

MODULES = ("cpu_partition", "cpu_power", "irq_affinity", "kernel_arguments", "kvm_host", "ovs_dpdk", "rt_domain")
UNDO = {*MODULES, "neutron_agent", "nova_compute", "package_holds", "package_origins", "rt_metrics", "time_sync"}
GUESTS = {"kvm_host", "ovs_dpdk", "rt_domain"}


@pytest.mark.parametrize(("playbook", "modules", "by"), [("guests", GUESTS, "name"), ("undo", UNDO, "path")])
def test_a_plan_above_the_limit_is_shown_and_no_node_is_touched(nodes, playbook, modules, by):
    which = f"realtime.kvm.{playbook}" if by == "name" else str(nodes.base / "playbooks" / f"{playbook}.yml")
    code, said, calls = nodes.run(which, {"rt_domain": "guest", "ovs_dpdk": "stall"}, realtime_max_disruption="none")
    assert code != 0
    assert "guest rt_domain a -> b" in said, "the plan is shown"
    assert said.index("== What the run disturbs == ") < said.index("the plan needs more: ")
    for node in ("node1", "node2"):
        assert f"{node}: realtime_max_disruption is none, but the plan needs more: " in said
    assert {call["module"] for call in calls} == modules
    real = [call for call in calls if not call["check"]]
    assert [call for call in real if call.get("state") != "recovered"] == []
    assert [call for call in calls if call["check"] and "max_disruption" in call] == [], "a preflight has no limit"


@pytest.mark.parametrize(
    ("playbook", "inventory", "run", "binds"),
    [
        *(
            (playbook, "none", "reboot", "none") for playbook in ("guests", "undo", "plan")
        ),  # a survey's default must not open a live node
        *((playbook, "reboot", "guest", "") for playbook in ("guests", "undo", "plan")),
        ("guests", "guest", "none", "none"),
        ("undo", None, "none", "none"),
        ("guests", "{{ maintenance_limit | default('none') }}", "guest", "none"),
        ("guests", "{{ maintenance_limit | default('none') }}", "reboot maintenance_limit=guest", ""),
    ],
)
def test_a_run_can_only_lower_the_limit_of_the_inventory(nodes, playbook, inventory, run, binds):
    given = {} if inventory is None else {"realtime_max_disruption": inventory}
    code, said, calls = nodes.run(
        f"realtime.kvm.{playbook}", {"rt_domain": "guest"}, "-e", f"realtime_max_disruption={run}", **given
    )
    if binds:
        assert code != 0
        for node in ("node1", "node2"):
            assert f"{node}: realtime_max_disruption is {binds}, but the plan needs more: rt_domain (guest)" in said
        assert "above realtime_max_disruption: rt_domain (guest)" in said, "the plan says it too"
        assert [call for call in calls if not call["check"] and call.get("state") != "recovered"] == []
    else:
        assert code == 0, said
        assert {call["max_disruption"] for call in calls if not call["check"]} <= {"guest"}


RAISED = ["-e", "realtime_max_disruption=reboot"]


@pytest.mark.parametrize(("where", "run"), [("import", []), ("import", RAISED), ("role", RAISED), ("task", RAISED)])
def test_a_limit_of_a_play_a_role_or_a_task_binds_as_the_inventory_s_does(nodes, where, run):
    limit = {"realtime_max_disruption": "none"}
    book = [{"ansible.builtin.import_playbook": "realtime.kvm.guests", "vars": limit}]
    if where != "import":
        role = {"ansible.builtin.import_role": {"name": "realtime.kvm.kvm_host"}, "vars": limit}
        role = {"block": [role | {"vars": {}}], "vars": limit} if where == "task" else role
        book = [{"hosts": "node1", "gather_facts": False, "tasks": [role]}]
    path = nodes.folder / "book.yml"
    path.write_text(yaml.safe_dump(book))
    code, said, calls = nodes.run(str(path), {"kvm_host": "guest"}, *run)
    if where == "import":
        assert code != 0
        assert "node1: realtime_max_disruption is none, but the plan needs more: kvm_host (guest)" in said
        assert "above realtime_max_disruption: kvm_host (guest)" in said, "the plan says it too"
        assert [call for call in calls if not call["check"]] == []
    else:
        limits = {call.get("max_disruption") for call in calls if not call["check"] and call["module"] == "kvm_host"}
        assert limits == {"none"}, said


def test_a_limit_that_is_another_host_s_is_that_of_its_inventory(nodes):
    other = "{{ 'none' if inventory_hostname == 'node1' else hostvars['node1'].realtime_max_disruption }}"
    arguments = ("--limit", "node2", *RAISED)
    code, said, calls = nodes.run("realtime.kvm.guests", {"rt_domain": "guest"}, *arguments, realtime_max_disruption=other)
    assert code != 0
    assert "node2: realtime_max_disruption is none, but the plan needs more: rt_domain (guest)" in said
    assert "above realtime_max_disruption: rt_domain (guest)" in said
    assert [call for call in calls if not call["check"]] == []


@pytest.mark.parametrize(("empty", "inventory"), [("''", "none"), ("null", None), ("null", "none")])
def test_an_empty_answer_is_none(nodes, empty, inventory):
    """AWX sends null for a question without an answer."""
    given = {} if inventory is None else {"realtime_max_disruption": inventory}
    extra = yaml.safe_load(f"realtime_max_disruption: {empty}")
    code, said, _calls = nodes.run("realtime.kvm.guests", {"rt_domain": "guest"}, "-e", json.dumps(extra), **given)
    assert (code == 0) == (inventory is None), said
    assert ("realtime_max_disruption is none, but the plan needs more" in said) == (inventory is not None)


def test_nodes_keep_their_own_limits_beside_the_limit_of_a_run(nodes):
    limits = "{{ 'none' if inventory_hostname == 'node2' else 'reboot' }}"
    code, said, _calls = nodes.run(
        "realtime.kvm.guests", {"rt_domain": "stall"}, "-e", "realtime_max_disruption=guest", realtime_max_disruption=limits
    )
    assert code != 0
    assert "node2: realtime_max_disruption is none, but the plan needs more: rt_domain (stall)" in said
    assert "node1: realtime_max_disruption is" not in said


def test_a_limit_of_the_inventory_that_the_runs_hides_is_checked(nodes):
    code, said, calls = nodes.run(
        "realtime.kvm.guests", {}, "-e", "realtime_max_disruption=guest", realtime_max_disruption="sometimes"
    )
    assert code != 0
    assert "realtime_max_disruption: 'sometimes' is not a disruption class; choose one of none, stall, guest, reboot" in said
    assert [call for call in calls if not call["check"]] == []


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_a_plan_above_the_limit_of_one_node_keeps_all_nodes_untouched_with_every_strategy(nodes, monkeypatch, strategy):
    monkeypatch.setenv("ANSIBLE_STRATEGY", strategy)
    limit = "{{ 'none' if inventory_hostname == 'node2' else 'reboot' }}"
    code, said, calls = nodes.run("realtime.kvm.guests", {"kvm_host": "stall"}, realtime_max_disruption=limit)
    assert code != 0
    assert "node2: realtime_max_disruption is none, but the plan needs more: kvm_host (stall)" in said
    assert [call["module"] for call in calls if not call["check"]] == []


SEQUENCE = "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("playbook", "module", "answer"),
    [
        (
            "plan",
            "kvm_host",
            {"changes": [{"resource": SEQUENCE, "before": "a", "after": "b", "disruption": "reboot", "reason": ""}]},
        ),
        (
            "verify",
            "rt_audit",
            {
                "findings": [{"severity": "error", "rule": SEQUENCE}],
                "findings_table": [SEQUENCE],
                "remarks_table": [SEQUENCE],
                "unchecked": [{"part": SEQUENCE, "reason": SEQUENCE}],
                "kernel": {"release": SEQUENCE, "realtime": True, "isolated": ""},
                "managed_interrupts": [],
                "smi": {"count": 0, "reason": ""},
            },
        ),
    ],
)
def test_no_answer_writes_to_the_terminal(nodes, playbook, module, answer):
    code, said, _calls = nodes.run(f"realtime.kvm.{playbook}", {"results": {module: answer}}, realtime_max_disruption="none")
    assert code != 0
    assert (
        "the plan needs more: \\x1b]0;owned\\x07 (reboot)" in said
        or "is not as it should be: 1 finding (\\x1b]0;owned\\x07), see above" in said
    )
    assert "\x1b" not in said


@pytest.mark.parametrize(("playbook", "modules"), [("guests", {"rt_domain"}), ("undo", UNDO)])
def test_up_to_the_limit_the_work_is_done_and_each_module_has_the_limit(nodes, playbook, modules):
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", {"rt_domain": "guest"}, realtime_max_disruption="guest")
    assert code == 0, said
    real = [call for call in calls if not call["check"]]
    assert {call["module"] for call in real} == modules
    assert {call.get("max_disruption") for call in real} == {"guest"}


def test_a_plan_of_one_node_keeps_all_from_being_changed(nodes):
    code, _said, calls = nodes.run(
        "realtime.kvm.undo",
        {"kernel_arguments": "reboot"},
        realtime_max_disruption="{{ 'none' if inventory_hostname == 'node2' else 'reboot' }}",
    )
    assert code != 0
    assert [call for call in calls if not call["check"] and call.get("state") != "recovered"] == []


@pytest.mark.parametrize("guests", [True, False])
def test_a_node_without_guests_is_planned_without_them(nodes, guests):
    code, said, calls = nodes.run("realtime.kvm.plan", {}, **({} if guests else {"realtime_guests": []}))
    assert code == 0, said
    assert {call["module"] for call in calls} == (set(MODULES) if guests else set(MODULES) - GUESTS)
    assert "nothing to change" in said


@pytest.mark.parametrize(("planned", "installed"), [(False, True), (True, True), (True, False)])
def test_the_switch_is_planned_with_the_limit_before_its_packages(nodes, planned, installed):
    """Packages start the switch; where they are installed and a plan was made already, the role does not plan again."""
    role = {"ansible.builtin.import_role": {"name": "realtime.kvm.ovs_dpdk", "tasks_from": "preflight"}}
    book = nodes.folder / "book.yml"
    tasks = [*([role] if planned else []), {"ansible.builtin.import_role": {"name": "realtime.kvm.ovs_dpdk"}}]
    book.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": tasks}]))
    answers = {"results": {"ovs_dpdk": {"installed": installed}}}
    code, said, calls = nodes.run(str(book), answers, realtime_max_disruption="stall", realtime_networks=[{"name": "control"}])
    assert code == 0, said
    before = [(True, None)] * planned + [(True, "stall")] * (not (planned and installed))
    switch = [call for call in calls if call["module"] == "ovs_dpdk"]
    assert [(call["check"], call.get("max_disruption")) for call in switch] == [*before, (False, "stall")]
    record = [(call["role"], call.get("state", "present")) for call in calls if call["module"] == "package_origins"]
    assert record == [("ovs_dpdk", "present")] * (not installed), "before its packages, what is there"


def test_undo_reboots_no_node_above_the_limit(nodes):
    """Also where the reboot is run by itself."""
    role = {"ansible.builtin.import_role": {"name": "realtime.kvm.rt_kernel", "tasks_from": "undo_reboot"}}
    book = nodes.folder / "book.yml"
    book.write_text(yaml.safe_dump([{"hosts": "node1", "gather_facts": False, "tasks": [role]}]))
    code, said, calls = nodes.run(str(book), {}, realtime_max_disruption="guest", rt_kernel_result={"realtime_guests": []})
    assert code != 0
    assert "rt_kernel: node1 needs a reboot, but realtime_max_disruption is guest" in said
    assert calls == []


def test_packages_are_tried_on_all_nodes_before_they_are_installed(nodes):
    answers = {"results": {"kvm_host": {"installed": False}, "ovs_dpdk": {"installed": False}}}
    code, said, _calls = nodes.run("realtime.kvm.guests", answers, realtime_networks=[{"name": "control"}])
    assert code == 0, said
    libvirt = "libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils python3-libvirt"
    switch = "openvswitch-switch-dpdk librte-meta-bus librte-meta-mempool"
    found = re.findall(r'"msg": "<([^>]+)> present( \(only tried\))?"', said)
    tried, made = " (only tried)", ""
    assert found == [(f"{libvirt} {switch}", tried)] * 2 + [(libvirt, made)] * 2 + [(switch, made)] * 2


def test_the_packages_of_one_role_are_tried_by_it(nodes):
    answers = {"results": {"kvm_host": {"installed": False}}}
    code, said, _calls = nodes.run("realtime.kvm.guests", answers, "--limit", "node1")
    assert code == 0, said
    found = re.findall(r'"msg": "<([^>]+)> present( \(only tried\))?"', said)
    assert [tried for _names, tried in found] == [" (only tried)", ""]


def test_kernels_that_were_added_are_removed_at_undo(nodes):
    added = {"added_kernels": ["6.1-rt"], "running": {"release": "6.0", "matches": True}}
    code, said, _calls = nodes.run("realtime.kvm.undo", {"results": {"kernel_arguments": added}})
    assert code == 0, said
    assert said.count("<linux-image-rt-amd64 linux-image-6.1-rt> absent") == 2


def test_every_playbook_is_understood(nodes):
    """The playbook awx where awx.awx is."""
    books = [str(path) for path in sorted((nodes.base / "playbooks").glob("*.yml")) if FOUND or path.stem != "awx"]
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "realtime_nodes,", "--syntax-check", *books]
    done = subprocess.run(
        command,
        env={**nodes.environment(), "ANSIBLE_COLLECTIONS_PATH": f"{nodes.collections}{os.pathsep}{COLLECTIONS}"},
        cwd=nodes.folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("playbook: ") == len(books)


def test_nothing_below_the_playbooks_looks_like_one():
    """AWX lists every YAML file outside of folders named tasks that has a play; what plays share is not one."""
    for folder in ("tasks", "vars"):
        for path in (ROOT / "playbooks" / folder).glob("*.yml"):
            content = yaml.safe_load(path.read_text())
            assert isinstance(content, dict) or not any({"hosts", "import_playbook"} & set(item) for item in content)
