# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans the partition of a guest from its definition in its node's list of guests: which of its vCPUs has which job. Pure.

What differs from a node: the definition decides the sets, so nothing is counted; a core's threads may serve two sets, since the node's ``siblings`` decides
what runs beside a real-time vCPU; and a NUMA node may have real-time vCPUs alone, since no emulator threads need a CPU there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answers import counted
from .cpulist import CpuListError, format_cpulist, parse_cpulist
from .partition import IDLE_MODES, ISOLATION_MODES, SETS, GuestProfile, Partition, PartitionError
from .topology import Topology


@dataclass(frozen=True)
class Definition:
    """What a guest's definition says of its inside."""

    name: str
    realtime_vcpus: frozenset[int]
    vcpus: int | None = None  # None: the list does not say
    idle: str = "halt"


def parse_vcpus(text: str, count: int) -> tuple[frozenset[int], frozenset[int]]:
    """Return the vCPUs of a list, and all that it names; a list that begins with an exclusion means all others of ``count``."""
    text = text.strip()
    excluded = ",".join(part.strip()[1:] for part in text.split(",") if part.strip().startswith("^"))
    named = parse_cpulist(text) | parse_cpulist(excluded)
    return parse_cpulist(f"0-{count - 1},{text}" if text.startswith("^") else text), named


def read_definition(given: Mapping[str, Any]) -> Definition:
    """Return the definition that a module is handed; ``PartitionError`` names what is wrong with it."""
    name, text, idle = given["name"], str(given.get("realtime_vcpus") or ""), given.get("idle") or IDLE_MODES[0]
    vcpus = given.get("vcpus") or None
    if idle not in IDLE_MODES:
        raise PartitionError(f"guest_os_idle: {idle!r} is neither {' nor '.join(IDLE_MODES)}")
    try:
        realtime, _named = parse_vcpus(text, vcpus or 1)
    except CpuListError as error:
        raise PartitionError(f"realtime_guests: {name}: realtime_vcpus: {error}") from None
    if not realtime:
        raise PartitionError(
            f"realtime_guests: {name}: its node lists no real-time vCPU for it, so its inside needs no partition. Give it realtime_vcpus there, correct "
            "guest_os_node, or take its host out of the group realtime_guest_os"
        )
    return Definition(name, realtime, vcpus, idle)


def plan_guest_partition(topology: Topology, definition: Definition, isolation: str = ISOLATION_MODES[0]) -> Partition:
    """Return the partition of a guest: its real-time vCPUs are realtime CPUs, the others serve its system.

    Linux numbers its CPUs as the domain its vCPUs. ``PartitionError`` where the guest does not have the CPUs of its definition.
    """
    _check_vcpus(topology, definition)
    realtime = definition.realtime_vcpus
    if topology.boot_cpu in realtime:
        raise PartitionError(
            f"realtime_guests: {definition.name}: realtime_vcpus {format_cpulist(realtime)} holds vCPU {topology.boot_cpu}. The guest boots on it, and no "
            "kernel isolates its boot CPU; leave it out"
        )
    if definition.idle == "poll" and topology.threads_per_core > 1:
        raise PartitionError(
            f"guest_os_idle: poll needs one thread per core, and {definition.name} has {topology.threads_per_core}. An idle vCPU would spin and take half of "
            "the core from the other thread; leave it at halt"
        )
    housekeeping = topology.online - realtime
    split = [core for core in topology.cores if core & realtime and core & housekeeping]
    warnings = [
        f"vCPUs {format_cpulist(core)} share a core: work on {format_cpulist(core & housekeeping)} takes half of it from "
        f"{format_cpulist(core & realtime)}; give realtime_vcpus in whole cores"
        for core in split
    ]
    return Partition(
        isolation=isolation,
        smt="together",
        topology_digest=topology.digest(),
        sets={**dict.fromkeys(SETS, frozenset[int]()), "housekeeping": housekeeping, "realtime": realtime},
        idle=frozenset(),
        nodes={node: cpus for node, cpus in sorted(topology.nodes.items()) if cpus},
        boot_cpu=topology.boot_cpu,
        warnings=tuple(warnings),
        guest=GuestProfile(definition.name, definition.idle),
    )


def _check_vcpus(topology: Topology, definition: Definition) -> None:
    present = format_cpulist(topology.present)
    missing = definition.realtime_vcpus - topology.present
    if missing or definition.vcpus not in (None, len(topology.present)):
        wanted = f"{counted(definition.vcpus, 'vCPU')} and " if definition.vcpus else ""
        raise PartitionError(
            f"realtime_guests: {definition.name}: its definition has {wanted}realtime_vcpus {format_cpulist(definition.realtime_vcpus)}, the guest has CPUs "
            f"{present}. New vCPUs come with a restart: run the guests playbook on its node, restart the guest, then run this again"
        )
    if off := topology.present - topology.online:
        raise PartitionError(
            f"guest {definition.name} has switched CPUs {format_cpulist(off)} off; switch them on in it "
            f"(echo 1 > /sys/devices/system/cpu/cpu{min(off)}/online), then run this again"
        )
    if not topology.online - definition.realtime_vcpus:
        raise PartitionError(
            f"realtime_guests: {definition.name}: all its vCPUs are real-time, and its Linux needs an ordinary one. Give it one more, or fewer realtime_vcpus"
        )


def check_same_machine(before: Partition | None, partition: Partition) -> None:
    """Refuse to turn a node into a guest or the reverse: one of both was reached by mistake."""
    if before is None:
        return
    was, now = before.guest, partition.guest
    if was is now or (was and now and was.name == now.name):
        return
    undo = "If this is no mistake, run the undo playbook on it first"
    if now is None:
        raise PartitionError(
            f"this machine is set up as guest {was.name if was else ''} (guest_os), not as a node. Take it out of realtime_nodes. {undo}"
        )
    if was is None:
        raise PartitionError(
            f"guest {now.name}: the machine that answers is set up as a node. Correct ansible_host of {now.name}. {undo}"
        )
    raise PartitionError(
        f"guest {now.name}: the machine that answers is set up as guest {was.name}. Correct ansible_host or guest_os_guest of this host. {undo}"
    )
