# SPDX-License-Identifier: GPL-3.0-or-later
"""Which threads of a guest may share a core, and what the guest is told about it. Pure.

Threads of one core share its units and caches, so SMT and real time do not go together (libvirt's page on real-time KVM,
Nova's guide to real-time guests). On a node with ``smt: together`` a guest's ``siblings`` decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .._cpus.cpulist import format_cpulist
from .._cpus.errors import RefusalError
from .._cpus.topology import Topology
from .guest import Guest


class SiblingsError(RefusalError):
    """A guest's threads cannot share cores as it asks; the message names its vCPUs."""


def _kind(guest: Guest, thread: str, width: int) -> str:
    """Return what a thread shares its core with: threads of the same kind."""
    if guest.siblings == "any":
        return "any"
    if guest.siblings == "realtime":  # vCPUs that the guest is told are one core
        return f"core {int(thread[4:]) // width}" if thread.startswith("vcpu") else thread
    return thread if is_realtime(guest, thread) else "ordinary"


def is_realtime(guest: Guest, thread: str) -> bool:
    """Whether a thread is a real-time vCPU."""
    return thread.startswith("vcpu") and int(thread[4:]) in guest.realtime_vcpus


def check_siblings(guest: Guest, width: int) -> None:
    """Refuse ``siblings: realtime`` where a core of the guest would hold vCPUs of both kinds, or be half a core."""
    if guest.siblings != "realtime" or width == 1 or not guest.realtime:
        return
    for first in range(0, guest.vcpus, width):
        core = range(first, min(first + width, guest.vcpus))
        kinds = {vcpu in guest.realtime_vcpus for vcpu in core}
        if len(kinds) > 1 or len(core) < width:
            what = "are not both of one kind" if len(kinds) > 1 else f"are no whole core of {width} threads"
            raise SiblingsError(
                f"realtime_guests: {guest.name}: siblings realtime puts vCPUs {format_cpulist(core)} on one core, but they {what}; "
                f"give vcpus and realtime_vcpus in whole groups of {width} (0-{width - 1}, {width}-{2 * width - 1}, ...), "
                "or siblings: idle"
            )


def assign(
    guest: Guest, threads: Iterable[str], cores: Sequence[Sequence[int]], pins: Mapping[str, int], width: int
) -> dict[str, int] | None:
    """Return a CPU for each thread, on cores that the guest uses already before others; None where they do not fit.

    ``cores`` are those that no other guest uses, ``pins`` the CPUs that the guest's other threads have.
    """
    users = {cpu: thread for thread, cpu in pins.items()}
    found: dict[str, int] = {}
    for thread in threads:
        kind = _kind(guest, thread, width)
        for core in sorted(cores, key=lambda core: not any(cpu in users for cpu in core)):
            free = [cpu for cpu in core if cpu not in users]
            if free and all(_kind(guest, users[cpu], width) == kind for cpu in core if cpu in users):
                users[free[0]] = thread
                found[thread] = free[0]
                break
        else:
            return None
    return found


def allowed(guest: Guest, pins: Mapping[str, int], topology: Topology, width: int) -> dict[str, int]:
    """Return the pins that may stay; of threads that must not share a core, a real-time vCPU stays."""
    kept: dict[str, int] = {}
    for thread in sorted(pins, key=lambda thread: not is_realtime(guest, thread)):
        core = topology.core_of(pins[thread])
        if all(_kind(guest, other, width) == _kind(guest, thread, width) for other, cpu in kept.items() if cpu in core):
            kept[thread] = pins[thread]
    return {thread: cpu for thread, cpu in pins.items() if thread in kept}


def cores_needed(guest: Guest, threads: Iterable[str], width: int) -> int:
    """Return how many cores the threads fill at least."""
    return sum(-(-count // width) for count in Counter(_kind(guest, thread, width) for thread in threads).values())


def told_threads(vcpus: Mapping[int, frozenset[int]], topology: Topology) -> int:
    """Return the threads per core that a guest with these pins is told; 1 where cores hold different numbers of its vCPUs."""
    cores = [topology.core_of(min(vcpus[vcpu])) for vcpu in sorted(vcpus)]
    for width in range(2, topology.threads_per_core + 1):
        groups = [cores[first : first + width] for first in range(0, len(cores), width)]
        whole = all(len(group) == width and len(set(group)) == 1 for group in groups)
        if whole and len(set(cores)) == len(groups):
            return width
    return 1
