# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and paragraphs that fit a terminal."""

from __future__ import annotations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._tables import (
    WIDTH,
    columns,
    paragraph,
    plan_table,
    text_table,
    wrapped,
)
from hypothesis import given, settings
from hypothesis import strategies as st
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
    assert lines[2] == f"{'x' * (WIDTH - 3)}  1"
    assert lines[10] == f"{'x' * (997 - 8 * (WIDTH - 3))}..."
    assert lines[11] == f"{'r':{WIDTH - 3}}  2"
    assert sum(map(len, lines)) < 1 << 20


def test_the_widest_columns_are_narrowed_and_their_cells_broken_between_words():
    lines = text_table(["key", "one", "two"], [["k", "a,b " * 40, "path/to/" * 20]])
    assert [len(part) for part in lines[1].split("  ")] == [3, 56, 55]
    assert lines[2] == f"k    {'a,b ' * 14}  {'path/to/' * 6}path/"
    assert len(lines) == 6
    assert max(map(len, lines)) <= WIDTH


cells = st.text(st.characters(codec="utf-8"), max_size=300)


@given(
    st.integers(1, 14).flatmap(
        lambda columns: st.lists(st.lists(cells, min_size=columns, max_size=columns), min_size=1, max_size=6)
    )
)
@settings(deadline=None, max_examples=60)
def test_a_table_of_any_text_fits_and_is_printable(rows):
    lines = text_table([f"c{number}" for number in range(len(rows[0]))], rows)
    assert max(map(columns, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)


@given(st.text(max_size=2000), st.sampled_from(["", "  ", "  remedy: "]))
@settings(deadline=None, max_examples=100)
def test_a_paragraph_of_any_text_fits_and_loses_nothing(text, first):
    lines = paragraph(text, first, "    ")
    assert max(map(columns, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)


def test_wide_signs_take_two_columns_and_marks_none():
    assert [columns(text) for text in ("", "ab", "計画", "e\u0301", "ｱ", "\uff21", "ö")] == [0, 2, 4, 1, 1, 2, 1]
    lines = paragraph("計" * 118)
    assert [columns(line) for line in lines] == [116, 118, 6]
    assert text_table(["a", "b"], [["計画", "1"], ["xxxx", "2"], ["e\u0301", "3"]])[2:] == ["計画  1", "xxxx  2", "e\u0301     3"]
    assert wrapped("計画計", 3) == ["計", "画", "計"]
    table = text_table(["a", "b"], [["計" * 100, "画 " * 100]])
    assert max(map(columns, table)) <= WIDTH


def test_lines_are_broken_behind_commas_and_slashes_and_words_only_if_they_must():
    assert wrapped("0-3,8-11,16-19", 9) == ["0-3,8-11,", "16-19"]
    assert wrapped("/etc/systemd/x.service", 14) == ["/etc/systemd/", "x.service"]
    assert wrapped("a bc", 4) == ["a bc"]
    assert wrapped("abcdef gh", 4) == ["abcd", "ef", "gh"]
    assert wrapped("", 4) == [""]
    assert paragraph("x" * WIDTH) == ["x" * WIDTH], "a line that fits stays, whatever would follow it"


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


def test_many_numa_nodes_share_a_column():
    topology = build_topology(regular(nodes=8, cores=4, threads=2).files())
    lines = plan_table(plan_partition(topology, Intent()), topology)
    assert lines[1].split() == ["set", "CPUs", "CPUs", "by", "NUMA", "node", "who", "runs", "there"]
    assert "0: 0,32; 1: 4,36; 2: 8,40; " in lines[3]
    assert max(map(len, lines)) <= WIDTH
