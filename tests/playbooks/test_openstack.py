# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""playbooks/openstack.yml: all nodes are planned first, the limit binds, nodes that are as planned are left alone; undo comes before guests and switch."""

from __future__ import annotations

NETWORKS = [{"name": "control", "physical_network": "rt0", "kbps": 5}]


def made(calls):
    return [call["module"] for call in calls if not call["check"]]


def test_a_plan_above_the_limit_is_shown_and_no_node_is_touched(nodes):
    code, said, calls = nodes.run("realtime.kvm.openstack", {"neutron_agent": "stall"}, realtime_max_disruption="none")
    assert code != 0
    assert "stall neutron_agent a -> b" in said
    for node in ("node1", "node2"):
        assert f"{node}: realtime_max_disruption is none, but the plan needs more: neutron_agent (stall)" in said
    assert {call["module"] for call in calls} == {"nova_compute", "neutron_agent"}
    assert made(calls) == []
    assert [call for call in calls if "max_disruption" in call] == [], "a preflight has no limit"


def test_the_agent_comes_first_and_variables_reach_the_modules(nodes):
    answers = {"neutron_agent": "stall", "nova_compute": "none"}
    code, said, calls = nodes.run(
        "realtime.kvm.openstack", answers, "--limit", "node1", realtime_networks=NETWORKS, nova_compute_host="c-7",
        nova_compute_priority=2, realtime_priority_limit=3, kvm_host_switch_pages="1G", realtime_max_disruption="stall",
    )  # fmt: skip
    assert code == 0, said
    assert made(calls) == ["neutron_agent", "nova_compute"]
    agent, compute = [call for call in calls if not call["check"]]
    assert (agent["host"], compute["host"]) == ("c-7", "c-7")
    assert agent["networks"] == compute["networks"] == NETWORKS
    assert (compute["priority"], compute["priority_limit"], compute["switch_pages"]) == (2, 3, "1G")
    assert {agent["max_disruption"], compute["max_disruption"]} == {"stall"}


def test_nodes_that_are_as_planned_are_left_alone(nodes):
    code, said, calls = nodes.run("realtime.kvm.openstack", {})
    assert code == 0, said
    assert made(calls) == []
    assert "nothing to change" in said


def test_undo_takes_it_back_before_guests_and_switch(nodes):
    code, said, calls = nodes.run("realtime.kvm.undo", {"nova_compute": "none"}, "--limit", "node1")
    assert code == 0, said
    order = made(calls)
    assert order.index("nova_compute") < order.index("neutron_agent") < order.index("rt_domain") < order.index("ovs_dpdk")


def test_an_undo_that_would_take_cpus_from_instances_changes_nothing(nodes):
    code, said, calls = nodes.run("realtime.kvm.undo", {"fail": {"nova_compute absent": "instance x has CPU 2"}})
    assert code != 0
    assert made(calls) == []
    assert "instance x has CPU 2" in said


def test_names_with_one_trait_are_refused_before_any_node_is_asked(nodes):
    networks = [{"name": "a", "physical_network": "rt-0"}, {"name": "b", "physical_network": "rt_0"}]
    code, said, calls = nodes.run("realtime.kvm.openstack", {}, realtime_networks=networks)
    assert code != 0
    assert calls == []
    assert "have the same trait, CUSTOM_REALTIME_PHYSNET_RT_0" in said
