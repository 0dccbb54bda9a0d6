# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any machine, any guests, any strangers: a placement that keeps every promise, or a refusal in words. Nothing else.

What a run has placed comes back to the next as the XML that it would be defined with, so that the two agree as well.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import re

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_merge import merge
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_new import new_domain
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_xml import describe
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, PinningError
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import place as place_with_bindings
from ansible_collections.realtime.kvm.plugins.module_utils._guests.siblings import SiblingsError
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from property.machines import regular
from property.test_partition import machines

LIMITS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
NETWORKS = parse_networks([{"name": "control"}, {"name": "office", "realtime": False, "bridge": "br0"}])


def node_of(machine, intent):
    topology = build_topology(machine.files())
    try:
        return topology, plan_partition(topology, intent)
    except PartitionError:
        assume(False)


@st.composite
def odd_nodes(draw):
    """Any machine at all; see ``machines``."""
    return node_of(draw(machines()), Intent(smt=draw(st.sampled_from(["together", "single"]))))


def servers(rng):
    """A regular machine with room for some guests: few random draws have that."""
    machine = regular(
        nodes=rng.randint(1, 3), cores=rng.randint(5, 10), threads=rng.choice([1, 2, 2]), interleaved=rng.random() < 0.5
    )
    return node_of(
        machine,
        Intent(
            dataplane_cores_per_node=rng.choice([0, 1]),
            shared_cores_per_node=rng.choice([0, 0, 1]),
            smt=rng.choice(["together", "together", "single"]),
        ),
    )


def guest_item(rng, name, partition):
    vcpus = rng.choice([1, 2, 2, 3, 4])
    item = {"name": name, "vcpus": vcpus, "memory_mib": rng.choice([64, 256, 258, 1024])}
    if vcpus > 1 and rng.random() < 0.8:
        item["realtime_vcpus"] = f"1-{vcpus - 1}"
        item["emulator"] = rng.choice(["housekeeping", "housekeeping", "own"])
        item["numa"] = rng.choice(["strict", "strict", "spread"])
        item["io_threads"] = rng.randint(0, 2)
        item["siblings"] = rng.choice(["idle", "idle", "any", "realtime"])
        if item["siblings"] == "realtime" and vcpus == 4:
            item["realtime_vcpus"] = "2-3"  # a whole core, where cores have two threads
    else:
        item["hugepages"] = rng.choice(["none", "2M"])
    if item.get("numa") != "spread" and rng.random() < 0.3:
        item["numa_node"] = rng.choice(sorted(partition.nodes))
    networks = ["control", "office"] if partition.sets["dataplane"] else ["office"]
    item["networks"] = [{"network": network} for network in networks if rng.random() < 0.5]
    return item


def stranger(rng, topology):
    cpus = frozenset(rng.sample(sorted(topology.online), rng.randint(1, 2)))
    kind = rng.choice(["pinned", "floating", "emulator"])
    more = {"vcpus": {0: cpus}} if kind == "pinned" else {kind: cpus}
    return Existing("somebody", ours=rng.random() < 0.5, running=rng.random() < 0.5, memory_mib=64, nodes=(0,), **more)


def draw_case(rng, node):
    """What there is, what is asked for, who is there already, and the memory of each NUMA node (None: not known)."""
    topology, partition = node
    items = [guest_item(rng, f"g{number}", partition) for number in range(rng.randint(1, 6))]
    foreign = [stranger(rng, topology)] if rng.random() < 0.3 else []
    memory = rng.choice([None, 1100, 3000])
    return topology, partition, items, foreign, None if memory is None else dict.fromkeys(partition.nodes, memory)


@st.composite
def cases(draw):
    rng = random.Random(draw(st.integers(0, 2**32)))
    node = draw(odd_nodes()) if draw(st.sampled_from([False, False, True])) else servers(rng)
    return (*draw_case(rng, node), rng)


def guests_of(items):
    return parse_guests(items, NETWORKS, site="n", priority_limit=1)


def place(*arguments, **more):
    """The placements, whether memory stays bound as it is or is bound anew: that depends on what is defined, and moves nobody."""
    return {name: dataclasses.replace(item, memory_stays=False) for name, item in place_with_bindings(*arguments, **more).items()}


def attempt(*arguments, **more):
    """The placements and None, or None and the words of the refusal; any other exception is a failure."""
    try:
        return place(*arguments, **more), None
    except (PinningError, SiblingsError) as error:
        return None, str(error)


def defined(guests, placements):
    """The domains, as the next run reads them from libvirt."""
    return [describe(merge(new_domain(guest, "n", "x86_64"), guest, placements[guest.name])) for guest in guests]


def violations(topology, partition, guests, placements, others, memory):
    """Every broken promise in words, from the public values of a placement alone."""
    for guest in guests:
        yield from (f"{guest.name}: {text}" for text in _own(topology, partition, guest, placements[guest.name]))
    yield from _shared(topology, partition, guests, placements, others)
    yield from _memory(guests, placements, others, memory)


def _own(topology, partition, guest, placement):
    threads = list(placement.vcpus.values())
    if guest.realtime and guest.emulator == "own":
        threads.append(placement.emulator)
    elif not placement.emulator or not placement.emulator <= partition.housekeeping:
        yield f"its emulator is on {sorted(placement.emulator)}"
    if not guest.realtime:
        if threads or not placement.floating or not placement.floating <= (partition.sets["shared"] or partition.housekeeping):
            yield f"it floats on {sorted(placement.floating)}, pinned {threads}"
        return
    mine = frozenset().union(*threads)
    if set(placement.vcpus) != set(range(guest.vcpus)) or len(mine) != len(threads) or any(len(cpus) != 1 for cpus in threads):
        yield f"its threads are on {threads}"
    if not mine <= partition.sets["realtime"]:
        yield f"{sorted(mine)} are not all realtime CPUs"
    found = {topology.cpus[cpu].node for cpu in mine}
    if set(placement.nodes) != found or (guest.numa == "strict" and len(found) != 1):
        yield f"it is on nodes {sorted(found)}, its memory on {placement.nodes}"
    if guest.numa_node is not None and found != {guest.numa_node}:
        yield f"it is on nodes {sorted(found)}, not on {guest.numa_node}"
    yield from _beside(topology, guest, placement)


def _beside(topology, guest, placement):
    """What runs beside a real-time vCPU is what the guest asked for, and it is told the truth about its cores."""
    cpu_of = {vcpu: min(cpus) for vcpu, cpus in placement.vcpus.items()}
    users = {**cpu_of, **({"emulator": min(placement.emulator)} if guest.emulator == "own" else {})}
    allowed = {"idle": set(), "realtime": guest.realtime_vcpus, "any": set(users)}[guest.siblings]
    for vcpu in guest.realtime_vcpus:
        beside = {user for user, cpu in users.items() if user != vcpu and cpu in topology.core_of(cpu_of[vcpu])}
        if not beside <= allowed:
            yield f"beside its real-time vCPU {vcpu} are {beside}"
    if placement.threads > 1:
        cores = {topology.core_of(cpu): [v for v, c in cpu_of.items() if c in topology.core_of(cpu)] for cpu in cpu_of.values()}
        told = [list(range(first, first + placement.threads)) for first in range(0, guest.vcpus, placement.threads)]
        if sorted(map(sorted, cores.values())) != told:
            yield f"it is told {told}, its cores are {list(cores.values())}"


def _shared(topology, partition, guests, placements, others):
    """No CPU and no core has two users, one of them a guest of the list."""
    users = [(domain.name, cpu) for domain in others for cpu in domain.cpus]
    for guest in guests:
        placement = placements[guest.name]
        own = [placement.emulator] if guest.emulator == "own" else []
        users += [(guest.name, cpu) for cpus in [*placement.vcpus.values(), *own] for cpu in cpus]
    names = {guest.name for guest in guests}
    for (one, cpu), (other, second) in itertools.combinations(users, 2):
        if cpu in partition.sets["realtime"] and one != other and {one, other} & names and second in topology.core_of(cpu):
            yield f"{one} on CPU {cpu} and {other} on CPU {second} share a core"


def _memory(guests, placements, others, memory):
    left = dict(memory or {})
    for domain in others:
        for node in domain.nodes:
            left[node] = left.get(node, 0) - domain.memory_mib // len(domain.nodes)
    for guest in guests:
        page = PAGE_MIB.get(guest.hugepages, 1)
        parts = placements[guest.name].memory_by_node(guest.memory_mib, page)
        for node, mib in parts.items():
            left[node] = left.get(node, 0) - mib
            if mib % page:
                yield f"{guest.name} has {mib} MiB on node {node}, no whole pages"
        if parts and sum(parts.values()) != guest.memory_mib:
            yield f"{guest.name}: memory is lost on the way"
    if memory is not None:
        yield from (f"node {node} is {-mib} MiB short" for node, mib in left.items() if mib < 0 and node in memory)


@given(cases())
@LIMITS
def test_a_placement_keeps_every_promise_or_is_refused_in_words(case):
    topology, partition, items, foreign, memory, _rng = case
    guests = guests_of(items)
    placements, message = attempt(partition, topology, guests, foreign, memory_mib=memory)
    event("placed" if placements else "refused")
    if placements is None:
        assert message.startswith("realtime_guests: g"), message
        return
    assert list(placements) == [guest.name for guest in guests]
    assert list(violations(topology, partition, guests, placements, foreign, memory)) == []
    assert place(partition, topology, guests, list(reversed(foreign)), memory_mib=memory) == placements


@given(cases())
@LIMITS
def test_what_is_placed_stays(case):
    """A second run moves nothing, in whatever order the guests are listed; nor does one less, or one too many."""
    topology, partition, items, foreign, memory, rng = case
    guests = guests_of(items)
    placements, _message = attempt(partition, topology, guests, foreign, memory_mib=memory)
    while placements is None and items:
        *items, extra = items
        guests = guests_of(items)
        placements, _message = attempt(partition, topology, guests, foreign, memory_mib=memory)
        if placements:
            event("one too many")
            existing = [*foreign, *defined(guests, placements)]
            again, message = attempt(partition, topology, guests_of([*items, extra]), existing, memory_mib=memory)
            assert again is None
            assert message.startswith(f"realtime_guests: {extra['name']}"), message
    assume(items)
    existing = [*foreign, *defined(guests, placements)]
    mixed = guests_of(rng.sample(items, len(items)))
    assert place(partition, topology, mixed, existing, memory_mib=memory) == placements
    gone = {**items[0], "state": "absent"}
    for fewer in (items[1:], [gone, *items[1:]]):
        left = place(partition, topology, guests_of(fewer), existing, memory_mib=memory)
        assert left == {name: placement for name, placement in placements.items() if name != items[0]["name"]}


@st.composite
def placed(draw):
    """A case that fits, as far as it does: what is too much is left out."""
    topology, partition, items, foreign, memory, rng = draw(cases())
    placements = None
    while placements is None:
        assume(items)
        placements, _message = attempt(partition, topology, guests_of(items), foreign, memory_mib=memory)
        items = items if placements else items[:-1]
    return topology, partition, items, foreign, memory, rng, placements


@given(placed())
@LIMITS
def test_one_more_moves_no_other(case):
    topology, partition, items, foreign, memory, rng, placements = case
    position = rng.randint(0, len(items))
    more = guests_of([*items[:position], guest_item(rng, "new", partition), *items[position:]])
    after, message = attempt(partition, topology, more, [*foreign, *defined(guests_of(items), placements)], memory_mib=memory)
    event("placed" if after else "refused")
    if after is None:
        assert message.startswith(("realtime_guests: new ", "realtime_guests: new: siblings")), message
        return
    assert {name: after[name] for name in placements} == placements
    assert list(violations(topology, partition, more, after, foreign, memory)) == []


@given(placed())
@LIMITS
def test_vcpus_that_come_leave_the_others_where_they_are(case):
    topology, partition, items, foreign, memory, rng, placements = case
    realtime = [item for item in items if item.get("realtime_vcpus")]
    assume(realtime)
    chosen, count = rng.choice(realtime), rng.randint(1, 3)
    grown = guests_of([{**item, "vcpus": item["vcpus"] + count} if item is chosen else item for item in items])
    existing = [*foreign, *defined(guests_of(items), placements)]
    after, message = attempt(partition, topology, grown, existing, memory_mib=memory)
    event("placed" if after else "refused")
    if after is None:
        assert re.search(
            f"{chosen['name']}( asks for ({count} realtime CPU|[0-9]+ MiB of memory)|: siblings realtime)", message
        ), message
        return
    for name, placement in placements.items():
        assert dict(placement.vcpus).items() <= dict(after[name].vcpus).items()
        assert name == chosen["name"] or after[name] == placement
    assert list(violations(topology, partition, grown, after, foreign, memory)) == []


@given(placed())
@LIMITS
def test_memory_that_grows_beyond_its_node_is_refused(case):
    topology, partition, items, foreign, memory, rng, placements = case
    assume(memory)
    chosen = rng.choice(items)
    assume(placements[chosen["name"]].nodes)
    more = guests_of([{**item, "memory_mib": item["memory_mib"] + 1000} if item is chosen else item for item in items])
    after, message = attempt(partition, topology, more, [*foreign, *defined(guests_of(items), placements)], memory_mib=memory)
    event("placed" if after else "refused")
    if after is None:
        assert re.search(f"{chosen['name']} asks for .* MiB .* MiB are free", message), message
    else:
        assert list(violations(topology, partition, more, after, foreign, memory)) == []


@given(placed())
@LIMITS
def test_pins_edited_by_hand_are_repaired_or_refused_in_words(case):
    topology, partition, items, foreign, memory, rng, placements = case
    guests = guests_of(items)
    existing = defined(guests, placements)
    edited = rng.randrange(len(existing))
    domain = existing[edited]

    def somewhere():
        return frozenset(rng.sample(sorted(topology.online), rng.choice([0, 1, 1, 1, 2])))

    existing[edited] = dataclasses.replace(
        domain,
        vcpus={vcpu: somewhere() if rng.random() < 0.5 else old for vcpu, old in domain.vcpus.items()},
        emulator=somewhere() if rng.random() < 0.5 else domain.emulator,
    )
    after, message = attempt(partition, topology, guests, [*foreign, *existing], memory_mib=memory)
    event("repaired" if after else "refused")
    if after is None:
        assert message.startswith("realtime_guests: g"), message
        return
    assert list(violations(topology, partition, guests, after, foreign, memory)) == []
    touched = {cpu for cpus in existing[edited].vcpus.values() for pinned in cpus for cpu in topology.core_of(pinned)}
    for name, found in placements.items():  # a guest whose core was not touched is not moved
        if name != domain.name and not touched & frozenset().union(found.emulator, *found.vcpus.values()):
            assert after[name] == found


@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from(["idle", "any"]))
@LIMITS
def test_a_guest_alone_is_refused_only_where_no_numa_node_has_room(seed, vcpus, siblings):
    """With one ordinary vCPU, ``idle`` takes a core for each vCPU."""
    topology, partition = servers(random.Random(seed))
    item = {"name": "g", "memory_mib": 64, "vcpus": vcpus + 1, "realtime_vcpus": f"1-{vcpus}", "siblings": siblings}
    placements, message = attempt(partition, topology, guests_of([item]))
    places = {min(topology.core_of(cpu)) if siblings == "idle" else cpu for cpu in partition.sets["realtime"]}
    room = max(len(cpus & places) for cpus in partition.nodes.values())
    assert (placements is not None) == (vcpus < room)
    if placements is None:
        assert f"g asks for {vcpus + 1} realtime CPUs" in message
    spread, _message = attempt(partition, topology, guests_of([{**item, "numa": "spread"}]))
    assert (spread is not None) == (vcpus < len(places))


@given(cases())
@LIMITS
def test_polled_cpus_are_never_given(case):
    topology, partition, items, foreign, memory, rng = case
    polled = frozenset(rng.sample(sorted(topology.online), min(2, len(topology.online))))
    polling = dict.fromkeys(polled, "pmd-c02/id:9")
    placements, message = attempt(partition, topology, guests_of(items), foreign, memory_mib=memory, polling=polling)
    event("placed" if placements else "refused")
    if polled & partition.sets["realtime"]:
        assert placements is None
        assert "pmd-c02/id:9" in message
    elif placements:
        assert not any(cpus & polled for item in placements.values() for cpus in item.vcpus.values())
