# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any machine, any request: a partition that keeps every promise, or a refusal in words. Nothing else."""

from __future__ import annotations

import json
import random
from collections import Counter

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError, partition_from_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from conformance.invariants import violations
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from property.machines import Machine, cpulist

LIMITS = settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def machines(draw):
    """1-5 nodes (some without CPUs) x 1-5 cores x 1-4 threads, numbers dense or sparse, some CPUs off, some E-cores."""
    node_numbers = sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=5)))
    threads = draw(st.sampled_from([1, 2, 2, 4]))
    counts = [draw(st.integers(0, 5)) for _rest in node_numbers]
    if not any(counts):
        counts[0] = 2
    small = draw(st.booleans())  # hybrid: single-threaded cores at the end of each node
    sizes = [[1 if small and core >= 2 else threads for core in range(count)] for count in counts]
    total = sum(map(sum, sizes))
    numbers = list(range(total))
    if draw(st.booleans()):
        numbers = sorted(draw(st.sets(st.integers(0, 300), min_size=total, max_size=total)))
    order = draw(st.sampled_from(["neighbours", "halves", "shuffled"]))
    if order == "shuffled":
        random.Random(draw(st.integers(0, 999))).shuffle(numbers)
    nodes, efficiency, stream = {}, set(), iter(numbers)
    cores = [(node, size) for node, node_sizes in zip(node_numbers, sizes) for size in node_sizes]
    members = [[] for _rest in cores]
    if order == "halves":  # all first threads, then all second ones
        for thread in range(threads):
            for core, (_rest, size) in zip(members, cores):
                if thread < size:
                    core.append(next(stream))
    else:
        for core, (_rest, size) in zip(members, cores):
            core += [next(stream) for _rest in range(size)]
    for node in node_numbers:
        nodes[node] = [tuple(core) for core, (owner, _rest) in zip(members, cores) if owner == node]
    if small:
        efficiency = {cpu for core in members if len(core) == 1 for cpu in core}
    offline = draw(st.sets(st.sampled_from(numbers), max_size=max(0, min(3, total - 1))))
    return Machine(
        nodes=nodes,
        offline=frozenset(offline),
        efficiency=frozenset(efficiency) if small else None,
        ports={f"ens{index}": draw(st.sampled_from([-1, *node_numbers])) for index in range(draw(st.integers(0, 3)))},
        caches=draw(st.integers(0, 2)),
        masks=draw(st.booleans()),
        padded=draw(st.booleans()),
    )


@st.composite
def explicit_lists(draw, machine):
    """Lists that are mostly sensible: whole cores, now and then a thread, the boot CPU, a stranger or junk."""
    cores = [tuple(cpu for cpu in core if cpu in machine.online) for node in machine.nodes.values() for core in node]
    boot = next(core for core in cores if min(machine.online) in core)
    others = [core for core in cores if core and core != boot]
    lists = {}
    for name in draw(st.sets(st.sampled_from(["housekeeping", "dataplane", "realtime", "shared"]), min_size=1, max_size=3)):
        chosen = draw(st.lists(st.sampled_from(others), min_size=1, max_size=6, unique=True)) if others else [boot]
        kind = draw(st.sampled_from(["cores", "cores", "threads", "free", "boot", "stranger", "junk"]))
        if kind == "free" and lists:  # no core of another list
            chosen = [
                core for core in chosen if not any(str(cpu) in str(text).split(",") for cpu in core for text in lists.values())
            ]
        cpus = {core[0] for core in chosen} if kind == "threads" else {cpu for core in chosen for cpu in core}
        cpus |= set(boot) if name == "housekeeping" or kind == "boot" else set()
        cpus |= {draw(st.one_of(st.sampled_from(sorted(machine.cpus)), st.integers(0, 400)))} if kind == "stranger" else set()
        lists[name] = draw(st.sampled_from(["", "x", "9-1", 3, None, "0-"])) if kind == "junk" else cpulist(cpus)
    return lists


@st.composite
def cases(draw):
    machine = draw(machines())
    wild = draw(st.sampled_from([False, False, True]))
    few = st.sampled_from([0, 1, 2, -1] if wild else [0, 0, 0, 1])
    devices = [*machine.ports, *(["0000:00:00.0", "ens7"] if wild else [])]
    named = st.sampled_from([*machine.nodes, *([41] if wild else [])])

    def counts(one):
        return st.one_of(one, one, st.dictionaries(named, one, min_size=1, max_size=3))

    intent = Intent(
        housekeeping_cores_per_node=draw(counts(st.sampled_from([2, 3, 0] if wild else [1, 1, 1, 2]))),
        dataplane_cores_per_node=draw(counts(few)),
        dataplane_devices=tuple(draw(st.lists(st.sampled_from(devices), max_size=2))) if devices else (),
        shared_cores_per_node=draw(counts(few)),
        realtime=draw(st.sampled_from(["2", "some", "3-4"] if wild else ["rest", "rest", "0", "1"])),
        smt=draw(st.sampled_from(["together", "single"])),
        isolation=draw(st.sampled_from(["boot", "runtime"])),
        cpus=draw(st.one_of(st.just({}), explicit_lists(machine))),
    )
    return machine, intent


def attempt(topology, intent):
    """The partition and None, or None and the words of the refusal; any other exception is a failure."""
    try:
        return plan_partition(topology, intent), None
    except PartitionError as error:
        return None, str(error)


@given(cases())
@LIMITS
def test_a_plan_keeps_every_promise_or_is_refused_in_words(case):
    machine, intent = case
    topology = build_topology(machine.files())
    partition, message = attempt(topology, intent)
    event("planned" if partition else "refused")
    if partition is None:
        assert "cpu_partition" in message, message
        return
    assert violations(topology, partition, intent) == []
    assert plan_partition(build_topology(dict(reversed(machine.files().items()))), intent) == partition
    assert partition_from_document(json.loads(json.dumps(to_document(partition)))) == partition


@given(machines(), st.sampled_from(["together", "single"]))
@LIMITS
def test_the_defaults_plan_every_machine_that_has_a_core_to_spare(machine, smt):
    """Refused only where each node has but one core that may be isolated, or none."""
    topology = build_topology(machine.files())
    intent = Intent(smt=smt)
    partition, message = attempt(topology, intent)
    if partition is None:
        assert "cpu_partition_realtime: no core is left" in message
        strong = Counter(topology.cpus[min(core)].node for core in topology.cores if not topology.cpus[min(core)].efficiency)
        assert all(count <= 1 for count in strong.values()), strong
        return
    assert violations(topology, partition, intent) == []


@given(machines())
@LIMITS
def test_a_topology_is_what_the_machine_is(machine):
    topology = build_topology(machine.files())
    assert topology.online == machine.online
    assert topology.offline == machine.cpus & machine.offline
    assert set(topology.cores) == {
        frozenset(core) & machine.online for node in machine.nodes.values() for core in node if set(core) & machine.online
    }
    assert topology.nodes == {
        node: frozenset(cpu for core in cores for cpu in core if cpu in machine.online) for node, cores in machine.nodes.items()
    }
    if machine.efficiency is not None:
        slower = machine.efficiency & machine.online
        slower = slower if slower != machine.online else frozenset()  # all of one kind: none is slower
        assert {cpu.number for cpu in topology.cpus.values() if cpu.efficiency} == slower


def roomy(rng):
    """A machine with room for every set on each node."""
    count, threads = rng.choice([1, 2, 2, 4]), rng.choice([1, 2, 2, 2, 4])
    cores = [rng.randint(4, 7) for _rest in range(count)]
    numbers = list(range(sum(cores) * threads))
    if rng.random() < 0.5:
        rng.shuffle(numbers)
    stream = iter(numbers)
    weak = {(node, core) for node in range(count) for core in range(cores[node]) if core >= 4 and rng.random() < 0.3}
    nodes = {node: [tuple(next(stream) for _rest in range(threads)) for _rest in range(cores[node])] for node in range(count)}
    return Machine(
        nodes=nodes,
        offline=frozenset(rng.sample(numbers, rng.choice([0, 0, 0, 1, 2]))),
        efficiency=frozenset(cpu for node, core in weak for cpu in nodes[node][core]) if rng.random() < 0.5 else None,
        ports={"ens0": rng.choice([-1, *range(count)]), "ens1": rng.randrange(count)},
        caches=rng.choice([0, 2]),
    )


def nearly_right(rng, machine):
    """Lists of whole cores that do not overlap, sometimes with one thread too few or one CPU too many."""
    cores = [core for node in machine.nodes.values() for core in node if min(machine.online) not in core]
    rng.shuffle(cores)
    lists = {}
    for name in rng.sample(["dataplane", "realtime", "shared"], rng.choice([1, 1, 2])):
        chosen, cores = cores[: rng.randint(1, 3)], cores[3:]
        cpus = {cpu for core in chosen for cpu in core[: rng.choice([1, 9, 9])]}
        if rng.random() < 0.85:
            cpus &= machine.online
        if rng.random() < 0.1:
            cpus |= {rng.choice(sorted(machine.cpus))}
        if cpus:
            lists[name] = cpulist(cpus)
    return lists


@given(st.integers(0, 2**32))
@LIMITS
def test_lists_are_taken_as_they_are_or_refused_in_words(seed):
    """As above, where most requests can be met: few random draws are, and a broken rule must not hide among refusals."""
    rng = random.Random(seed)
    machine = roomy(rng)
    intent = Intent(
        dataplane_cores_per_node=rng.choice([0, 0, 1]),
        dataplane_devices=tuple(rng.sample(["ens0", "ens1"], rng.choice([0, 0, 1, 2]))),
        shared_cores_per_node=rng.choice([0, 0, 1]),
        realtime=rng.choice(["rest", "rest", "0", "1"]),
        smt=rng.choice(["together", "single"]),
        cpus=nearly_right(rng, machine) if rng.random() < 0.8 else {},
    )
    topology = build_topology(machine.files())
    partition, message = attempt(topology, intent)
    event("planned" if partition else "refused")
    if partition is None:
        assert "cpu_partition" in message, (machine, intent, message)
    else:
        assert violations(topology, partition, intent) == [], (machine, intent)
