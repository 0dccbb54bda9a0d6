# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every captured machine can be accounted for and drawn, whatever its sockets, nodes, cores and gaps."""

from __future__ import annotations

import re

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import TopologyError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology
from ansible_collections.realtime.kvm.plugins.module_utils._module._common import carry_out
from ansible_collections.realtime.kvm.plugins.module_utils._module._switch_edges import SwitchEdges
from ansible_collections.realtime.kvm.plugins.module_utils._module.rt_node_info import run
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.page import render_page
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.view import Input, account_fleet, report_view
from conformance.snapshots import each_snapshot


@each_snapshot()
def test_a_captured_machine_is_drawn_with_every_cpu_once(snapshot):
    host = Host(str(snapshot.root()), captured=True)
    node = carry_out(SwitchEdges(host, lambda _command: (1, "", "")), run, {"interval": 1.0})["node"]
    try:
        topology = read_topology(host)
    except TopologyError:
        topology = None
    assert bool(topology) is not any(item["part"] == "topology" for item in node["missing"])
    try:
        plan = plan_partition(topology, Intent(smt="together")) if topology else None
    except PartitionError:
        plan = None
    if plan:
        node["partition"] = to_document(plan)
    nodes = {"captured": {"info": node, "verify": {"findings": []}}}
    books = account_fleet(nodes)
    assert books.broken == {}
    view = report_view(Input(nodes, node["read"]), books)
    drawn = re.findall(r"<title>CPU (\d+):", render_page(view))
    assert sorted(map(int, drawn)) == (sorted(topology.cpus) if topology else [])
    if plan:
        capacity = books.accounts["captured"].capacity
        assert sum(figures["capacity"] for figures in capacity["cpus"].values()) == len(topology.cpus)
        # nothing runs beside a real-time vCPU, so cores count
        free = {numa: len({topology.core_of(cpu) for cpu in plan.sets["realtime"] & cpus}) for numa, cpus in plan.nodes.items()}
        best = max(free.values())
        fit = capacity["largest"]
        short_of_memory = any(item["guest_mib"] < 2 for item in node["memory"].values())
        assert fit["vcpus"] == (best if best >= 2 else 0) or short_of_memory, (fit, free)
