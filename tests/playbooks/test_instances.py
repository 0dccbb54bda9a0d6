# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A partition that takes a CPU from an instance of OpenStack's Nova is refused in every playbook before any write on any node."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import DOCUMENT
from unit.instances import UUID, instance_xml
from unit.trees import fill, machine_files, plan, snapshot

ROOT = Path(__file__).resolve().parents[2]
SAID = f"instance-00000001 (web, {UUID.format(1)}), shut off: CPU 2 of its vcpu0"


@pytest.fixture(name="trees")
def _trees(nodes, tmp_path):
    """Two nodes as trees, planned by the real module; the second has an instance."""
    shutil.copy(ROOT / "plugins" / "modules" / "cpu_partition.py", nodes.base / "plugins" / "modules")
    document = {DOCUMENT: json.dumps(to_document(plan(Intent(smt="together"))))}
    trees = {name: fill(tmp_path / name, {**machine_files(isolated="1-3"), **document}) for name in ("node1", "node2")}
    fill(trees["node2"], {"/etc/libvirt/qemu/instance-00000001.xml": instance_xml(1, ["2"], sched="0")})
    return trees


def book(nodes, tasks_from):
    role = {"ansible.builtin.import_role": {"name": "realtime.kvm.cpu_partition", "tasks_from": tasks_from}}
    play = {
        "hosts": "realtime_nodes",
        "gather_facts": False,
        "any_errors_fatal": True,
        "module_defaults": {"realtime.kvm.cpu_partition": {"fsroot": "{{ playbook_dir }}/{{ inventory_hostname }}"}},
        "tasks": [role],
    }
    path = nodes.folder / "book.yml"
    path.write_text(yaml.safe_dump([play]))
    return str(path)


def test_the_plan_refuses_by_instance_uuid_and_cpu(nodes, trees):
    before = [snapshot(tree) for tree in trees.values()]
    code, said, _calls = nodes.run(
        book(nodes, "preflight"), {}, cpu_partition_smt="together", cpu_partition_cpus={"realtime": "3"}
    )
    assert code != 0
    assert SAID in said
    assert [snapshot(tree) for tree in trees.values()] == before
    code, said, _calls = nodes.run(
        book(nodes, "preflight"), {}, cpu_partition_smt="together", cpu_partition_cpus={"realtime": "2-3"}
    )
    assert code == 0, said


@pytest.mark.parametrize("playbook", ["plan", "site", "undo"])
def test_no_node_is_changed_while_one_plan_is_refused(nodes, playbook):
    state = "absent" if playbook == "undo" else "present"
    message = f"cpu_partition: the planned sets would take CPUs 2 from instances of Nova: {SAID}"
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", {"fail": {f"cpu_partition {state}": message}, "kvm_host": "none"})
    assert code != 0
    assert SAID in said
    assert [call for call in calls if not call["check"] and call["module"] != "rt_audit"] == []
