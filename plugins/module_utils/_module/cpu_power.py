# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_power: governor, turbo and idle states."""

from __future__ import annotations

from typing import Any

from .._host.current import require_current_partition
from .._runtime.feature import plan_feature, undo_feature
from .._runtime.power import POWER
from ._common import LIMIT, Edges, Outcome

#: The module's options; M(cpu_power) describes them.
OPTIONS: dict[str, Any] = {
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "partition": {"type": "dict"},
    "governor": {"type": "str", "choices": ["performance", "keep"], "default": "performance"},
    "turbo": {"type": "str", "choices": ["keep", "off"], "default": "keep"},
    "cstates": {"type": "str", "choices": ["C1", "C0", "keep"], "default": "C1"},
    "fsroot": {"type": "path", "default": "/"},
}


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan the values that differ; each is read back when written."""
    host = edges.host
    if parameters["state"] == "absent":
        undo_feature(host)
        return Outcome({"deferred": False})
    partition, _topology = require_current_partition(host, parameters["partition"])
    options = {name: parameters[name] for name in POWER.options}
    return Outcome({"deferred": plan_feature(host, POWER, partition, options)})
