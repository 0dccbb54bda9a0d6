# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host for placement, from what its node has answered (``rt_node_info``) and the inventory says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import UNREADABLE, AnswerError, differs, plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.pages import PAGE_MIB
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import Partition, partition_from_document
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.topology import Topology
from ansible_collections.realtime.kvm.plugins.module_utils._guests.domain_owner import NOVA
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network
from ansible_collections.realtime.kvm.plugins.module_utils._guests.pinning import Existing
from ansible_collections.realtime.kvm.plugins.module_utils._memory.hugepages import check_reserve
from ansible_collections.realtime.kvm.plugins.module_utils._switch.plan import socket_memory_mib
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.facts import cpus_of, existing_of, switch_memory, topology_of

from .model import UNKNOWN_MIB, Host
from .values import DEVICES, DOMAINS, read_devices, read_domains

_RUN = "run partition (or site) on it first"


def _count(value: Any) -> str:
    """Say what is wrong with a number of something."""
    fine = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= UNKNOWN_MIB
    return "" if fine else f"is {plain(repr(value), 40)}, not a number from 0 to {UNKNOWN_MIB}"


def _pages(value: Any) -> str:
    known = ("none", *PAGE_MIB)
    return "" if value in known else f"is {plain(repr(value), 40)}, not one of {', '.join(known)}"


_TEXT = (str, type(None))
#: The forms of what is read here of an answer; ``topology_of`` and ``partition_from_document`` read their parts.
_MEMORY = {str: {"total_mib": _count, "guest_mib": _count, "pages": {str: {"have": _count}}}}
_GUESTS = [
    {
        "name": str,
        "ours": bool,
        "state": str,
        "vcpus": {str: _TEXT},
        "emulator": _TEXT,
        "floating": _TEXT,
        "memory_mib": _count,
        "hugepages": _pages,
        "nodes": [_count],
    }
]
_FORMS: dict[str, Any] = {"memory": _MEMORY, "guests": _GUESTS, "missing": [{"state": str, "part": str}]}


def _check_form(info: Mapping[str, Any]) -> None:
    """Raise ``AnswerError`` where an answer has another form than a node gives it."""
    for name, form in _FORMS.items():
        value = info.get(name)
        if value and (wrong := differs(value, form, name)):
            raise AnswerError(wrong)


def read_host(
    name: str, answer: Mapping[str, Any], networks: Mapping[str, Network], variables: Mapping[str, Any]
) -> tuple[Host | None, str]:
    """Return a host, or None and why nothing can be placed there.

    ``answer`` is the registered result of ``rt_node_info``; ``variables`` are the host's values of ``HOST_VARIABLES``, worked out.
    """
    info = answer.get("node")
    if not isinstance(info, Mapping):
        if answer.get("unreachable"):
            return None, "it cannot be reached"
        return None, plain(str(answer.get("msg") or "it was not read"), 200)
    try:
        _check_form(info)
        topology = topology_of(info["topology"])
        if topology is None:
            return None, "its topology could not be read"
        if not info["partition"]:
            return None, f"it has no partition file; {_RUN}"
        partition = partition_from_document(info["partition"])
        if partition.topology_digest != info["topology"]["digest"]:
            return None, f"its partition file is of other CPUs than it has now; {_RUN}"
        if topology.digest() != info["topology"]["digest"]:
            raise AnswerError("its CPUs are not those of their digest")
        broken = [item for item in info.get("missing") or () if item["state"] == "broken"]
        if unread := [item for item in broken if item["part"] == "libvirt" or str(item["part"]).startswith("guest ")]:
            return (
                None,
                f"its guests could not be read ({plain(str(unread[0]['part']), 60)}: {plain(str(unread[0]['reason']), 120)})",
            )
        return _host(name, info, partition, topology, networks, variables), ""
    except RefusalError as error:
        return None, plain(str(error), 300)
    except UNREADABLE as error:
        return None, f"its answer cannot be read ({plain(str(error), 120)})"


#: What is read of a host's variables, with the value where it is not given.
HOST_VARIABLES: dict[str, Any] = {
    "realtime_place_domains": {},
    "realtime_place_devices": [],
    "realtime_priority_limit": 1,
    "kvm_host_hugepages_reserve": {},
    "kvm_host_switch_pages": "2M",
    "ovs_dpdk_socket_memory_mib": 0,
}


def _host(
    name: str,
    info: Mapping[str, Any],
    partition: Partition,
    topology: Topology,
    networks: Mapping[str, Network],
    variables: Mapping[str, Any],
) -> Host:
    memory = {int(node): item for node, item in (info.get("memory") or {}).items()}
    total = {node: int(item["total_mib"]) for node, item in memory.items()}
    reserve = check_reserve(dict(variables["kvm_host_hugepages_reserve"] or {}))
    planned = socket_memory_mib(partition, networks, [], int(variables["ovs_dpdk_socket_memory_mib"] or 0), memory)
    has = switch_memory(info.get("switch") or {})
    switch = {node: max(planned.get(node, 0), has.get(node, 0)) for node in {*planned, *has}}
    kept = sum(reserve.values())
    return Host(
        name,
        replace(partition, warnings=()),
        topology,
        tuple(_existing(guest) for guest in sorted(info.get("guests") or (), key=lambda guest: str(guest["name"]))),
        {node: max(int(item["guest_mib"]) - switch.get(node, 0) - kept, 0) for node, item in memory.items()} or None,
        {int(cpu): str(text) for cpu, text in ((info.get("switch") or {}).get("pmds") or {}).items()},
        networks,
        read_devices(variables[DEVICES]),
        read_domains(variables[DOMAINS]),
        int(variables["realtime_priority_limit"]),
        total,
        {
            (node, size): int(pool["have"])
            for node, item in memory.items()
            for size, pool in item["pages"].items()
            if size in PAGE_MIB
        },
        switch,
        str(variables["kvm_host_switch_pages"] or "2M"),
        reserve,
    )


def _existing(guest: Mapping[str, Any]) -> Existing:
    """Return a domain with the CPUs of its I/O threads, which its threads show while it runs."""
    threads = [cpus_of(item["cpus"]) for item in guest.get("threads") or () if str(item["role"]).startswith("iothread")]
    realtime = any(str(text).partition(" ")[0] in ("fifo", "rr") for text in (guest.get("schedulers") or {}).values())
    return replace(
        existing_of(guest),
        io_threads=frozenset().union(*threads),
        realtime=realtime,
        vcpu_count=int(guest.get("vcpu_count") or 0),
        nova=guest.get("manager") == NOVA,
    )
