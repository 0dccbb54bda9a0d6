# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's own scenarios of cpuset partitions (its self test of 7.3), replayed against our model.

A scenario is a line of the self test: what each cgroup is told first, what it is told then, how many of the second
steps fail, and what the files show in the end. notation.txt beside the table explains the letters.
"""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from captures import folder
from property.kernel_cpusets.group import CPUS, EXCLUSIVE, PARTITION, Rules
from property.kernel_cpusets.tree import CpusetTree

TABLE = folder("kernel-cpuset-partition") / "cpuset-prs-matrix-linux-7.3.4.json"
#: The self test wants 8 CPUs at least.
MACHINE = frozenset(range(8))
KINDS = {"0": "member", "1": "root", "2": "isolated", "-1": "root invalid", "-2": "isolated invalid"}

LOCAL = {"A1": "A1", "A2": "A1/A2", "A3": "A1/A2/A3", "B1": "B1"}
REMOTE = {
    name: f"rtest/{path}"
    for name, path in {"p1": "p1", "p2": "p2", "c11": "p1/c11", "c12": "p1/c12", "c21": "p2/c21", "c22": "p2/c22"}.items()
}

#: Lines whose entry for B1 the self test never compares (it stands behind a ":" where a "|" belongs), and what the model
#: says there. By the kernel's rule for siblings B1 is valid with the CPUs that A1 leaves, as lines 111 and 114 show.
NOT_COMPARED = {("matrix", 112): "B1 root", ("matrix", 113): "B1 root"}


def scenarios(name):
    """The lines of one table; numbered, as the self test numbers them."""
    lines = json.loads(TABLE.read_text())[name]
    return [pytest.param(line, NOT_COMPARED.get((name, number)), id=f"{name}-{number}") for number, line in enumerate(lines)]


def tell(tree, path, orders):
    """Do what a field says; return whether a step failed. One task, the shell, wanders through the tree."""
    failed = False
    for order in [] if orders == "." else orders.split(":"):
        letter, value = order[0], order[1:]
        if order.startswith("CX"):
            outcomes = [tree.write(path, CPUS, order[2:]), tree.write(path, EXCLUSIVE, order[2:])]
        elif letter == "C":
            outcomes = [tree.write(path, CPUS, value)]
        elif letter == "X":
            outcomes = [tree.write(path, EXCLUSIVE, value)]
        elif letter == "P":
            outcomes = [tree.write(path, PARTITION, KINDS[value])]
        elif letter == "O":
            cpu, _equals, state = value.partition("=")
            outcomes = [tree.plug(int(cpu), state == "1")]
        else:
            assert order == "T"
            outcomes = [tree.attach(path)]
            if outcomes[0].error is None:
                for group in tree:
                    group.tasks = group.path == path
        failed |= any(outcome.error is not None for outcome in outcomes)
    return failed


def replay(tree, groups, first, then):
    """Make the cgroups, tell them what the line says; return how many of the second fields failed."""
    for path in groups.values():
        tree.add(path)
    for path, orders in zip(groups.values(), first):
        assert not tell(tree, path, orders)
    return sum(tell(tree, path, orders) for path, orders in zip(groups.values(), then))


def check(tree, groups, corrected, effective=".", states=".", isolated=None):
    """Compare what the files show with the last fields of a line."""
    seen, wanted = [], []
    # the table itself separates a few of its entries with ":" where it means "|"
    for entry in [] if effective == "." else effective.replace(":X", "|X").replace(":c22", "|c22").split("|"):
        name, _colon, cpus = entry.partition(":")
        group = tree[groups[name.lstrip("X")]]
        seen.append(f"{name}:{format_cpulist(group.granted if name.startswith('X') else group.effective)}")
        wanted.append(f"{name}:{cpus}")
    for entry in [] if states == "." else states.replace(":B1", "|B1").split("|"):
        name, _colon, state = entry.partition(":")
        seen.append(f"{name} {tree[groups[name]].partition.partition(' (')[0]}")
        wanted.append(corrected if corrected and name == "B1" else f"{name} {KINDS[state[1:]]}")
    if isolated is not None:
        seen.append(f"isolated {format_cpulist(tree.isolated)}")
        wanted.append(f"isolated {isolated.split('|')[-1].replace('.', '')}")
    assert seen == wanted


@pytest.mark.parametrize(("line", "corrected"), scenarios("matrix"))
def test_local(line, corrected):
    tree = CpusetTree(Rules.of_release((7, 3)), MACHINE)
    assert replay(tree, LOCAL, line[:4], line[4:8]) == int(line[8])
    check(tree, LOCAL, corrected, *line[9:])


@pytest.mark.parametrize(("line", "corrected"), scenarios("remote"))
def test_remote(line, corrected):
    tree = CpusetTree(Rules.of_release((7, 3)), MACHINE)
    tree.add("rtest")
    assert not tell(tree, "rtest", "CX1-7")
    assert replay(tree, REMOTE, line[:6], line[6:12]) == 0
    check(tree, REMOTE, corrected, *line[12:])


def test_all_are_replayed():
    assert [len(scenarios("matrix")), len(scenarios("remote"))] == [120, 13]
