# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets that do not exist, as rt_node_info, rt_verify and rt_latency would report them; guests are where the planner puts them."""

from __future__ import annotations

import math
import random

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.document import describe_cpus, to_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.planning import Intent, plan_partition
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import build_topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import place
from property.machines import regular

OWNERS = ("automation", "protection", "robotics", "quality")
PROJECTS = ("line-1", "line-2", "substation-7", "press-shop")
KINDS = ("plc", "relay", "motion", "vision")


def guest_spec(number, *, realtime=True, vcpus=2, memory=512, **more):
    """A guest as the inventory has it; owners and projects take turns."""
    kind = KINDS[number % 4] if realtime else "historian"
    spec = {"name": f"{kind}{number + 1}", "vcpus": vcpus, "memory_mib": memory, "owner": OWNERS[number % 4]}
    spec.update({"project": PROJECTS[number // 2 % 4], "class": "gold" if realtime else "bronze"})
    if realtime:
        spec.update({"siblings": "any", "realtime_vcpus": f"1-{vcpus - 1}", "networks": [{"network": "control"}]})
    return {**spec, **more}


def node_info(name, specs, *, seed=0, off=(), intent=None, pages=8192, **shape):
    """What rt_node_info returns of a node with these guests; ``off`` names those that do not run."""
    chance = random.Random(seed)
    machine = regular(**{"nodes": 2, "cores": 8, "threads": 2, "packages": 1, **shape})
    topology = build_topology(machine.files())
    partition = plan_partition(topology, intent or Intent(smt="together", dataplane_cores_per_node=1, shared_cores_per_node=1))
    guests = parse_guests(specs, parse_networks([{"name": "control"}]), site=name)
    memory = dict.fromkeys(topology.nodes, 65536)
    placements = place(partition, topology, guests, memory_mib=memory)
    polling = sorted(partition.sets["dataplane"])
    told, ports = [], []
    for number, (guest, spec) in enumerate(zip(guests, specs)):
        port = f"{guest.name}.control"
        told.append(_guest(guest, spec, placements[guest.name], guest.name not in off, number))
        if guest.networks:
            cpu = polling[number % len(polling)] if polling else None
            ports.append(_port(port, guest.name, f"/run/realtime-kvm/vhost/{port}", {"0": cpu} if polling else {}))
    used = dict.fromkeys(topology.nodes, 1024)
    for item in told:
        if item["state"] == "running" and item["hugepages"] == "2M":
            for node in item["nodes"]:
                used[node] += item["memory_mib"] // len(item["nodes"])
    return {
        "format": 1,
        "read": "2026-11-23T10:15:00Z",
        "hostname": name,
        "booted": "2026-10-02T05:31:12Z",
        "topology": describe_cpus(topology),
        "kernel": {"release": "6.12.117+deb13-rt-amd64", "realtime": True, "cmdline": "quiet", "isolated": format_cpulist(partition.isolated), "nohz_full": ""},
        "partition": to_document(partition),
        "partition_since": "2026-10-02T05:20:40Z",
        "memory": {
            str(node): {
                "total_mib": 66048,
                "free_mib": 40000,
                "guest_mib": 65536,
                "pages": {"2M": {"have": pages, "free": max(pages - used[node] // 2, 0)}, "1G": {"have": 0, "free": 0}},
            }
            for node in topology.nodes
        },
        "guests": told,
        "switch": {
            "running_since": "2026-10-02T05:33:02Z",
            "dpdk": True,
            "socket_mib": ",".join("1024" for _node in topology.nodes),
            "pmds": {str(cpu): f"pmd-c{cpu:02d}/id:{cpu}" for cpu in polling},
            "ports": [_port("ens1", "", "", {"0": polling[0]}, kind="dpdk", device="0000:41:00.0"), *ports] if polling else ports,
        },
        "interrupts": _interrupts(topology, partition, chance),
        "missing": [],
    }  # fmt: skip


def _guest(guest, spec, placement, running, number):
    pins = {str(vcpu): format_cpulist(cpus) for vcpu, cpus in placement.vcpus.items()}
    threads = []
    if running:
        for vcpu in range(guest.vcpus):
            policy = guest.schedulers.get(vcpu)
            scheduler = f"{policy.policy} {policy.priority}" if policy else "other"
            cpus = pins.get(str(vcpu), format_cpulist(placement.floating))
            threads.append(
                {"role": f"vcpu{vcpu}", "tid": 4000 + vcpu, "name": f"CPU {vcpu}/KVM", "cpus": cpus, "scheduler": scheduler}
            )
        emulator = format_cpulist(placement.emulator)
        threads.append({"role": "emulator", "tid": 3999, "name": "qemu", "cpus": emulator, "scheduler": "other"})
    day = number % 27 + 1
    return {
        "name": guest.name, "ours": True, "state": "running" if running else "shut off", "autostart": True,
        "owner": spec.get("owner", ""), "project": spec.get("project", ""), "class": spec.get("class", ""), "created": "",
        "manager": "realtime.kvm", "memory_mib": guest.memory_mib, "hugepages": guest.hugepages, "nodes": list(placement.nodes),
        "vcpus": pins, "schedulers": {str(v): f"{s.policy} {s.priority}" for v, s in guest.schedulers.items()},
        "floating": format_cpulist(placement.floating), "emulator": format_cpulist(placement.emulator), "vcpu_count": guest.vcpus,
        "threads": threads, "ports": [
            {"type": "vhostuser", "mac": item.mac, "source": f"/run/realtime-kvm/vhost/{guest.name}.{item.network.name}"}
            for item in guest.networks
        ],
        "differs_live": [], "pages": [], "devices": [],
        "running_since": f"2026-11-{day:02d}T08:12:00Z" if running else "", "defined_since": f"2026-10-{day:02d}T07:00:00Z",
    }  # fmt: skip


def foreign(name, cpus, *, running=True, manager="", **more):
    """A foreign domain, with one vCPU per CPU."""
    threads = [
        {"role": f"vcpu{n}", "tid": 9000 + n, "name": f"CPU {n}/KVM", "cpus": str(cpu), "scheduler": "other"}
        for n, cpu in enumerate(cpus)
    ]
    return {
        "name": name, "ours": False, "state": "running" if running else "shut off", "autostart": False, "owner": "", "project": "",
        "class": "", "created": "", "manager": manager, "memory_mib": 1024, "hugepages": "none", "nodes": [],
        "vcpus": {str(n): str(cpu) for n, cpu in enumerate(cpus)}, "schedulers": {}, "floating": "", "emulator": "0",
        "vcpu_count": len(cpus), "threads": threads if running else [], "ports": [], "differs_live": [], "pages": [], "devices": [],
        "running_since": "2026-11-20T06:00:00Z" if running else "", "defined_since": "2026-09-01T06:00:00Z", **more,
    }  # fmt: skip


def _port(name, guest, socket, queues, kind="dpdkvhostuserclient", device=""):
    interface = {"name": name, "type": kind, "guest": guest, "mac": "", "socket": socket, "device": device, "connected": True}
    return {
        "name": name,
        "bridge": "br-control",
        "tag": None,
        "network": "control",
        "interfaces": [{**interface, "error": "", "queues": queues}],
    }


def _interrupts(topology, partition, chance):
    ordinary = sorted(partition.unisolated)
    irqs, load = [], {}
    for cpu in sorted(topology.cpus):
        busy = cpu in ordinary
        devices = round(chance.lognormvariate(5, 1.5), 1) if busy else 0.0
        ticks = 250.0 if busy else 1.0
        load[str(cpu)] = {
            "devices": int(devices * 90000) if busy else 12, "ticks": int(ticks * 90000), "others": int(chance.random() * 9000),
            "devices_per_s": devices, "ticks_per_s": ticks, "others_per_s": round(chance.random() * (20 if busy else 1), 1),
        }  # fmt: skip
    for number in range(24, 24 + 3 * len(topology.nodes)):
        cpu = ordinary[number % len(ordinary)]
        irqs.append({
            "irq": number, "actions": [f"ens2-TxRx-{number - 24}"], "allowed": format_cpulist(ordinary), "cpus": str(cpu), "node": 0,
            "movable": True, "counts": {str(cpu): 123456}, "per_s": {str(cpu): 88.5},
        })  # fmt: skip
    return {"seconds": 1.0, "irqs": irqs, "load": load}


def latency(
    host,
    guest=None,
    *,
    started,
    peak=18,
    limit=40,
    result="pass",
    virtual=False,
    cpus=(2, 3, 4, 5),
    seed=0,
    tool="cyclictest",
    profile="standard",
):
    """A stored result of rt_latency: most samples near 3 us, a thin tail up to ``peak``."""
    chance = random.Random(seed)
    counts = {}
    top = {cpu: peak if cpu == cpus[0] else max(4, int(peak * (0.5 + chance.random() * 0.4))) for cpu in cpus}
    for cpu in cpus:
        for bucket in range(1, top[cpu] + 1):
            number = int(3.5e6 * math.exp(-((bucket - 3) ** 2) / 3) + 4e3 * math.exp(-bucket / 3) * chance.random())
            if number or bucket == top[cpu] or chance.random() < 0.25:
                counts.setdefault(str(bucket), {})[str(cpu)] = max(number, 1)
    per_cpu = [{"cpu": cpu, "min_us": 1, "avg_us": 3.1, "max_us": top[cpu], "samples": 3600000, "overflows": 0} for cpu in cpus]
    return {
        "format": 1, "host": host, "guest": guest, "tool": tool, "profile": profile, "started": started, "seconds": 3600, "cpus": list(cpus),
        "unit": "us", "verdict": {"result": result, "virtual": virtual, "reasons": [] if result == "pass" else [f"maximum {peak} us is above {limit} us"]},
        "limit_us": limit, "max_us": max(top.values()), "per_cpu": per_cpu, "histogram": {"bucket_us": 1, "counts": counts}, "environment": {},
    }  # fmt: skip


def large(nodes, guests):
    """A fleet of nodes with two sockets of 64 threads and many guests each, as the report takes it."""
    specs = [guest_spec(n, realtime=n % 5 != 4, vcpus=2, memory=256) for n in range(guests)]
    one = node_info("node", specs, cores=32, pages=32768)
    return {
        f"node{number:03d}": {"info": {**one, "hostname": f"node{number:03d}"}, "verify": {"findings": []}}
        for number in range(nodes)
    }
