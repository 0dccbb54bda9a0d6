# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance needs of a host's NUMA nodes, against what a host has of each."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.cells import Need, has_room
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.changes import Current
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.flavor import Hosts, nova_flavor
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.nodes import read_answer
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.notes import notes
from ansible_collections.realtime.kvm.plugins.plugin_utils._cloud.wanted import Node, read_wanted

#: One housekeeping CPU on each of two NUMA nodes, three real-time CPUs.
DOCUMENT = {
    "smt": "single",
    "sets": {
        "housekeeping": {"cpus": "0,4", "nodes": {"0": "0", "1": "4"}},
        "realtime": {"cpus": "1-3,5-7", "nodes": {"0": "1-3", "1": "5-7"}},
        "dataplane": {"cpus": "", "nodes": {}},
        "shared": {"cpus": "", "nodes": {}},
    },
}
ROOMS = (Need(1, 3), Need(1, 3))


def test_a_nodes_rooms_are_those_of_its_sets():
    assert read_answer(Node("n"), {"partition": DOCUMENT}, {"domains": []}, None).rooms == ROOMS
    taken = {"domains": [{"name": "own", "manager": "", "vcpus": {"0": "2"}}]}
    assert read_answer(Node("n"), {"partition": DOCUMENT}, taken, None).rooms == (Need(1, 2), Need(1, 3))


@pytest.mark.parametrize(
    ("guest", "needed", "fits"),
    [
        ({"vcpus": 4, "realtime_vcpus": "1-3"}, [Need(1, 3)], True),
        ({"vcpus": 4, "realtime_vcpus": "3"}, [Need(3, 1)], False),
        ({"vcpus": 2}, [Need(2, 0)], False),
        ({"vcpus": 1}, [Need(1, 0)], True),
        ({"vcpus": 5, "realtime_vcpus": "1-4"}, [Need(1, 4)], False),
        ({"vcpus": 4, "realtime_vcpus": "1-3", "numa": "spread"}, [Need(1, 1), Need(0, 2)], True),
        ({"vcpus": 4, "realtime_vcpus": "2-3", "numa": "spread"}, [Need(2, 0), Need(0, 2)], False),
        ({"vcpus": 2, "realtime_vcpus": "0-1", "guest_os": "other"}, [Need(0, 2)], True),
    ],
)
def test_a_shared_cpu_is_needed_for_each_ordinary_vcpu(guest, needed, fits):
    found = nova_flavor({**guest, "memory_mib": 2048}).needs()
    assert found == needed
    assert has_room(found, ROOMS) == fits
    assert not has_room(found, ())


def test_flavors_that_fit_nowhere_are_noted():
    nodes = [Node("n1"), Node("n2")]
    wanted = read_wanted(
        {
            "flavors": [
                {"name": name, "guest": {"vcpus": 4, "realtime_vcpus": mask, "memory_mib": 64}}
                for name, mask in (("a", "^0"), ("b", "3"))
            ]
        },
        nodes,
        Hosts(),
    )
    answers = {node.name: read_answer(node, {"partition": DOCUMENT}, {"domains": []}, None) for node in nodes}
    said = " ".join(notes(wanted, Current(), nodes, {"n1": "n1", "n2": ""}, answers))
    assert "flavor b fits no node that answered" in said
    assert "needs 3 shared and 1 real-time CPUs" in said
    assert "flavor a" not in said
    assert "the release of nova-compute of n1 is not known" in said
    assert "is not known" not in " ".join(notes(wanted, Current(), nodes, {"n1": "n1", "n2": ""}))
