# SPDX-License-Identifier: GPL-3.0-or-later
"""irq_affinity: which CPUs serve interrupts."""

from __future__ import annotations

from functools import partial
from typing import Any

from .._host.current import require_current_partition
from .._host.host import Host
from .._host.threads import restore_threads
from .._interrupts.interrupts import stuck_interrupts
from .._interrupts.irqbalance import plan_irqbalance, undo_irqbalance
from .._interrupts.watcher import plan_watcher, undo_watcher
from .._runtime.feature import plan_feature, undo_feature
from .._runtime.interrupts import INTERRUPTS
from ._common import LIMIT, Edges, Outcome

#: The module's options; M(irq_affinity) describes them.
OPTIONS: dict[str, Any] = {
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "partition": {"type": "dict"},
    "irqbalance": {"type": "bool", "default": True},
    "watcher": {"type": "bool", "default": True},
    "fsroot": {"type": "path", "default": "/"},
}


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the moves of interrupts; moves that the kernel refuses are read back."""
    host = edges.host
    if parameters["state"] == "absent":
        undo_irqbalance(host, edges.runner)
        undo_watcher(host, edges.runner, restore=partial(_restore, host))
        return Outcome({"deferred": False, "managed": []})
    partition, _topology = require_current_partition(host, parameters["partition"])
    if parameters["irqbalance"]:
        plan_irqbalance(host, edges.runner, partition)
    else:
        undo_irqbalance(host, edges.runner)
    deferred = plan_feature(host, INTERRUPTS, partition, {})
    if parameters["watcher"]:
        plan_watcher(host, edges.runner, partition, waits=deferred)
    else:
        undo_watcher(host, edges.runner)
    if (
        not partition.isolated
    ):  # interrupts may be where they were; the watcher, which never does this, needs no journal for a look
        restore_threads(host)
        host.restore_values()

    def look() -> dict[str, Any]:
        return {"managed": stuck_interrupts(host, partition)}

    return Outcome({"deferred": deferred, **look()}, after=look)


def _restore(host: Host) -> None:
    restore_threads(host)
    undo_feature(host)
