# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans as text, and the filters that playbooks use."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._tables import WIDTH, natural, plan_report, plan_table, text_table
from property.machines import regular


def test_a_table_is_aligned():
    assert text_table(["a", "long"], [["1234", "x"], ["", ""]]) == ["a     long", "----  ----", "1234  x", ""]
    assert text_table(["a"], []) == ["a", "-"]


def test_a_cell_writes_nothing_but_itself():
    lines = text_table(["a", "b"], [["\x1b[2J\nx", "1"], ["y", "2"]])
    assert lines == ["a           b", "----------  -", r"\x1b[2J\nx  1", "y           2"]


def test_one_long_cell_widens_no_other_row():
    rows = [["x" * (1 << 20), "1"], *(["r", "2"] for _row in range(3000))]
    lines = text_table(["a", "b"], rows)
    assert lines[2] == f"{'x' * 997}...  1"
    assert lines[3] == f"{'r':{WIDTH}}  2"
    assert sum(map(len, lines)) < 1 << 20


def test_a_table_has_a_bounded_number_of_rows():
    lines = text_table(["a"], [["x"]] * 6000)
    assert len(lines) == 5003
    assert lines[-1] == "... and 1000 more"


def test_the_plan_of_a_node():
    topology = build_topology(regular(nodes=2, cores=3, threads=2).files())
    lines = plan_table(plan_partition(topology, Intent(smt="single", dataplane_cores_per_node=1, realtime="1")), topology)
    assert lines[0] == "12 CPUs, 6 cores, 2 packages, 2 NUMA nodes, 2 threads per core"
    assert lines[1].split()[:6] == ["set", "CPUs", "node", "0", "node", "1"]
    assert {line.split()[0]: line.split()[1:4] for line in lines[3:]} == {
        "housekeeping": ["4", "0,6", "3,9"],
        "dataplane": ["2", "1", "4"],
        "realtime": ["2", "2", "5"],
        "shared": ["0", "-", "-"],
        "idle": ["4", "7-8", "10-11"],
    }


def test_a_small_node_is_told_in_the_singular():
    machine = regular(nodes=1, cores=3, threads=1)
    machine.offline = frozenset({2})
    topology = build_topology(machine.files())
    lines = plan_table(plan_partition(topology, Intent(smt="together")), topology)
    assert lines[0] == "2 CPUs, 2 cores, 1 package, 1 NUMA node, 1 thread per core"
    assert "offline, not used: 2" in lines
    assert not [line for line in lines if line.startswith("idle")]


def test_policies_of_all_parts_are_in_the_plan_and_fit_a_terminal():
    def policy(name, before=""):
        return {"variable": name, "value": "x", "before": before, "protects": "the node " * 30, "costs": "time"}

    lines = plan_report({"partition": {"policies": [policy("a", "y")]}, "host": {"policies": [policy("b")]}}).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["a: x (was y)", "b: x", "", "nothing to change"]
    assert max(map(len, lines)) <= WIDTH
    assert lines[-3] == "  costs: time"


def test_guests_that_a_reboot_ends_and_what_restricts_the_kernel_are_in_the_plan():
    kernel = {
        "reboot_required": True,
        "running": {"release": "6.1", "matches": False},
        "following": {"release": "6.1-rt", "tokens": []},
        "running_guests": ["historian", "plc1"],
        "protection": {"notes": ["Secure Boot is on"]},
    }
    lines = plan_report({"kernel": kernel}).splitlines()
    assert lines[:3] == [
        "note: the reboot needs rt_kernel_reboot_with_guests: true, since guests run: historian, plc1",
        "note: Secure Boot is on",
        "",
    ]
    lines = plan_report({"kernel": {**kernel, "reboot_required": False, "protection": {}}}).splitlines()
    assert lines == ["nothing to change"]


def test_names_are_sorted_as_people_do():
    names = ["kvm10", "kvm2", "a", "kvm1-10", "kvm1-9", "10", "9", "", "kvm²", "h" + "9" * 5000]
    assert sorted(names, key=natural) == ["", "9", "10", "a", "h" + "9" * 5000, "kvm1-9", "kvm1-10", "kvm2", "kvm10", "kvm²"]
