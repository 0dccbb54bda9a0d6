# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of a node's CPUs as they will be."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.document import node_plan
from ansible_collections.realtime.kvm.plugins.plugin_utils._plan.picture import planned_map


def test_every_cpu_has_its_set_and_its_planned_user(node):
    sockets = planned_map("kvm1", node.results, node_plan(node))
    cores = [core for socket in sockets for numa in socket["nodes"] for core in numa["cores"]]
    threads = {thread["cpu"]: thread for core in cores for thread in core["threads"]}
    assert sorted(threads) == list(range(80))
    assert (threads[4]["who"], threads[4]["role"]) == ("plc1", "vCPU 0")
    assert (threads[6]["who"], threads[6]["role"], threads[6]["set"]) == ("plc1", "vCPU 1 RT", "realtime")
    assert threads[2]["who"] == "PMD"
    assert threads[24]["who"] == "free"
    assert threads[44]["who"] == "left idle"
    assert threads[6]["title"] == "CPU 6: realtime; plc1, vCPU 1 RT", "no word of interrupts, which nobody has counted"
    assert not any(thread["conflict"] for thread in threads.values())


def test_a_planned_vhost_thread_is_on_the_cpu_of_its_vcpu(node):
    plan = node_plan(node)
    plan["guests"][2]["vhost"] = "4"
    sockets = planned_map("kvm1", node.results, plan)
    threads = {
        item["cpu"]: item for socket in sockets for numa in socket["nodes"] for core in numa["cores"] for item in core["threads"]
    }
    assert (threads[4]["who"], threads[4]["role"], threads[4]["conflict"]) == ("plc1", "vCPU 0, vhost", False)


def test_without_a_topology_there_is_no_map(node):
    assert planned_map("kvm1", {}, node_plan(node)) == []
    assert planned_map("kvm1", {"partition": {"topology": {"cpus": 7}}}, node_plan(node)) == []
