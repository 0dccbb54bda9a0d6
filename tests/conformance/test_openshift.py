# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenShift's performance profile creator and this planner on the same nodes, with the same wish.

The table in docs/openshift-comparison.md is what ``rows`` computes: when either side changes, the test fails and
prints the table as it should be.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass

import pytest
import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import CPU_ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.sysfs import read_topology_files
from captures import REPOSITORY, folder
from conformance.invariants import violations
from conformance.snapshots import snapshot_of

PAGE = REPOSITORY / "docs" / "openshift-comparison.md"
PROFILES = folder("openshift-ppc") / "ppc-expected-profiles"
NODES = {"must-gather.bare-metal": "openshift/worker1.internal", "must-gather.sno": "openshift/sno"}

#: Why the sets differ; the key is the letter in the table.
A = "A"  # reserved CPUs on one node only
B = "B"  # every isolated CPU on a node without reserved ones

DIFFERENCES = {"profile1": A, "profile1a": A, "profile4": A, "profile4a": B}


@dataclass(frozen=True)
class Comparison:
    """One profile: what OpenShift's tool made of it, and what we do."""

    name: str
    asked: dict
    reserved: frozenset
    isolated: frozenset
    offlined: frozenset
    topology: object
    intent: Intent
    outcome: object  # the partition, or the refusal
    verbatim: object  # the same with their reserved CPUs as an explicit list

    @property
    def same(self):
        return self.outcome.sets["housekeeping"] == self.reserved and self.outcome.sets["realtime"] == self.isolated


def attempt(topology, intent):
    try:
        return plan_partition(topology, intent)
    except PartitionError as error:
        return str(error)


def compare(path):
    asked = json.loads(path.with_suffix(".json").read_text())
    cpu = yaml.safe_load(path.read_text())["spec"]["cpu"]
    reserved, isolated, offlined = (parse_cpulist(str(cpu.get(key, ""))) for key in ("reserved", "isolated", "offlined"))
    node = snapshot_of(NODES[asked["must-gather-dir-path"]])
    files = read_topology_files(Host(root=str(node.root())))
    whole = build_topology(files)
    # What they take away (offlined CPUs, and with nosmt the second threads) is gone before we plan.
    off = offlined | (whole.online - {min(core) for core in whole.cores} if asked.get("disable-ht") else frozenset())
    topology = build_topology({**files, f"{CPU_ROOT}/online": format_cpulist(whole.online - off)})
    cores = len({topology.core_of(cpu) for cpu in reserved})
    nodes = sum(1 for members in topology.nodes.values() if members)
    intent = Intent(smt="together", housekeeping_cores_per_node=cores // nodes)
    verbatim = Intent(smt="together", cpus={"housekeeping": format_cpulist(reserved)})
    return Comparison(
        path.stem, asked, reserved, isolated, offlined, topology, intent, attempt(topology, intent), attempt(topology, verbatim)
    )


@functools.cache
def comparisons():
    return [compare(path) for path in sorted(PROFILES.glob("*.yaml"))]


def rows():
    heads = ["profile", "asked for", "OpenShift: reserved; isolated; offlined", "here: housekeeping; realtime", "sets"]
    yield f"| {' | '.join([*heads, 'their reserved CPUs as `cpu_partition_cpus.housekeeping`'])} |"
    yield "|---|---|---|---|---|---|"
    for one in comparisons():
        asked = [f"{one.asked['reserved-cpu-count']} reserved"]
        asked += [f"{one.asked['offlined-cpu-count']} offlined"] if one.asked.get("offlined-cpu-count") else []
        asked += ["no SMT"] if one.asked.get("disable-ht") else []
        asked += ["split across NUMA"] if one.asked.get("split-reserved-cpus-across-numa") else []
        theirs = [
            format_cpulist(one.reserved),
            format_cpulist(one.isolated),
            *([format_cpulist(one.offlined)] if one.offlined else []),
        ]
        ours = [format_cpulist(one.outcome.sets[name]) for name in ("housekeeping", "realtime")]
        verdict = "same" if one.same else f"differs, {DIFFERENCES.get(one.name, 'UNEXPLAINED')}"
        again = "same" if not isinstance(one.verbatim, str) else "refused: " + re.match(r"[\w.]+: NUMA node \d+", one.verbatim)[0]
        cells = [one.name, ", ".join(asked), "; ".join(theirs), "; ".join(ours), verdict, again]
        yield f"| {' | '.join(cells)} |"


def test_there_are_profiles_to_compare():
    assert len(comparisons()) == 12
    assert {one.asked["must-gather-dir-path"] for one in comparisons()} == set(NODES)


def test_every_plan_is_valid_and_reserves_as_many_cpus():
    for one in comparisons():
        assert violations(one.topology, one.outcome, one.intent) == [], one.name
        assert len(one.outcome.sets["housekeeping"]) == len(one.reserved), one.name
        assert len(one.outcome.sets["realtime"]) == len(one.isolated), one.name


def test_the_sets_differ_only_where_it_is_explained():
    assert {one.name for one in comparisons() if not one.same} == set(DIFFERENCES)


def test_reason_a_reserved_cpus_on_one_node_only():
    for one in comparisons():
        if DIFFERENCES.get(one.name) is not None:
            nodes = one.topology.nodes_of(one.reserved)
            assert nodes == [0]
            assert 1 in one.topology.nodes_of(one.isolated)
            assert one.outcome.sets["housekeeping"] & one.topology.nodes[1]


def test_reason_b_no_isolated_cpu_has_a_reserved_one_beside_it():
    for one in comparisons():
        if DIFFERENCES.get(one.name) == B:
            assert set(one.topology.nodes_of(one.isolated)).isdisjoint(one.topology.nodes_of(one.reserved))


def test_their_reserved_cpus_are_taken_as_they_are_or_refused_for_that_reason():
    for one in comparisons():
        if one.same:
            assert one.verbatim.sets["housekeeping"] == one.reserved, one.name
            assert one.verbatim.sets["realtime"] == one.isolated, one.name
        else:
            assert one.verbatim.startswith("cpu_partition_cpus.housekeeping: NUMA node 1 has isolated CPUs"), one.name


def test_the_page_says_the_same():
    expected = "\n".join(rows())
    found = "\n".join(line for line in PAGE.read_text().splitlines() if line.startswith("|"))
    assert found == expected, f"the table in {PAGE.name} must be:\n{expected}"
    letters = set(re.findall(r"^\* \*\*(\w)\*\*", PAGE.read_text(), re.MULTILINE))
    assert letters == set(DIFFERENCES.values())


def test_the_live_node_splits_cores_and_would_be_refused():
    """worker1 runs with CPUs 5-10 unisolated and their siblings 45-50 isolated, and the boot CPU isolated."""
    node = snapshot_of("openshift/worker1.internal")
    cmdline = (node.root() / "proc/cmdline").read_text()
    isolated = re.search(r"isolcpus=managed_irq,(\S+)", cmdline)[1]
    assert isolated == "0-4,11-79"
    topology = build_topology(read_topology_files(Host(root=str(node.root()))))
    with pytest.raises(PartitionError, match="CPU 0 is the boot CPU"):
        plan_partition(topology, Intent(smt="together", cpus={"realtime": isolated}))
    lists = {"realtime": "1-4,11-39,41-79", "housekeeping": "0,5-10,40"}
    with pytest.raises(PartitionError, match="realtime CPUs 45-50 are SMT siblings of housekeeping CPUs 5-10"):
        plan_partition(topology, Intent(smt="together", cpus=lists))
