# SPDX-License-Identifier: GPL-3.0-or-later
"""Which reset of Redfish brings a machine back that does not answer.

Pure. Source: DMTF DSP2046, ComputerSystem, actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._cpus.errors import RefusalError

_ACTION = "#ComputerSystem.Reset"
#: Resets in the order of preference; the system that hangs cannot take part in a graceful one.
_ON = ("ForceRestart", "PowerCycle")
_OFF = ("On", "ForceOn")


class ResetError(RefusalError):
    """The BMC offers no reset that would help."""


@dataclass(frozen=True)
class Reset:
    """A request: where to, and the type."""

    target: str
    kind: str
    power: str  #: the power state before


def plan_reset(system: Mapping[str, Any]) -> Reset:
    """Return the reset for a system as its BMC describes it."""
    actions = system.get("Actions")
    action = actions.get(_ACTION) if isinstance(actions, dict) else None
    target = action.get("target") if isinstance(action, dict) else None
    if not isinstance(action, dict) or not isinstance(target, str) or not target.startswith("/"):
        raise ResetError("the BMC offers no reset of its system (action ComputerSystem.Reset); reset the node by hand")
    power = str(system.get("PowerState") or "")
    wanted = _OFF if power == "Off" else _ON
    allowed = action.get("ResetType@Redfish.AllowableValues")
    if not isinstance(allowed, list) or not allowed:
        return Reset(target, wanted[0], power)
    for kind in wanted:
        if kind in allowed:
            return Reset(target, kind, power)
    raise ResetError(
        f"the BMC allows none of the resets {', '.join(wanted)} for a system that is {power or 'in an unknown state'}; it has "
        f"{', '.join(str(one)[:40] for one in allowed[:20])}. Reset the node by hand"
    )
