# SPDX-License-Identifier: GPL-3.0-or-later
"""guest_os: what the inside of a guest has that a node has not: the node's clock."""

from __future__ import annotations

from typing import Any

from .._cpus.errors import HostError
from .._cpus.partition import PartitionError
from .._host.document import require_partition
from .._host.host import Host
from .._runtime.ptp_kvm import find_clock, find_obstacle, keep_clock, plan_clock, undo_clock
from ._common import LIMIT, Edges, Outcome

#: The module's options; M(guest_os) describes them.
OPTIONS: dict[str, Any] = {
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "partition": {"type": "dict"},
    "ptp_kvm": {"type": "bool"},
    "node_clock_source": {"type": "str", "default": ""},
    "fsroot": {"type": "path", "default": "/"},
}
#: The clock source of a node that could not be asked.
UNKNOWN = "unknown"
CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the module of the node's clock; after the changes, its device is read."""
    host, asks, planned = edges.host, False, False
    if parameters["state"] == "absent" or parameters["ptp_kvm"] is False:
        undo_clock(host, edges.runner)
    elif host.captured:
        host.notes.append("guest_os: a snapshot shows no kernel modules")
    else:
        _check_guest(host, parameters)
        asks, planned = _plan(edges, parameters["ptp_kvm"], parameters["node_clock_source"].strip())

    def look() -> dict[str, Any]:
        return {"clock": find_clock(host), "clock_source": host.value(CLOCK_SOURCE) or "", "asks_node": asks}

    def settle() -> dict[str, Any]:
        if planned:
            keep_clock(host)
        return look()

    return Outcome(look(), after=settle)


def _plan(edges: Edges, asked_for: bool | None, node_source: str) -> tuple[bool, bool]:
    """Plan the clock where nothing speaks against it; return whether only the node can say, and whether it is to be there."""
    host, known = edges.host, "" if node_source == UNKNOWN else node_source
    there = bool(find_clock(host))
    obstacle = "" if there else find_obstacle(host, known)
    asks = not (there or obstacle or node_source)
    planned = not obstacle and bool(asked_for or there or known)
    if obstacle and asked_for:
        raise HostError(f"guest_os_ptp_kvm: true asks for the clock of the node, but {obstacle}. Mend that, or set it to auto")
    if obstacle:
        undo_clock(host, edges.runner)
        host.notes.append(f"guest_os: the guest does without the clock of its node: {obstacle}. Nothing else depends on it")
    elif planned:
        plan_clock(host, edges.runner, required=bool(asked_for))
    elif node_source:
        host.notes.append(
            "guest_os: the node could not be asked for its clock source, so the guest's clock is left as it is; guest_os_ptp_kvm: true tries it"
        )
    return asks, planned


def _check_guest(host: Host, parameters: dict[str, Any]) -> None:
    if require_partition(host, parameters["partition"]).guest is None:
        raise PartitionError(
            "guest_os: this machine has the partition of a node, which has no node's clock; guest_os is for the guests of realtime_guest_os"
        )
