# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/partition.md shows every refusal of the planner; the plans that pages show are those of the lab."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._module.cpu_partition import intent_from
from unit.documents import code_of, lab_node, table, text_of

#: Wishes that node1 of the lab cannot meet, one for every message of the page.
WISHES = [
    {"smt": "on"},
    {"housekeeping_cores_per_node": 0},
    {"shared_cores_per_node": -1},
    {"shared_cores_per_node": "all"},
    {"housekeeping_cores_per_node": {2: 1}},
    {"realtime": "2-5"},
    {"cpus": {"rt": "2"}},
    {"cpus": {"realtime": 2}},
    {"cpus": {"realtime": "5-3"}},
    {"cpus": {"realtime": ""}},
    {"cpus": {"realtime": "10-13"}},
    {"cpus": {"realtime": "10-11"}, "offline": "11"},
    {"cpus": {"realtime": "2-5", "dataplane": "4-5"}},
    {"cpus": {"realtime": "0-1"}},
    {"cpus": {"shared": "0-1"}},
    {"cpus": {"housekeeping": "0-1,6-7", "realtime": "2-5"}},
    {"cpus": {"realtime": "2,4"}},
    {"cpus": {"realtime": "2-3"}, "smt": "single"},
    {"cpus": {"realtime": "2", "shared": "3"}, "smt": "single"},
    {"cpus": {"housekeeping": "0-1"}},
    {"cpus": {"realtime": "6-11"}},
    {"shared_cores_per_node": 3},
    {"housekeeping_cores_per_node": 3},
    {"dataplane_devices": ["ens99f0"]},
    {"dataplane_devices": ["ens3"], "cpus": {"dataplane": "2-3"}},
    {"cpus": {"dataplane": "6-7"}, "without_memory": 1},
]
OPTIONS = {
    "housekeeping_cores_per_node": 1,
    "dataplane_cores_per_node": 0,
    "dataplane_devices": [],
    "shared_cores_per_node": 0,
    "realtime": "rest",
    "smt": "together",
    "isolation": "boot",
    "cpus": {},
}


def refusal(wishes):
    topology = lab_node(offline=wishes.get("offline", ""), without_memory=wishes.get("without_memory"))
    wanted = {name: value for name, value in wishes.items() if name not in ("offline", "without_memory")}
    with pytest.raises(PartitionError) as caught:
        plan_partition(topology, intent_from({**OPTIONS, **wanted}))
    return str(caught.value)


def test_documented_refusals_are_those_of_the_planner():
    documented = [code_of(row[1]) for row in table("docs/partition.md", ["Invariant", "Message", "Remedy"])]
    assert sorted(documented) == sorted(refusal(wishes) for wishes in WISHES)


def test_documented_plans_of_the_lab():
    plan = plan_partition(lab_node(), Intent(smt="together"))
    housekeeping, realtime = (format_cpulist(plan.sets[name]) for name in ("housekeeping", "realtime"))
    assert f"housekeeping {housekeeping}; realtime {realtime} |" in text_of("docs/inventory.md")
