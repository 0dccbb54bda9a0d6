# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that people read: all refusals, then the plan, then the end; files before any change; nodes without work left alone; an answer at the end."""

from __future__ import annotations

import json
import re

import pytest

NETWORKS = [{"name": "control"}]
AUDIT = {"kernel": {"release": "6.2", "realtime": True, "isolated": ""}, "managed_interrupts": [], "smi": {"count": 0}}
DOMAIN = {
    "name": "plc1", "state": "running", "realtime": True, "vcpus": {"0": "4", "1": "5"}, "vcpu_count": 2, "realtime_vcpus": "1", "floating": "",
    "emulator": "0", "nodes": [0], "memory_mib": 2048, "hugepages": "2M", "memory_by_node": {"0": 2048}, "macs": {"control": "52:54:00:00:00:01"},
}  # fmt: skip
GUESTS = {"domains": [DOMAIN], "unlisted": ["old"], "restart_required": {}}
EVERY = {"cpu_partition", "cpu_power", "irq_affinity", "kvm_host", "ovs_dpdk", "kernel_arguments", "rt_domain"}


def made(calls):
    return [call["module"] for call in calls if not call["check"] and call.get("state") != "recovered"]


def shown(nodes):
    """The lines that are no banner, result or message of Ansible's."""
    marks = (
        "TASK [",
        "PLAY ",
        "ok: ",
        "skipping: ",
        "changed: ",
        "included: ",
        "fatal: ",
        "[ERROR]",
        "[WARNING]",
        "Origin: ",
        "node",
    )
    return [line for line in nodes.lines if line and not line.startswith(marks)]


def in_order(said, *texts):
    places = [said.index(text) for text in texts]
    return places == sorted(places)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("playbook", ["plan", "site"])
def test_all_refusals_of_all_parts_are_shown_then_the_plan_then_the_run_ends(nodes, playbook):
    fail = {"irq_affinity present": "no interrupts\x1b[2J", "rt_domain present": "realtime_guests: plc1 does not fit"}
    answers = {"cpu_partition": "stall", "fail": fail}
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", answers, realtime_networks=NETWORKS)
    assert code == 2
    assert made(calls) == []
    assert {call["module"] for call in calls} == EVERY, "a part that is refused stops no other"
    assert in_order(
        said,
        r"== Refused, or not planned == node1, node2: no interrupts\x1b[2J node1, node2: realtime_guests: plc1 does not fit",
        "== What the run disturbs ==",
        "stall cpu_partition a -> b",
        "== In short == refused: node1, node2",
        "Nothing was changed on any node. Refused, see the plan above: node1, node2. Repair that",
    )
    assert "leave these nodes out" not in said, "no node would be left"
    assert "\x1b" not in said.partition("== Refused")[2]


@pytest.mark.parametrize("playbook", ["guests", "undo", "partition", "openstack", "update"])
def test_a_part_that_is_refused_keeps_every_playbook_from_changing_a_node(nodes, playbook):
    last = {
        "guests": "rt_domain present",
        "undo": "kernel_arguments absent",
        "partition": "irq_affinity present",
        "openstack": "neutron_agent present",
        "update": "kernel_arguments present",
    }
    answers = {"fail": {last[playbook]: "it cannot be"}}
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", answers, cpu_partition_isolation="runtime")
    assert code == 2
    assert made(calls) == []
    assert "== Refused, or not planned == node1, node2: it cannot be" in said
    assert "Nothing was changed on any node. Refused, see the plan above: node1, node2." in said


def test_a_node_whose_cpu_sets_are_refused_is_not_asked_further_and_the_others_are(nodes):
    wrong = "{{ 'sideways' if inventory_hostname == 'node2' else 'single' }}"
    code, said, calls = nodes.run("realtime.kvm.site", {}, realtime_networks=NETWORKS, cpu_partition_smt=wrong)
    assert code == 2
    assert made(calls) == []
    assert sorted(call["module"] for call in calls) == sorted([*EVERY, "rt_audit"]), "each once, for node1"
    assert "value of cpu_partition_smt must be one of: together, single, got: sideways" in said.partition("== Refused")[2]
    assert "Refused, see the plan above: node2. Repair that, or leave these nodes out (--limit '!node2')" in said


LOST = """
import os
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = "name: lost\\nshort_description: x\\ndescription: x\\nauthor: tests"


class Connection(Local):
    transport = "realtime.kvm.lost"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        if os.path.exists({lost!r}):
            raise AnsibleConnectionFailure("no route to host")
        return super().exec_command(cmd, in_data, sudoable)
"""


def test_a_node_that_is_lost_while_it_is_planned_stops_the_run_also_where_unreachable_ones_are_skipped(nodes):
    lost = str(nodes.folder / "lost")
    (nodes.base / "plugins/connection/lost.py").write_text(LOST.format(lost=lost))
    asked = nodes.base / "roles/packages/tasks/apt.yml"
    asked.write_text(
        f"- ansible.builtin.file: {{path: {lost}, state: touch, mode: '0644'}}\n  delegate_to: localhost\n- ansible.builtin.ping:\n"
    )
    connection = "{{ 'realtime.kvm.lost' if inventory_hostname == 'node2' else 'local' }}"
    code, said, calls = nodes.run(
        "realtime.kvm.site",
        {"cpu_partition": "none", "results": {"kvm_host": {"installed": False}}},
        "-e",
        "realtime_unreachable=skip",
        realtime_networks=NETWORKS,
        ansible_connection=connection,
    )
    assert code != 0
    assert made(calls) == []
    assert "node2: it was lost while it was planned, see above" in said
    assert "Nothing was changed on any node. Refused, see the plan above: node2." in said


# -- nodes without work ----------------------------------------------------------------------------


def test_an_unchanged_node_is_planned_and_verified_in_one_look_and_nothing_else(nodes):
    code, said, calls = nodes.run(
        "realtime.kvm.site", {"results": {"rt_audit": AUDIT}}, "--limit", "node1", realtime_networks=NETWORKS
    )
    assert code == 0, said
    assert sorted(call["module"] for call in calls) == sorted([*EVERY, "rt_audit"]), "each once"
    assert made(calls) == []
    banners = [line for line in nodes.lines if line.startswith("TASK [")]
    assert len(banners) <= 16, "it was 51; four of them are of a node that leaves the play"
    assert len([line for line in nodes.lines if line.startswith("skipping: [")]) <= 2, "it was 9"
    assert said.endswith("ignored=0")
    assert "== Result == node1: nothing to change" in said


def test_only_nodes_with_work_are_changed(nodes):
    limit = "{{ 7 if inventory_hostname == 'node1' else 1 }}"
    answers = {"cpu_partition": "none", "calm": 7, "results": {"rt_audit": AUDIT}}
    code, said, calls = nodes.run("realtime.kvm.site", answers, realtime_networks=NETWORKS, realtime_priority_limit=limit)
    assert code == 0, said
    assert {
        call["priority_limit"]
        for call in calls
        if not call["check"] and "priority_limit" in call and call["module"] != "rt_audit"
    } == {1}
    assert sorted(made(calls)) == sorted([*EVERY, "rt_audit"]), "node1 was audited in its look"
    assert [call["check"] for call in calls if call["module"] == "rt_audit"] == [True, False]
    assert "== Result == node1: nothing to change, and nothing found node2: done" in said


def test_a_node_that_lacks_packages_has_work(nodes):
    answers = {"results": {"kvm_host": {"installed": False}, "rt_audit": AUDIT}}
    code, said, calls = nodes.run("realtime.kvm.site", answers, "--limit", "node1")
    assert code == 0, said
    assert "kvm_host" in made(calls)
    assert re.search(r"== Packages == node1: \d+ to install: ", said)
    assert "libvirt-clients" in said.partition("== Packages ==")[2].partition("==")[0]


def test_a_kernel_that_runs_is_not_asked_for_again_unless_its_packages_are_named(nodes):
    answers = {"cpu_partition": "none", "results": {"rt_audit": AUDIT}}
    _code, said, _calls = nodes.run("realtime.kvm.site", answers, "--limit", "node1", realtime_guests=[])
    assert "<linux-image-rt-amd64>" not in said
    _code, said, _calls = nodes.run(
        "realtime.kvm.site", answers, "--limit", "node1", realtime_guests=[], rt_kernel_packages=["my-kernel"]
    )
    assert "<my-kernel> present (only tried)" in said
    assert '<my-kernel> present"' in said


# -- what is shown and written -----------------------------------------------------------------------


def test_guests_with_their_cpus_and_those_that_are_not_listed_any_more(nodes):
    """By the playbooks that plan or run guests: plan, guests and site."""
    answers = {"rt_domain": "none", "results": {"rt_domain": GUESTS, "rt_audit": AUDIT}}
    for playbook in ("plan", "guests", "site"):
        code, said, _calls = nodes.run(f"realtime.kvm.{playbook}", answers, realtime_networks=NETWORKS)
        assert code == 0, said
        assert "plc1 node1 nothing 0->4, 1->5* 0 2 GiB: 1024 x 2M on node 0 control" in said
        end = said.rpartition("== In short ==" if playbook == "plan" else "== Result ==")[2]
        assert "not listed any more on node1: old not listed any more on node2: old" in end
        assert max(map(len, shown(nodes))) <= 118


def test_the_plan_is_written_as_page_and_data_also_in_check_mode(nodes):
    for arguments in ((), ("--check",)):
        folder = nodes.folder / f"plan{len(arguments)}"
        answers = {"cpu_partition": "stall", "results": {"rt_domain": GUESTS}}
        code, said, _calls = nodes.run("realtime.kvm.plan", answers, *arguments, realtime_plan_folder=str(folder))
        assert code == 0, said
        assert sorted(path.name for path in folder.iterdir()) == ["plan.html", "plan.json"]
        data = json.loads((folder / "plan.json").read_text())
        assert (data["format"], data["disruption"], list(data["nodes"])) == (1, "stall", ["node1", "node2"])
        assert data["nodes"]["node1"]["guests"][0]["vcpus"] == {"0": "4", "1": "5"}
        assert "plc1" in (folder / "plan.html").read_text()
        assert f"written: {folder}/plan.html written: {folder}/plan.json" in said
        assert "changed=0" in said


def test_the_plan_is_written_before_any_change(nodes):
    """The first module that changes a node finds the files."""
    folder = nodes.folder / "plan"
    stub = nodes.base / "plugins/modules/cpu_partition.py"
    look = f'if not check and not os.path.exists("{folder}/plan.json"):\n    print(json.dumps({{"failed": True, "msg": "too early"}}))\n    sys.exit(1)\n'
    stub.write_text(stub.read_text().replace("print(json.dumps(answer", f"{look}print(json.dumps(answer"))
    code, said, calls = nodes.run(
        "realtime.kvm.partition", {"cpu_partition": "none", "results": {"rt_audit": AUDIT}}, cpu_partition_isolation="runtime"
    )
    assert code == 0, said
    assert "cpu_partition" in made(calls)


def test_a_folder_that_cannot_be_written_is_refused_by_name_and_an_empty_one_writes_none(nodes):
    (nodes.folder / "file").write_text("in the way")
    wrong = str(nodes.folder / "file" / "plan")
    code, said, calls = nodes.run("realtime.kvm.guests", {"rt_domain": "none"}, realtime_plan_folder=wrong)
    assert code != 0
    assert made(calls) == []
    assert f"realtime_plan_folder: {wrong} cannot be written: " in said
    assert (
        'Nothing was changed on any node; name another folder, or give \\"\\" to write no files' in said
        or 'give "" to write no files' in said
    )
    code, said, _calls = nodes.run("realtime.kvm.guests", {"rt_domain": "none"}, realtime_plan_folder="")
    assert code == 0, said
    assert "written: " not in said
    assert not (nodes.folder / "plan").exists()


def test_no_node_chooses_where_the_plan_is_written(nodes):
    elsewhere = str(nodes.folder / "elsewhere")
    answers = {"results": {"ovs_dpdk": {"ansible_facts": {"realtime_plan_folder": elsewhere}}}}
    code, said, _calls = nodes.run("realtime.kvm.guests", answers, realtime_networks=NETWORKS)
    assert code != 0
    assert "node1 answered realtime_plan_folder" in said
    assert not (nodes.folder / "elsewhere").exists()


def test_findings_are_shown_once_and_all_nodes_are_counted_before_any_fails(nodes):
    finding = {"severity": "error", "rule": "interrupt"}
    audit = {
        **AUDIT,
        "findings": [finding, finding],
        "findings_table": ["error: this is the finding"],
        "remarks": [{}],
        "remarks_table": ["info: a remark"],
    }
    code, said, _calls = nodes.run("realtime.kvm.verify", {"results": {"rt_audit": audit}})
    assert code == 2
    assert said.count("error: this is the finding") == 2, "once for each node"
    assert said.count("info: a remark") == 2
    assert "== Result == node1, node2: 2 errors (interrupt); 1 remark" in said
    assert "node1 is not as it should be: 2 findings (interrupt), see above" in said
    code, said, _calls = nodes.run("realtime.kvm.verify", {"results": {"rt_audit": audit}}, rt_verify_fail=False)
    assert code == 0, said


@pytest.mark.parametrize("playbook", ["plan", "site", "guests", "partition", "openstack", "undo", "update", "verify"])
def test_every_playbook_ends_with_its_answer(nodes, playbook):
    answers = {"results": {"rt_audit": AUDIT}}
    code, said, _calls = nodes.run(f"realtime.kvm.{playbook}", answers, cpu_partition_isolation="runtime")
    assert code == 0, said
    assert re.search(r"== (In short|Result) == [^=]*node1, node2", said)
    tail = said.rpartition("==")[2]
    assert tail.count("TASK [") <= 3, "nothing but the last checks follows it"
