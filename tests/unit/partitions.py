# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Partitions of a plain machine, and how to read them."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from conformance.invariants import violations
from property.machines import regular

# Two nodes of four cores with two threads: node 0 has 0-3 and 8-11, node 1 has 4-7 and 12-15.
PLAIN = regular(nodes=2, cores=4, threads=2, ports={"ens0": 0, "ens1": 1, "ens2": 1, "ens9": -1})


def plan(machine=PLAIN, **intent):
    topology = build_topology(machine.files())
    wanted = Intent(**{"smt": "together", **intent})
    partition = plan_partition(topology, wanted)
    assert violations(topology, partition, wanted) == []
    return partition


def texts(partition):
    found = {name: format_cpulist(cpus) for name, cpus in [*partition.sets.items(), ("idle", partition.idle)]}
    return {name: text for name, text in found.items() if text}
