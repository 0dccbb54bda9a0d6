# SPDX-License-Identifier: GPL-3.0-or-later
"""package_update: all updates of a node, held packages included."""

from __future__ import annotations

from typing import Any

from .._host.updates import names_left, plan_updates, restart_owed
from ._common import Edges, Outcome


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the updates; what is left after them is read back."""
    host, runner = edges.host, edges.runner
    plan_updates(host, runner, refresh=parameters["refresh"])
    results = {"left": [], "restart_owed": restart_owed(host) or any(change.disruption == "reboot" for change in host.changes)}
    return Outcome(results, after=(lambda: {"left": names_left(host, runner)}) if host.changes else None)
