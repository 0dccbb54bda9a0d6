# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and guests for placement, and small random cases of them; a case depends on its number only."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import describe_cpus, to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import Attachment, Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.document import plan_document
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.model import Host, Options, Rule, Wish
from ansible_collections.realtime.kvm.plugins.plugin_utils._placement.placing import place_guests
from property.machines import regular

OFFICE = Network("office", "br0", realtime=False)


@cache
def machine(nodes=1, cores=5, threads=1, dataplane=0, shared=0):
    """A partition with one core of housekeeping on each node, with its topology."""
    topology = build_topology(regular(nodes=nodes, cores=cores, threads=threads).files())
    smt = "together" if threads > 1 else "single"
    intent = Intent(smt=smt, dataplane_cores_per_node=dataplane, shared_cores_per_node=shared)
    return plan_partition(topology, intent), topology


def host(name, nodes=1, cores=5, threads=1, memory=1 << 16, *, dataplane=0, shared=0, **more):
    """A host whose nodes have ``cores - 1`` realtime cores and as much memory each."""
    partition, topology = machine(nodes, cores, threads, dataplane, shared)
    return Host(name, partition, topology, memory_mib=dict.fromkeys(range(nodes), memory), **more)


def guest(name, vcpus=2, memory=1024, *, realtime=True, networks=(), **more):
    """A guest whose first vCPU is an ordinary one."""
    attachments = tuple(Attachment(network, f"52:00:00:00:00:{number:02x}", None) for number, network in enumerate(networks))
    return Guest(
        name,
        memory_mib=memory,
        vcpus=vcpus,
        realtime_vcpus=frozenset(range(1, vcpus)) if realtime else frozenset(),
        hugepages=more.pop("hugepages", "2M" if realtime else "none"),
        networks=attachments,
        **more,
    )


def wish(name, vcpus=2, memory=1024, *, home="", hosts=None, fixed=False, devices=(), **more):
    """A guest that wants a host."""
    given = {"name": name, "vcpus": vcpus, "memory_mib": memory}
    return Wish(
        guest(name, vcpus, memory, **more), given, home, fixed, None if hosts is None else frozenset(hosts), frozenset(devices)
    )


def apart(*names, by="host", most=1, required=True, name="apart"):
    return Rule(name, "anti-affinity", frozenset(names), by, most, required)


def together(*names, by="host", required=True, name="together"):
    return Rule(name, "affinity", frozenset(names), by, 1, required)


@dataclass
class Case:
    """Hosts, guests without a host, and rules."""

    hosts: list[Host]
    wishes: list[Wish]
    rules: list[Rule]
    options: Options

    @property
    def names(self):
        return [one.name for one in self.wishes]


def small_case(number, most_hosts=12, fullness=None):
    """2 to 12 mixed hosts, 90 to 110 % asked of their cores, groups among the guests; some hosts have a guest that nobody lists."""
    seed = random.Random(number)
    hosts = []
    for index in range(seed.randint(2, most_hosts)):
        nodes, threads = seed.choice((1, 1, 2, 2, 4)), seed.choice((1, 1, 2))
        cores = seed.choice((5, 7, 9, 13, 17))
        memory = (cores - 1) * threads * seed.choice((1024, 2048, 3072)) // 2
        domains = {"rack": f"r{index % 3}"}
        foreign = ()
        if seed.random() < 0.2:
            realtime = sorted(machine(nodes, cores, threads)[0].sets["realtime"])
            taken = realtime[: seed.randint(1, 2)]
            foreign = (Existing(f"foreign{index}", False, True, {0: frozenset(taken)}, memory_mib=512, nodes=(0,)),)
        hosts.append(host(f"h{index:02d}", nodes, cores, threads, memory, domains=domains, existing=foreign))
    capacity = sum(len(h.partition.sets["realtime"]) // h.width for h in hosts)
    target = capacity * (fullness or seed.uniform(0.9, 1.1))
    wishes, asked = [], 0
    while asked < target:
        vcpus = seed.choice((2, 2, 2, 3, 4, 4, 4, 6, 8, 8, 12))
        memory = vcpus * seed.choice((256, 512, 1024)) // 2 * 2
        only = [one.name for one in seed.sample(hosts, max(1, len(hosts) // 2))] if seed.random() < 0.1 else None
        wishes.append(wish(f"g{len(wishes):03d}", vcpus, memory, hosts=only))
        asked += vcpus
    names = [one.name for one in wishes]
    seed.shuffle(names)
    rules = []
    for index in range(seed.randint(0, max(1, len(names) // 5))):
        if len(names) < 5:
            break
        size = seed.randint(2, 5)
        group, names = names[:size], names[size:]
        kind = seed.random()
        if kind < 0.7:
            by = "rack" if kind > 0.55 else "host"
            rules.append(apart(*group, by=by, most=1 if by == "host" else 2, name=f"rule{index}"))
        else:
            rules.append(together(*group[:2], name=f"rule{index}"))
    return Case(hosts, wishes, rules, Options())


def answer(one, guests=()):
    """What a node answers to rt_node_info; ``guests`` are (name, {vcpu: cpu}, memory, node) of domains of ours."""
    memory = {
        str(node): {"total_mib": mib + 512, "free_mib": mib, "guest_mib": mib, "pages": {"2M": {"have": 0, "free": 0}}}
        for node, mib in (one.memory_mib or {}).items()
    }
    return {
        "node": {
            "topology": describe_cpus(one.topology),
            "partition": to_document(one.partition),
            "memory": memory,
            "switch": {},
            "missing": [],
            "guests": [domain(*guest) for guest in guests],
        }
    }


def domain(name, pins, memory=1024, node=0, *, ours=True, state="running"):
    """A domain as rt_node_info describes it."""
    return {
        "name": name, "ours": ours, "state": state, "vcpus": {str(vcpu): str(cpu) for vcpu, cpu in pins.items()}, "emulator": "0",
        "floating": "", "memory_mib": memory, "hugepages": "2M", "nodes": [node], "threads": [], "vcpu_count": len(pins),
        "schedulers": {"1": "fifo 1"}, "manager": "realtime.kvm" if ours else "",
    }  # fmt: skip


#: The guests of the example of docs/placement.md, by host.
EXAMPLE_GUESTS = {"kvm01": ("plc1", "plc2"), "kvm02": ("hmi1",), "kvm03": ()}


def example(**more):
    """The plan of the example of docs/placement.md: kvm01 is drained, three guests are new and one of them has no host."""
    hosts = [
        host("kvm01", 1, 9, memory=16384, drained=True),
        host("kvm02", 1, 9, memory=16384),
        host("kvm03", 2, 9, memory=16384),
    ]
    sizes = {
        "plc1": (4, 2048),
        "plc2": (4, 2048),
        "hmi1": (2, 4096),
        "motion1": (6, 4096),
        "motion2": (6, 4096),
        "vision1": (8, 8192),
    }
    homes = {name: home for home, names in EXAMPLE_GUESTS.items() for name in names}
    wishes = [wish(name, *size, home=homes.get(name, "")) for name, size in sizes.items()]
    placed = place_guests(hosts, wishes, [apart("motion1", "motion2", name="motion")], homes=dict.fromkeys(homes, 0))
    return plan_document(placed, "inputs of the example", **more)
