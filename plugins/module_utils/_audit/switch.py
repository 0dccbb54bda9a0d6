# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch: where its poll-mode threads run, which of them serves which queue and which one should, which ports have a link. Pure.

The database holds the request. Another thread serves a queue whose thread is missing, without an error
(Documentation/topics/dpdk/pmd.rst of Open vSwitch), so the daemon itself is asked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .._cpus.answers import plain
from .._cpus.cpulist import CpuListError, format_cpulist
from .._cpus.masks import format_hex, parse_mask
from .._cpus.partition import Partition
from .._guests.pinning import core_of
from .._switch.plan import PHYSICAL
from .._switch.rows import Row
from .findings import Finding
from .running import Actor

#: Characters of a value of the database that a finding shows.
_SHOWN = 80
#: Prints the queues of every poll-mode thread.
SHOW_QUEUES = ("ovs-appctl", "--timeout=10", "dpif-netdev/pmd-rxq-show")


def parse_placement(text: str) -> dict[tuple[str, int], int]:
    """Return port and queue to the CPU of the thread that serves it, as ``dpif-netdev/pmd-rxq-show`` prints them."""
    placed: dict[tuple[str, int], int] = {}
    core = None
    for line in text.splitlines():
        thread = re.match(r"pmd thread numa_id \d+ core_id (\d+):", line)
        queue = re.match(r"\s+port: (\S+)\s+queue-id:\s+(\d+)", line)
        if thread:
            core = int(thread[1])
        elif queue and core is not None:
            placed[queue[1], int(queue[2])] = core
    return placed


def check_links(interfaces: Iterable[Row], running: Collection[str]) -> list[Finding]:
    """The ports of running guests (guest-link) and those out of the node (port-link) have a link; a guest that still boots has none yet."""
    findings = []
    for row in interfaces:
        if row.network is None or row.columns.get("link_state") != "down" or (row.guest and row.guest not in running):
            continue
        where = f"port {row.name}"
        if row.guest:
            actual = "down, although the guest runs" + ("" if row.connected else "; the switch is not connected to its socket")
            remedy = f"wait until the guest has booted; then look at its driver (virtio-net) and at ovs-vsctl list Interface {row.name}"
            findings.append(Finding("guest-link", where, "up", actual, remedy))
        elif row.type == PHYSICAL:
            findings.append(
                Finding("port-link", where, "up", "down", "look at the cable, the other end, and the device's driver")
            )
    return findings


def check_mask(mask: str | None, partition: Partition) -> list[Finding]:
    """The database gives the switch's poll-mode threads the dataplane CPUs, all of them and no other."""
    wanted = partition.sets["dataplane"]
    if masked(mask) == wanted:
        return []
    return [
        Finding(
            "pmd-mask",
            "pmd-cpu-mask of Open vSwitch",
            f"{format_hex(wanted)} (CPUs {format_cpulist(wanted) or 'none'})",
            "absent" if mask is None else f"{plain(mask, _SHOWN)} (CPUs {format_cpulist(masked(mask)) or 'none'})",
            "run the site playbook (ovs_dpdk role), or ovs-vsctl set Open_vSwitch . other_config:pmd-cpu-mask="
            + format_hex(wanted),
        )
    ]


def masked(mask: str | None) -> frozenset[int]:
    """Return the CPUs of a mask of the database; none for one that cannot be read."""
    try:
        return parse_mask(mask or "")
    except CpuListError:
        return frozenset()


def check_placement(ports: Iterable[Mapping[str, Any]], placed: Mapping[tuple[str, int], int]) -> list[Finding]:
    """The thread that a queue is pinned to serves it; a queue that the daemon does not show does not exist yet."""
    findings = []
    for port in ports:
        for queue, cpu in sorted(port["affinity"].items(), key=lambda item: int(item[0])):
            actual = placed.get((port["name"], int(queue)))
            if actual is not None and actual != cpu:
                findings.append(
                    Finding(
                        "rxq-placement",
                        f"port {port['name']} queue {queue}",
                        f"the poll-mode thread of CPU {cpu}",
                        f"that of CPU {actual}",
                        "look for a missing thread (ovs-appctl dpif-netdev/pmd-rxq-show), "
                        "then ovs-appctl dpif-netdev/pmd-rxq-rebalance",
                    )
                )
    return findings


def check_polling(pmds: Iterable[Actor], partition: Partition, *, documented: bool, masked: bool = False) -> list[Finding]:
    """Each poll-mode thread is bound to one dataplane CPU; without a partition file the dataplane CPUs are unknown.

    ``masked``: the mask is wrong, and has a finding of its own; it explains a thread on the CPU for which the switch has made it, and no other.
    """
    findings = []
    allowed = partition.sets["dataplane"] if documented else frozenset(range(1 << 16))
    for pmd in pmds:
        resource = f"{pmd.name} (thread {pmd.tid})"
        if len(pmd.cpus) != 1 or not (pmd.cpus <= allowed or (masked and pmd.cpus == {core_of(pmd.name)})):
            findings.append(
                Finding(
                    "pmd-pin",
                    resource,
                    f"one of the dataplane CPUs {format_cpulist(partition.sets['dataplane'])}" if documented else "one CPU",
                    f"CPUs {format_cpulist(pmd.cpus)}",
                    "run the ovs_dpdk role, which sets pmd-cpu-mask; for a thread moved by hand: taskset -cp CPU " + str(pmd.tid),
                )
            )
        if pmd.realtime:
            findings.append(
                Finding(
                    "pmd-policy",
                    resource,
                    "other: it spins, so no other thread, not even the kernel's own, would run on its CPU",
                    pmd.scheduler,
                    f"run chrt -o -p 0 {pmd.tid}",
                )
            )
    return findings
