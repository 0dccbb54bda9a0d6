# SPDX-License-Identifier: GPL-3.0-or-later
"""bmc_reset: the reset of a machine that does not answer, through its BMC."""

from __future__ import annotations

from functools import partial
from typing import Any

from .._firmware.connection import Access
from .._firmware.reset import plan_reset
from .._host.change import Change
from ._common import Outcome
from .bios_baseline import ACCESS, FirmwareEdges

ARGUMENTS = ACCESS


def run(edges: FirmwareEdges, parameters: dict[str, Any]) -> Outcome:
    """Plan the reset; a machine that is off is switched on."""
    bmc = edges.connect(Access(**{name: parameters[name] for name in ARGUMENTS}))
    reset = plan_reset(bmc.system())
    change = Change("power", reset.power or "unknown", reset.kind, "reboot", "the node does not answer")
    edges.planner.follow_up(change, partial(bmc.post, reset.target, {"ResetType": reset.kind}))
    return Outcome({"bmc": bmc.base, "reset_type": reset.kind})
