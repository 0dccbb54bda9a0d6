# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The invariants of a partition, written from the architecture and not from the code under test.

``violations`` reads only the public values of a topology and a partition, never ``check_partition``, and
returns every broken promise in words: an empty list is a valid plan.
"""

from __future__ import annotations

from itertools import combinations

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import to_document

SETS = ("housekeeping", "dataplane", "realtime", "shared")
ISOLATED = ("dataplane", "realtime")


def _cpus(text):
    """A cpulist as the kernel prints it (ranges only), parsed here on purpose."""
    found = set()
    for item in filter(None, text.split(",")):
        first, _rest, last = item.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _cores(topology):
    return {frozenset(cpu.siblings) for cpu in topology.cpus.values()}


def _node_cores(topology, members):
    return [core for core in _cores(topology) if core <= members]


def violations(topology, partition, intent):
    return [
        *_ownership(topology, partition),
        *_cores_are_whole(topology, partition, intent),
        *_housekeeping(topology, partition),
        *_efficiency(topology, partition, intent),
        *_devices(topology, partition, intent),
        *_counts(topology, partition, intent),
        *_explicit(partition, intent),
        *_document(topology, partition),
    ]


def _ownership(topology, partition):
    """Every CPU has exactly one job, and only online CPUs have one."""
    if set(partition.sets) != set(SETS):
        yield f"the sets are {sorted(partition.sets)}"
    named = {**partition.sets, "idle": partition.idle}
    for one, other in combinations(named, 2):
        if named[one] & named[other]:
            yield f"{one} and {other} share {sorted(named[one] & named[other])}"
    everyone = set().union(*named.values())
    if everyone - set(topology.online):
        yield f"{sorted(everyone - set(topology.online))} are not online"
    if set(topology.online) - everyone:
        yield f"{sorted(set(topology.online) - everyone)} have no job"


def _cores_are_whole(topology, partition, intent):
    """SMT siblings never serve two sets; with smt single the siblings of isolated CPUs are idle."""
    isolated = partition.sets["dataplane"] | partition.sets["realtime"]
    for core in _cores(topology):
        owners = {name for name in SETS if partition.sets[name] & core}
        if len(owners) > 1:
            yield f"core {sorted(core)} serves {sorted(owners)}"
        used = core & isolated
        if intent.smt == "single" and used and (len(used) != 1 or core - used != core & partition.idle):
            yield f"core {sorted(core)}: {sorted(used)} used and {sorted(core & partition.idle)} idle with smt single"
        if core & partition.idle and (intent.smt != "single" or not used):
            yield f"core {sorted(core)}: {sorted(core & partition.idle)} idle without need"


def _housekeeping(topology, partition):
    """Housekeeping holds the boot CPU, a whole core, and CPUs on every node that has real-time CPUs."""
    housekeeping = partition.sets["housekeeping"]
    if min(topology.online) not in housekeeping:
        yield "the boot CPU is not housekeeping"
    if not any(core <= housekeeping for core in _cores(topology)):
        yield "housekeeping has no whole core"
    for node, members in topology.nodes.items():
        if members & partition.sets["realtime"] and not members & housekeeping:
            yield f"node {node} has real-time CPUs and no emulator CPUs"


def _efficiency(topology, partition, intent):
    for name in ISOLATED:
        weak = {cpu for cpu in partition.sets[name] if topology.cpus[cpu].efficiency}
        if weak and name not in intent.cpus:
            yield f"E-cores {sorted(weak)} in {name}, unasked"


def _devices(topology, partition, intent):
    """Dataplane CPUs sit on the nodes of the devices they poll."""
    for wanted in intent.dataplane_devices:
        found = [device for device in topology.devices if wanted in (device.name, device.address)]
        if not found:
            yield f"{wanted} does not exist"
            continue
        members = topology.nodes.get(found[0].node, frozenset()) or topology.online
        if not members & partition.sets["dataplane"]:
            yield f"{wanted} on node {found[0].node} has no dataplane CPU there"


def _counts(topology, partition, intent):
    """Counts are cores per NUMA node, exactly; housekeeping also takes what nobody asked for."""
    wanted = {"shared": intent.shared_cores_per_node}
    if not intent.dataplane_devices:
        wanted["dataplane"] = intent.dataplane_cores_per_node
    if intent.realtime != "rest":
        wanted["realtime"] = int(intent.realtime)
    for node, members in topology.nodes.items():
        cores = _node_cores(topology, members)
        for name, counts in wanted.items():
            count = counts if isinstance(counts, int) else counts.get(node, 0)
            if members and name not in intent.cpus:
                got = sum(1 for core in cores if core & partition.sets[name])
                if got != count:
                    yield f"node {node} has {got} {name} cores, {count} were asked for"
        if members and "housekeeping" not in intent.cpus and members & (partition.sets["realtime"] | partition.sets["dataplane"]):
            got = sum(1 for core in cores if core <= partition.sets["housekeeping"])
            least = intent.housekeeping_cores_per_node
            least = least if isinstance(least, int) else least.get(node, 1)
            if got < least:
                yield f"node {node} has {got} housekeeping cores, {least} were asked for"


def _explicit(partition, intent):
    for name, text in intent.cpus.items():
        if partition.sets[name] != _cpus(text):
            yield f"{name} is {sorted(partition.sets[name])}, not {text} as asked"


def _document(topology, partition):
    """The partition file says the same as the partition: lists, masks and nodes."""
    document = to_document(partition)
    for name in SETS:
        entry, cpus = document["sets"][name], set(partition.sets[name])
        if _cpus(entry["cpus"]) != cpus:
            yield f"the partition file lists {entry['cpus']} as {name}"
        if int(entry["mask"].replace(",", ""), 16) != sum(1 << cpu for cpu in cpus):
            yield f"the partition file masks {name} as {entry['mask']}"
        nodes = {int(node): _cpus(text) for node, text in entry["nodes"].items()}
        if nodes != {node: cpus & members for node, members in topology.nodes.items() if cpus & members}:
            yield f"the partition file places {name} on {entry['nodes']}"
    if _cpus(document["idle"]["cpus"]) != set(partition.idle):
        yield f"the partition file lists {document['idle']['cpus']} as idle"
