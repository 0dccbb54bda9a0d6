# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_os: what the inside of a guest has that a node has not: the node's clock."""

from __future__ import annotations

from typing import Any

from .._cpus.partition import PartitionError
from .._host.document import require_partition
from .._host.host import Host
from .._runtime.ptp_kvm import find_clock, plan_clock, undo_clock
from ._common import LIMIT, Edges, Outcome

#: The module's options; M(guest_os) describes them.
OPTIONS: dict[str, Any] = {
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "partition": {"type": "dict"},
    "ptp_kvm": {"type": "bool", "default": True},
    "fsroot": {"type": "path", "default": "/"},
}
CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the module of the node's clock; after the changes, its device is read."""
    host = edges.host
    if parameters["state"] == "absent" or not parameters["ptp_kvm"]:
        undo_clock(host, edges.runner)
    elif host.captured:
        host.notes.append("guest_os: a snapshot shows no kernel modules")
    else:
        _check_guest(host, parameters)
        plan_clock(host, edges.runner)

    def look() -> dict[str, Any]:
        return {"clock": find_clock(host), "clock_source": host.value(CLOCK_SOURCE) or ""}

    return Outcome(look(), after=look)


def _check_guest(host: Host, parameters: dict[str, Any]) -> None:
    if require_partition(host, parameters["partition"]).guest is None:
        raise PartitionError(
            "guest_os: this machine has the partition of a node, which has no node's clock; guest_os is for the guests of realtime_guest_os"
        )
