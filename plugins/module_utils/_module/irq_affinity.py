# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""irq_affinity: which CPUs serve interrupts."""

from __future__ import annotations

from functools import partial
from typing import Any

from .._boot import Runner
from .._host import Host
from .._interrupts import IRQBALANCE_DROP_IN, plan_irqbalance, stuck_interrupts
from .._runtime import plan_feature, require_partition, undo_feature
from .._services import reload_systemd

_IRQBALANCE = "irqbalance.service"


def run(host: Host, runner: Runner, parameters: dict[str, Any]) -> dict[str, Any]:
    """Plan the module's changes on the host and return its result."""
    if parameters["state"] == "absent":
        touched = IRQBALANCE_DROP_IN in host.entries("file")
        undo_feature(host)
        return {
            "deferred": False,
            "managed": [],
            "after_commit": partial(reload_systemd, host, runner, _IRQBALANCE) if touched else None,
        }
    partition = require_partition(host, parameters["partition"])
    units = parameters["irqbalance"] and plan_irqbalance(host, partition)
    deferred = plan_feature(host, "irq_affinity", partition, {})
    return {
        "deferred": deferred,
        "managed": stuck_interrupts(host, partition),
        "after_commit": partial(reload_systemd, host, runner, _IRQBALANCE) if units else None,
    }
