# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan remarks beside its changes: each remark has a place, a text and a remedy. Pure.

The two rules on housekeeping are this collection's own: no document that we know gives figures. Red Hat's realtime profile of tuned begins with
one housekeeping CPU per NUMA node as well, and says to raise it where that is little (RHEL for Real Time, "Adjusting housekeeping per NUMA in
the real-time profile").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import awaited_boot
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import counted
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.cpulist import format_cpulist, parse_or_empty
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import SETS

from .changes import Results

HOUSEKEEPING = "cpu_partition_housekeeping_cores_per_node"
#: Less than one housekeeping CPU for so many CPUs of the machine is little.
RATIO = 16
#: More threads of guests than this for one housekeeping CPU are many.
THREADS = 8
RULE = "rule of this collection, docs/partition.md"


def remark(place: str, text: str, remedy: str = "", source: str = "") -> dict[str, str]:
    """Return a remark as plain data."""
    return {"place": place, "text": text, "remedy": remedy, "source": source}


def remarks_of(results: Results, guests: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the remarks on a node's plan; ``guests`` are those of the plan."""
    partition = results.get("partition", {}).get("partition") or {}
    found = [remark("CPU sets", str(warning)) for warning in partition.get("warnings", ())]
    if partition:
        cpus = (results["partition"].get("topology") or {}).get("cpus") or {}
        threads = max((len(parse_or_empty(cpu["siblings"])) for cpu in cpus.values()), default=1)
        found += [*small_housekeeping(partition, threads), *busy_housekeeping(partition, guests)]
    found += _reboot(results.get("kernel", {}))
    found += _unlisted(results)
    found += _restarts(results.get("guests", {}))
    return found


def small_housekeeping(partition: Mapping[str, Any], threads: int) -> Iterator[dict[str, str]]:
    """Remark on a housekeeping set that is small against the machine; ``threads``: of each core."""
    sets = partition["sets"]
    every = len(parse_or_empty(partition["idle"]["cpus"])) + sum(len(parse_or_empty(sets[name]["cpus"])) for name in SETS)
    keep = parse_or_empty(sets["housekeeping"]["cpus"])
    if not keep or len(keep) * RATIO >= every:
        return
    cores = ceil(every / RATIO / threads / len(partition["numa_nodes"]))
    yield remark(
        "housekeeping CPUs",
        f"{len(keep)} of {every} CPUs ({format_cpulist(keep)}) serve the operating system, all interrupts and the guests' emulator threads; that is "
        f"less than one of {RATIO}",
        f"consider {HOUSEKEEPING}: {cores}, or numbers by NUMA node, such as {{0: {cores}}}",
        RULE,
    )


def busy_housekeeping(partition: Mapping[str, Any], guests: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """Remark on NUMA nodes where guests' emulator threads, I/O threads and ordinary vCPUs crowd the housekeeping CPUs."""
    keep = parse_or_empty(partition["sets"]["housekeeping"]["cpus"])
    for node, text in sorted(partition["numa_nodes"].items(), key=lambda item: int(item[0])):
        here = keep & parse_or_empty(text)
        emulators = [guest for guest in guests if guest["state"] != "absent" and parse_or_empty(guest["emulator"]) & here]
        floating = [guest for guest in guests if guest["state"] != "absent" and parse_or_empty(guest["floating"]) & here]
        vcpus = sum(int(guest["vcpu_count"]) for guest in floating)
        if not here or len(emulators) + vcpus <= THREADS * len(here):
            continue
        ordinary = f" and {counted(vcpus, 'ordinary vCPU')}" if vcpus else ""
        remedy = f"consider more cores there ({HOUSEKEEPING}: {{{node}: 2}})"
        if vcpus:
            remedy += ", or cores for the ordinary vCPUs (cpu_partition_shared_cores_per_node)"
        yield remark(
            f"housekeeping CPUs of NUMA node {node}",
            f"the emulator threads of {counted(len(emulators), 'guest')}{ordinary} may share CPUs {format_cpulist(here)}; that is more than {THREADS} for one",
            remedy,
            RULE,
        )


def _reboot(kernel: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    guests = kernel.get("running_guests", []) if awaited_boot(kernel) else []
    if guests:
        yield remark(
            "reboot",
            f"guests run: {', '.join(map(str, guests))}",
            "the reboot needs rt_kernel_reboot_with_guests: true, which shuts them down first and starts them again after it",
        )
    if kernel.get("stopped_guests"):
        stopped = ", ".join(map(str, kernel["stopped_guests"]))
        yield remark(
            "guests",
            f"{stopped} were shut down by an earlier run and wait for their start",
            "a run of site or update starts them",
        )
    for note in kernel.get("protection", {}).get("notes", []):
        yield remark("kernel", str(note))


def _unlisted(results: Results) -> Iterator[dict[str, str]]:
    guests = results.get("guests", {})
    if guests.get("unlisted"):
        yield remark(
            "guests",
            f"not listed any more, and left as they are: {', '.join(map(str, guests['unlisted']))}",
            "list them again in realtime_guests, or give them state: absent there to remove them",
        )
    kernel = results.get("kernel", {})
    if guests.get("skipped") and kernel.get("running_guests") and not awaited_boot(kernel):
        yield remark(
            "guests",
            f"run here, and the inventory lists neither guests nor networks: {', '.join(map(str, kernel['running_guests']))}",
            "list them in realtime_guests, or shut them down",
        )
    ports = results.get("switch", {}).get("unlisted") or []
    if ports:
        yield remark(
            "switch",
            f"not listed any more, and left as they are: {', '.join(map(str, ports))}",
            "list their network with state: absent to remove them",
        )


def _restarts(guests: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for name, elements in sorted((guests.get("restart_required") or {}).items()):
        yield remark(
            f"guest {name}",
            f"takes these changes only when it restarts: {', '.join(map(str, elements))}",
            "restart it, or allow it with rt_guest_restart: true",
        )
