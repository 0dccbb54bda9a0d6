# SPDX-License-Identifier: GPL-3.0-or-later
"""Which poll-mode thread serves which queue, and which one should. Pure.

The database holds the request. Another thread serves a queue whose thread is missing, without an error
(Documentation/topics/dpdk/pmd.rst of Open vSwitch), so the daemon itself is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .findings import Finding

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
