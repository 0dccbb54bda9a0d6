# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""irq_affinity: which CPUs serve interrupts."""

from __future__ import annotations

from typing import Any

from .._host.document import require_partition
from .._host.host import Host
from .._host.runner import Runner
from .._interrupts.interrupts import stuck_interrupts
from .._interrupts.irqbalance import plan_irqbalance, undo_irqbalance
from .._runtime.features import plan_feature, undo_feature


def run(host: Host, runner: Runner, parameters: dict[str, Any]) -> dict[str, Any]:
    """Plan the module's changes on the host and return its result."""
    if parameters["state"] == "absent":
        undo_irqbalance(host, runner)
        undo_feature(host)
        return {"deferred": False, "managed": []}
    partition = require_partition(host, parameters["partition"])
    if parameters["irqbalance"]:
        plan_irqbalance(host, runner, partition)
    else:
        undo_irqbalance(host, runner)
    deferred = plan_feature(host, "irq_affinity", partition, {})
    return {"deferred": deferred, "managed": stuck_interrupts(host, partition)}
