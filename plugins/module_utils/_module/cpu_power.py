# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cpu_power: governor, turbo and idle states."""

from __future__ import annotations

from typing import Any

from .._host.document import require_partition
from .._host.host import Host
from .._host.runner import Runner
from .._runtime.features import plan_feature, undo_feature


def run(host: Host, runner: Runner, parameters: dict[str, Any]) -> dict[str, Any]:
    """Plan the module's changes on the host and return its result."""
    del runner
    if parameters["state"] == "absent":
        undo_feature(host)
        return {"deferred": False}
    partition = require_partition(host, parameters["partition"])
    options = {name: parameters[name] for name in ("governor", "turbo", "cstates")}
    return {"deferred": plan_feature(host, "cpu_power", partition, options)}
