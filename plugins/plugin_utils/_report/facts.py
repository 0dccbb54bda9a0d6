# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converts the result of ``rt_node_info`` for the planner and the accounting. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import parse_or_empty
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import Cpu, Topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing, Placement


def cpus_of(text: Any) -> frozenset[int]:
    """Return the CPUs of a list that a node has reported; no CPUs if it cannot be read."""
    return _parsed(str(text or ""))


_parsed = lru_cache(maxsize=4096)(parse_or_empty)


def topology_of(data: Mapping[str, Any]) -> Topology | None:
    """Return the topology in a result of ``rt_node_info``, None without one."""
    if not data:
        return None
    cpus = {
        int(number): Cpu(
            number=int(number),
            package=cpu["package"],
            die=cpu["die"],
            cluster=cpu["cluster"],
            node=cpu["node"],
            siblings=cpus_of(cpu["siblings"]),
            l3=cpu["l3"],
            efficiency=cpu["efficiency"],
        )
        for number, cpu in data["cpus"].items()
    }
    return Topology(
        cpus=cpus,
        possible=cpus_of(data["possible"]),
        present=cpus_of(data["present"]),
        online=cpus_of(data["online"]),
        nodes={int(node): cpus_of(text) for node, text in data["nodes"].items()},
        cores=tuple(sorted({cpu.siblings for cpu in cpus.values()}, key=min)),
    )


def since_of(guest: Mapping[str, Any]) -> tuple[str, str]:
    """Return since when a guest has its resources, and the source of that time."""
    running = guest["state"] == "running"
    for key, basis in ((("running_since", "process"),) if running else ()) + (
        ("created", "created"),
        ("defined_since", "definition"),
    ):
        if guest.get(key):
            return str(guest[key]), basis
    return "", ""


def threads_of(guest: Mapping[str, Any]) -> dict[str, frozenset[int]]:
    """Return the CPUs of each thread: of the running guest, else of its definition."""
    if guest["threads"]:
        return {thread["role"]: cpus_of(thread["cpus"]) for thread in guest["threads"]}
    pins, floating = guest["vcpus"], cpus_of(guest["floating"])
    threads = {f"vcpu{vcpu}": cpus_of(pins[str(vcpu)]) if str(vcpu) in pins else floating for vcpu in range(guest["vcpu_count"])}
    return {**threads, "emulator": cpus_of(guest["emulator"])}


def memory_of(guest: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Return NUMA node, page size and MiB; the node is empty if the guest is bound to none."""
    size, total = guest["hugepages"], guest["memory_mib"]
    if guest["nodes"]:
        nodes = tuple(guest["nodes"])
        split = Placement(guest["name"], nodes, {}, frozenset()).memory_by_node(total, PAGE_MIB.get(size, 1))
        return [(str(node), size, mib) for node, mib in split.items()]
    if guest["pages"]:
        return [(str(item["node"]), item["size"], item["pages"] * PAGE_MIB[item["size"]]) for item in guest["pages"]]
    return [("", size, total)]


def switch_memory(switch: Mapping[str, Any]) -> dict[int, int]:
    """Return the MiB of the switch by NUMA node (``dpdk-socket-mem`` lists them in the order of the nodes)."""
    parts = str(switch.get("socket_mib") or "").split(",")
    return {node: int(mib) for node, mib in enumerate(parts) if mib.strip().isdecimal() and int(mib)}


def existing_of(guest: Mapping[str, Any]) -> Existing:
    """Return a guest's definition for the planner."""
    return Existing(
        name=guest["name"],
        ours=guest["ours"],
        running=guest["state"] == "running",
        vcpus={int(vcpu): cpus_of(cpus) for vcpu, cpus in guest["vcpus"].items()},
        emulator=cpus_of(guest["emulator"]),
        floating=cpus_of(guest["floating"]),
        memory_mib=guest["memory_mib"],
        hugepages=guest["hugepages"],
        nodes=tuple(guest["nodes"]),
    )
