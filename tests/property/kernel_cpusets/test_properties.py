# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is written to cpusets, in whatever order: no cgroup shares exclusive CPUs, and refusals change nothing."""

from __future__ import annotations

import copy
from itertools import combinations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.rivals import rivals
from hypothesis import example, given, settings
from hypothesis import strategies as st
from property.kernel_cpusets.group import (
    CPUS,
    EXCLUSIVE,
    GRANTED,
    KINDS,
    PARTITION,
    Rules,
)
from property.kernel_cpusets.tree import CpusetTree, Write, predict

MACHINE = frozenset(range(6))
PATHS = ("a", "a/x", "a/x/1", "a/x/2", "a/y", "b", "b/x", "c")
BOOT = frozenset({5})

paths = st.sampled_from(PATHS)
cpulists = st.frozensets(st.integers(0, 6), max_size=4).map(format_cpulist)
writes = st.one_of(
    st.tuples(paths, st.sampled_from([CPUS, EXCLUSIVE]), cpulists),
    st.tuples(paths, st.just(PARTITION), st.sampled_from(KINDS)),
).map(lambda write: Write(*write))
steps = st.one_of(
    writes.map(lambda write: [write]),
    # CPUs and then a partition of them: what most writers do
    st.tuples(paths, st.sampled_from([CPUS, EXCLUSIVE]), cpulists, st.sampled_from(KINDS[1:])).map(
        lambda four: [Write(four[0], four[1], four[2]), Write(four[0], PARTITION, four[3])]
    ),
    st.tuples(st.just("plug"), st.integers(0, 5), st.booleans()).map(lambda step: [step]),
    st.tuples(st.just("attach"), paths, st.booleans()).map(lambda step: [step]),
)
sequences = st.lists(steps, max_size=20).map(lambda lists: [step for some in lists for step in some])
trees = st.builds(
    lambda release, boot: CpusetTree(Rules.of_release(release), MACHINE, possible=MACHINE, boot_isolated=boot),
    st.sampled_from([(6, 1), (6, 12), (7, 3)]),
    st.sampled_from([frozenset(), BOOT]),
)


def take(tree, step):
    if isinstance(step, Write):
        return tree.write(*step)
    name, *arguments = step
    return getattr(tree, name)(*arguments)


def state(tree):
    return [
        (group.path, group.cpus, group.exclusive, group.granted, group.effective, group.partition, group.tasks) for group in tree
    ]


def files(tree):
    """What the machine's files would show."""
    return {
        group.path: {
            CPUS: format_cpulist(group.cpus),
            EXCLUSIVE: format_cpulist(group.exclusive),
            GRANTED: format_cpulist(group.granted),
            PARTITION: group.partition,
        }
        for group in tree
    }


def grown(tree):
    for path in PATHS:
        tree.add(path)
    return tree


def check(tree):
    partitions = [group for group in tree if group.valid]
    for one, other in combinations(partitions, 2):
        assert other in one.below() or not one.granted & other.granted
    for group in partitions:
        assert group.granted, "a valid partition without CPUs"
        assert group.granted <= group.wanted
        assert group.parent.valid != group.remote
        assert not (group.remote and any(above.valid for above in group.above() if above.parent)), "remote below a partition"
    for group in tree:
        assert group.effective <= tree.online
        # others' CPUs belong to no cgroup
        foreign = [other for other in partitions if other is not group and other not in group.above()]
        assert not any(group.effective & other.granted for other in foreign)
    assert tree.boot_isolated <= tree.isolated <= tree.possible
    assert tree.isolated - tree.boot_isolated <= tree.handed_out
    for cpu in tree.possible:
        assert (tree.owner_of(cpu) is None) == (cpu not in tree.handed_out)


@settings(max_examples=500)
@given(trees, sequences)
def test_no_cgroup_shares(tree, sequence):
    grown(tree)
    for step in sequence:
        before = state(tree)
        outcome = take(tree, step)
        check(tree)
        if outcome.error:
            assert state(tree) == before


@given(trees, sequences, writes)
def test_second_write_changes_nothing(tree, sequence, write):
    """Invalid partitions are the exception: writing one again is another attempt."""
    grown(tree)
    for step in sequence:
        take(tree, step)
    tree.write(*write)
    before = state(tree)
    if write.file != PARTITION or tree[write.path].reason is None:
        assert tree.write(*write).invalidated == ()
        assert state(tree) == before


@given(trees, sequences, st.lists(writes, max_size=5))
def test_prediction_is_what_comes(tree, sequence, planned):
    grown(tree)
    for step in sequence:
        take(tree, step)
    before = state(tree)
    prediction = predict(tree, planned)
    assert state(tree) == before
    outcomes = [tree.write(*write) for write in planned]
    assert [outcome for _write, outcome in prediction.steps] == outcomes
    assert state(prediction.tree) == state(tree)
    ends_badly = any(outcome.error for outcome in outcomes) or any(tree[write.path].reason is not None for write in planned)
    assert bool(prediction.problems) >= ends_badly


@given(trees, sequences)
def test_loaded_as_it_was(tree, sequence):
    grown(tree)
    for step in sequence:
        take(tree, step)
    again = CpusetTree(tree.rules, tree.online, tree.possible, tree.boot_isolated)
    again.load(files(tree), {group.path for group in tree if group.tasks})
    assert state(again) == state(tree)


@given(trees, sequences)
def test_all_members_again(tree, sequence):
    """Whatever happened: everybody a member, nothing exclusive, all CPUs online is the machine at rest."""
    grown(tree)
    for step in sequence:
        take(tree, step)
    for cpu in MACHINE:
        tree.plug(cpu, True)
    for group in tree:
        tree.attach(group.path, tasks=False)
    for file, value in ((PARTITION, "member"), (EXCLUSIVE, ""), (CPUS, "")):
        for path in reversed(PATHS):
            tree.write(path, file, value)
    fresh = grown(CpusetTree(tree.rules, MACHINE, MACHINE, tree.boot_isolated))
    assert state(tree) == state(fresh)


def test_copies_are_apart():
    tree = grown(CpusetTree(Rules.of_release((7, 3)), MACHINE))
    other = copy.deepcopy(tree)
    other.write("a", CPUS, "1")
    assert not tree["a"].cpus


@example((6, 12), [Write("a", CPUS, "0"), Write("a", EXCLUSIVE, "1")], "0")
@given(st.sampled_from([(6, 1), (6, 12), (7, 3)]), st.lists(writes, max_size=12), cpulists)
def test_rivals_are_what_keeps_a_holder_from_its_cpus(release, before, wanted):
    """What the collection refuses before its first write, held against what the kernel would make of that write."""
    tree = grown(CpusetTree(Rules.of_release(release), MACHINE | {6}, possible=MACHINE | {6}))
    for write in before:
        tree.write(*write)
    tree.add("holder")
    cpus = parse_cpulist(wanted)
    siblings = {name: shown for name, shown in files(tree).items() if "/" not in name and name != "holder"}
    if not tree.rules.exclusive:
        siblings = {name: {file: shown[file] for file in (CPUS, PARTITION)} for name, shown in siblings.items()}
    found = rivals(cpus, siblings, release)
    assert found == {name: taken for name, taken in tree.rivals("holder", cpus).items() if "/" not in name}
    deeper = any(cpus & (group.exclusive | group.granted) for group in tree if "/" in group.path)
    if cpus and not found and not deeper and tree.root.effective - cpus:
        assert predict(tree, [Write("holder", CPUS, wanted), Write("holder", PARTITION, "isolated")]).problems == ()
    # a sibling that marks other CPUs does not stop the kernel, but would lose the CPUs that it lists: it is refused all the same
    kept = [name for name in found if (tree[name].exclusive or tree[name].cpus | tree[name].granted) & cpus]
    if kept and release < (7, 0):
        assert predict(tree, [Write("holder", CPUS, wanted), Write("holder", PARTITION, "isolated")]).problems
