# SPDX-License-Identifier: GPL-3.0-or-later
"""irq_affinity: which CPUs serve interrupts."""

from __future__ import annotations

from typing import Any

from .._host.current import require_current_partition
from .._interrupts.interrupts import stuck_interrupts
from .._interrupts.irqbalance import plan_irqbalance, undo_irqbalance
from .._runtime.feature import plan_feature, undo_feature
from .._runtime.interrupts import INTERRUPTS
from ._common import Edges, Outcome


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the moves of interrupts; moves that the kernel refuses are read back."""
    host = edges.host
    if parameters["state"] == "absent":
        undo_irqbalance(host, edges.runner)
        undo_feature(host)
        return Outcome({"deferred": False, "managed": []})
    partition, _topology = require_current_partition(host, parameters["partition"])
    if parameters["irqbalance"]:
        plan_irqbalance(host, edges.runner, partition)
    else:
        undo_irqbalance(host, edges.runner)
    deferred = plan_feature(host, INTERRUPTS, partition, {})

    def look() -> dict[str, Any]:
        return {"managed": stuck_interrupts(host, partition)}

    return Outcome({"deferred": deferred, **look()}, after=look)
