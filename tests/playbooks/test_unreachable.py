# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of three nodes does not answer: by default no node is changed and the line to type is said; on request the others go on."""

from __future__ import annotations

import pytest


def made(calls):
    return [call["module"] for call in calls if not call["check"] and call.get("state") != "recovered"]


@pytest.mark.parametrize("playbook", ["site", "guests", "undo", "partition", "update"])
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
    code, said, calls = nodes.run("realtime.kvm.site", {}, *arguments, down=["node3"])
    assert code == 4, "Ansible's own code for a node that could not be reached"
    assert made(calls).count("cpu_partition") == 2
    assert made(calls).count("rt_domain") == 2
    assert '"node1: done", "node2: done", "node3: skipped, since it cannot be reached; it is as it was"' in said
    assert said.count("UNREACHABLE!") == 1, "it is asked once"


def test_a_limit_is_kept_in_the_line_to_type(nodes):
    _code, said, _calls = nodes.run("realtime.kvm.plan", {}, "--limit", "node1,node3,node4", down=["node3", "node4"])
    assert "Cannot be reached: node3, node4. Repair that, or leave them out (--limit 'node1,node3,node4,!node3,!node4')" in said


def test_a_node_that_is_refused_stops_all_and_both_are_named(nodes):
    wrong = "{{ 'sideways' if inventory_hostname == 'node2' else 'single' }}"
    arguments = ("-e", "realtime_unreachable=skip")
    code, said, calls = nodes.run("realtime.kvm.plan", {}, *arguments, down=["node3"], cpu_partition_smt=wrong)
    assert code != 0
    assert "Nothing was changed on any node. Refused, see above: node2. Cannot be reached: node3." in said
    assert {call["module"] for call in calls} == {"cpu_partition"}


def test_another_word_is_refused(nodes):
    code, said, calls = nodes.run("realtime.kvm.guests", {}, realtime_unreachable="ignore")
    assert code != 0
    assert "realtime_unreachable: 'ignore' is neither refuse nor skip. Nothing was changed on any node." in said
    assert made(calls) == []


def test_an_empty_word_is_the_default(nodes):
    code, said, _calls = nodes.run("realtime.kvm.guests", {}, realtime_unreachable="")
    assert code == 0, said


def test_no_node_decides_for_the_others(nodes):
    hostile = {"results": {"kvm_host": {"ansible_facts": {"realtime_unreachable": "skip"}}}}
    code, said, calls = nodes.run("realtime.kvm.guests", hostile, down=["node3"], realtime_unreachable="refuse")
    assert code != 0
    assert made(calls) == []
    assert "realtime_unreachable: node1, node2 answered a fact of this name, which Ansible takes for a variable" in said
    assert "Nothing was changed on any node. Cannot be reached: node3." in said
