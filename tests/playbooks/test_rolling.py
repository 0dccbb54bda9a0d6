# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Site works on one node first, then on a batch at a time; after a node that failed or was lost no other is touched, and another run goes on there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml
from playbooks.test_update import answers as update_answers

SITE = "realtime.kvm.site"
NEEDED = {"reboot_required": True, "following": {"release": "6.1", "tokens": []}}
DONE = {"reboot_required": False, "trial": {"state": "confirmed", "reason": ""}}
AUDIT = {"kernel": {"release": "6.1", "realtime": True, "isolated": ""}, "managed_interrupts": [], "smi": {"count": 0}}
REBOOT = {"results": {"kernel_arguments": NEEDED, "rt_audit": AUDIT}, "after_reboot": {"kernel_arguments": DONE}}
NAMES = [f"kvm{number:02d}" for number in range(1, 9)]
#: The tests' own modules know by it on which node they run.
PYTHON = '#!/bin/sh\nNODE={name} exec {python} "$@"\n'

#: The third node does not answer any more, once its batch has begun.
DIES = """
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        if task_vars["inventory_hostname"] == "kvm03" and not self._task.check_mode:
            return {"unreachable": True, "msg": "no route to host"}
        return self._execute_module(task_vars=task_vars)
"""


class Rolling:
    """Eight nodes that keep what was done to them over more than one run."""

    def __init__(self, nodes):
        self.nodes = nodes
        for name in NAMES:
            path = nodes.folder / f"python-{name}"
            path.write_text(PYTHON.format(name=name, python=sys.executable))
            path.chmod(0o755)
        nodes.log.write_text("")

    def start(self, answers, *arguments, most=8, book=SITE, env=(), **variables):
        """Start a playbook on the first nodes."""
        self.nodes.answers.write_text(json.dumps(answers))
        common = {"ansible_connection": "local", "realtime_plan_folder": str(self.nodes.folder / "plan")}
        hosts = {name: {"ansible_python_interpreter": str(self.nodes.folder / f"python-{name}")} for name in NAMES[:most]}
        inventory = self.nodes.folder / "rolling.yml"
        inventory.write_text(yaml.safe_dump({"realtime_nodes": {"hosts": hosts, "vars": {**common, **variables}}}))
        return subprocess.Popen(
            [sys.executable, "-m", "ansible.cli.playbook", "-i", inventory, book, "-e", "ansible_become=false", *arguments],
            env={**self.nodes.environment(), "ANSIBLE_FORKS": "8", **dict(env)},
            cwd=self.nodes.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, answers, *arguments, **variables):
        """Run site to its end; return its code and what it said."""
        with self.start(answers, *arguments, **variables) as running:
            said = running.communicate(timeout=900)[0]
        assert "Traceback" not in said
        return running.returncode, " ".join(said.split())

    @property
    def calls(self):
        return [json.loads(line) for line in self.nodes.log.read_text().splitlines()]

    def changed(self):
        """The nodes on which a module ran that is not check mode's, in the order of the first."""
        return list(dict.fromkeys(call["node"] for call in self.calls if not call["check"] and call["module"] != "rt_plan"))

    def reboots(self):
        return Counter(call["node"] for call in self.calls if call["module"] == "reboot" and not call["check"])


@pytest.fixture(name="rolling")
def _rolling(nodes):
    return Rolling(nodes)


def test_one_node_is_first_and_the_others_follow_a_batch_at_a_time(rolling):
    code, said = rolling.run(REBOOT)
    assert code == 0, said
    order = [call["node"] for call in rolling.calls if call["module"] in ("reboot", "rt_audit") and not call["check"]]
    sizes = [1, 2, 2, 2, 1]
    batches = [NAMES[sum(sizes[:number]) : sum(sizes[: number + 1])] for number in range(len(sizes))]
    for batch in batches:  # each batch is rebooted and verified before the next begins
        part, order = order[: 2 * len(batch)], order[2 * len(batch) :]
        assert (sorted(part[: len(batch)]), sorted(part[len(batch) :])) == (batch, batch)
    assert "== Batch 1 of 5, 1 node: kvm01 ==" in said
    assert (
        "not begun, and as they were: kvm02, kvm03, kvm04, kvm05, kvm06, kvm07, kvm08; they stay so unless this batch ends well"
        in said
    )
    assert "== Batch 4 of 5, 2 nodes: kvm06, kvm07 ==" in said
    assert re.search(r"done: 5 of 8 nodes in \d+ minutes?; about \d+ minutes? left", said)
    assert "kvm01, kvm02, kvm03, kvm04, kvm05, kvm06, kvm07, kvm08: done, and nothing found" in said
    code, said = rolling.run(REBOOT, most=3)
    assert code == 0, said
    assert sum(rolling.reboots().values()) == 8, "none is rebooted again"
    assert "Batch" not in said
    assert "nothing to change, and nothing found" in said
    assert "[WARNING]: Could not match" not in said


@pytest.mark.parametrize("module", ["kernel_arguments present", "rt_domain_power stopped", "rt_audit present"])
def test_no_node_is_touched_after_one_that_failed(rolling, module):
    guests = {"running": ["plc1"], "guests": ["plc1"]}
    results = {**REBOOT["results"], "rt_domain_power": guests}
    answers = {**REBOOT, "results": results, "nodes": {"kvm01": {"fail_real": {module: "the disk is full"}}}}
    code, said = rolling.run(answers, most=3, rt_kernel_reboot_with_guests=True)
    assert code != 0
    assert rolling.changed() == ["kvm01"]
    assert "the disk is full" in said
    assert (
        "kvm02, kvm03: not begun, since another node failed or was lost; it is as it was. Run the playbook again, and it goes on here"
    ) in said
    assert "kvm01: failed at" in said
    if module.startswith("kernel_arguments"):
        code, said = rolling.run(REBOOT, most=3)
        assert code == 0, said
        assert rolling.reboots() == dict.fromkeys(NAMES[:3], 1)


def test_findings_of_the_first_node_stop_the_others(rolling):
    finding = {"rule": "vcpu-pinning", "severity": "error"}
    audit = {**AUDIT, "findings": [finding], "findings_table": ["vcpu-pinning  error"]}
    code, said = rolling.run(
        {**REBOOT, "nodes": {"kvm01": {**REBOOT, "results": {**REBOOT["results"], "rt_audit": audit}}}}, most=2
    )
    assert code != 0
    assert rolling.changed() == ["kvm01"]
    assert "kvm01 is not as it should be: 1 finding (vcpu-pinning), see above" in said


def test_the_others_of_a_batch_go_on_when_one_fails(rolling):
    answers = {**REBOOT, "nodes": {"kvm02": {"fail_real": {"kernel_arguments present": "the disk is full"}}}}
    code, said = rolling.run(answers, "-e", "rt_kernel_reboot_serial=1,2", most=4)
    assert code != 0
    assert rolling.reboots() == {"kvm01": 1, "kvm03": 1}
    assert "kvm01, kvm03: done, and nothing found" in said
    assert "kvm04: not begun" in said


def test_a_node_that_dies_in_its_batch_stops_the_others(rolling):
    action = rolling.nodes.base / "plugins" / "action" / "kernel_arguments.py"
    action.write_text(DIES)
    try:
        code, said = rolling.run(REBOOT, "-e", "rt_kernel_reboot_serial=1,2", most=5)
    finally:
        action.unlink()
    assert code != 0
    assert rolling.reboots() == {"kvm01": 1, "kvm02": 1}
    assert "kvm03: failed, see above" in said
    assert "kvm04, kvm05: not begun" in said


FULL = {
    "fail_real": {"package_update present": "no space left", "kvm_host absent": "cannot restore", "reboot present": "Timed out"}
}
RUNNING = {"running": ["other1"], "guests": ["other1"]}


def book_answers(book):
    """What the second node's failure meets: in update at its packages, in undo in a plain task; guests run everywhere."""
    if book.endswith("update"):
        return update_answers(nodes={"kvm02": FULL})
    layers = dict.fromkeys(("cpu_partition", "cpu_power", "irq_affinity", "kvm_host", "ovs_dpdk", "kernel_arguments"), "reboot")
    return {**layers, "results": REBOOT["results"], "after_reboot": REBOOT["after_reboot"], "nodes": {"kvm02": FULL}}


@pytest.mark.parametrize(
    ("book", "serial"), [("realtime.kvm.update", "realtime_update_serial"), ("realtime.kvm.undo", "rt_kernel_reboot_serial")]
)
def test_undo_and_update_end_after_a_batch_with_a_failure_as_site_does(rolling, book, serial):
    code, said = rolling.run(book_answers(book), "-e", f"{serial}=3", most=4, book=book, rt_kernel_reboot_with_guests=True)
    assert code != 0
    assert "kvm04" not in rolling.changed(), "the next batch"
    assert set(rolling.reboots()) == {"kvm01", "kvm03"}, "the others of the batch are brought to their end"
    assert "kvm02: failed at " in said
    assert "kvm04: not begun" in said
    assert "kvm02 failed: " in said


def test_a_node_that_does_not_come_back_ends_an_undo_too(rolling):
    guests = {"results": {"rt_audit": AUDIT, "kernel_arguments": NEEDED, "rt_domain_power": RUNNING}}
    lost = {"kvm02": {"fail_real": {"reboot present": "Timed out"}}}
    given = {"rt_kernel_reboot_with_guests": True, "rt_kernel_reboot_serial": 1}
    code, said = rolling.run({**REBOOT, **guests, "nodes": lost}, most=3, book="realtime.kvm.undo", **given)
    assert code != 0
    assert set(rolling.reboots()) <= {"kvm01", "kvm02"}
    assert "kvm03: not begun" in said


def test_ansibles_any_errors_fatal_does_not_stop_the_others_half_way(rolling):
    down = {"results": {**REBOOT["results"], "rt_domain_power": {"running": ["plc1"], "guests": ["plc1"]}}}
    fails = {"kvm02": {"fail_real": {"rt_domain_power stopped": "cannot shut down"}}}
    setting = {"ANSIBLE_ANY_ERRORS_FATAL": "true"}
    given = {"rt_kernel_reboot_with_guests": True}
    code, said = rolling.run(
        {**REBOOT, **down, "nodes": fails}, "-e", "rt_kernel_reboot_serial=1,3", most=3, env=setting, **given
    )
    assert code != 0
    assert rolling.reboots() == {"kvm01": 1, "kvm03": 1}
    assert "kvm01, kvm03: done" in said


def test_the_batches_of_the_inventory_count(rolling):
    code, said = rolling.run(REBOOT, most=4, rt_kernel_reboot_serial="2,50%")
    assert code == 0, said
    assert "== Batch 1 of 2, 2 nodes: kvm01, kvm02 ==" in said
    assert "== Batch 2 of 2, 2 nodes: kvm03, kvm04 ==" in said


@pytest.mark.parametrize("left_out", [("--skip-tags", "always"), ("--start-at-task", "Show what happened to each node")])
@pytest.mark.parametrize("book", [SITE, "realtime.kvm.guests"])
def test_a_run_without_its_plan_does_nothing_and_does_not_end_well(rolling, book, left_out):
    code, said = rolling.run(REBOOT, *left_out, most=1, book=book)
    assert code != 0
    assert "This run has planned no node" in said
    assert rolling.changed() == []


def test_a_look_without_plans_is_not_one_with_nothing_to_do(rolling):
    path = rolling.nodes.base / "plugins" / "modules" / "rt_plan.py"
    text = path.read_text()
    answer = {"changed": False, "planned": {}, "refused": [], "open": []}
    path.write_text(text.replace("look(given)))", f"({answer!r} if os.environ['NODE'] == 'kvm01' else look(given))))"))
    code, said = rolling.run(REBOOT, most=2)
    path.write_text(text)
    assert code != 0
    assert "rt_plan: the node's answer cannot be used: it has no plan of cpu_partition, cpu_power" in said
    assert rolling.changed() == []


def test_the_sizes_of_the_batches_are_the_operators(rolling):
    code, said = rolling.run(REBOOT, "-e", json.dumps({"rt_kernel_reboot_serial": [2, "50%"]}), most=4, rt_kernel_reboot_serial=1)
    assert code == 0, said
    assert "== Batch 1 of 2, 2 nodes: kvm01, kvm02 ==" in said


def test_check_mode_takes_all_nodes_at_once(rolling):
    code, said = rolling.run(REBOOT, "--check", most=3)
    assert code == 0, said
    assert "Batch" not in said
    assert said.count("TASK [Begin no further batch") <= 1
    assert rolling.changed() == []


def test_a_run_that_was_killed_in_its_third_batch_is_run_again_to_the_end(rolling):
    batches = ("-e", "rt_kernel_reboot_serial=1,2")
    with rolling.start(REBOOT, *batches, most=6) as running:
        while sum(rolling.reboots().values()) < 4 and running.poll() is None:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
    time.sleep(1)  # what it had started ends by itself
    before = rolling.reboots()
    rest = [name for name in NAMES[:6] if name not in before]  # the two of its batch are rebooted side by side
    assert 4 <= sum(before.values()) <= 5
    code, said = rolling.run(REBOOT, *batches, most=6)
    assert code == 0, said
    assert rolling.reboots() == dict.fromkeys(NAMES[:6], 1)
    assert f"1 node: {rest[0]} ==" in said
