# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition as a partition file: what is written."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import partition_from_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from unit.partitions import PLAIN, plan


def test_the_document():
    document = to_document(plan(smt="single", isolation="runtime", dataplane_devices=("ens9",)))
    assert document == {
        "schema": 1,
        "isolation": "runtime",
        "smt": "single",
        "topology_digest": build_topology(PLAIN.files()).digest(),
        "boot_cpu": 0,
        "sets": {
            "housekeeping": {"cpus": "0,4,8,12", "mask": "00001111", "nodes": {"0": "0,8", "1": "4,12"}},
            "dataplane": {"cpus": "1", "mask": "00000002", "nodes": {"0": "1"}},
            "realtime": {"cpus": "2-3,5-7", "mask": "000000ec", "nodes": {"0": "2-3", "1": "5-7"}},
            "shared": {"cpus": "", "mask": "00000000", "nodes": {}},
        },
        "isolated": {"cpus": "1-3,5-7,9-11,13-15", "mask": "0000eeee", "nodes": {"0": "1-3,9-11", "1": "5-7,13-15"}},
        "idle": {"cpus": "9-11,13-15"},
        "numa_nodes": {"0": "0-3,8-11", "1": "4-7,12-15"},
        "warnings": ["device ens9: the firmware names no NUMA node for it; its dataplane core is taken from NUMA node 0"],
    }


@pytest.mark.parametrize("intent", [{}, {"smt": "single", "isolation": "runtime"}, {"dataplane_devices": ("ens9",)}])
def test_a_document_round_trips_through_json(intent):
    partition = plan(**intent)
    again = partition_from_document(json.loads(json.dumps(to_document(partition))))
    assert again == partition
    assert to_document(again) == to_document(partition)
