# SPDX-License-Identifier: GPL-3.0-or-later
"""rt_metrics: the node writes its metrics for node_exporter, and audits itself."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from functools import partial
from typing import Any

from .._cpus.errors import HostError
from .._host.current import require_current_partition
from .._host.daemons import read_units
from .._host.host import Host, Runner
from .._node.watch_archive import build_watch_archive
from .._watch.folder import find_folder
from .._watch.options import WatchOptions, check_intervals
from .._watch.plan import plan_watch, release_of, undo_watch
from .._watch.units import unit_texts
from . import _self_audit
from ._common import LIMIT, Edges, Outcome

#: The module's options; M(rt_metrics) describes them.
OPTIONS: dict[str, Any] = {
    **LIMIT,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "partition": {"type": "dict"},
    "enabled": {"type": "bool"},
    "directory": {"type": "str", "default": ""},
    "interval_s": {"type": "int", "default": 15},
    "audit": {"type": "bool", "default": True},
    "audit_interval_s": {"type": "int", "default": 60},
    "fsroot": {"type": "path", "default": "/"},
}


def run(edges: Edges, parameters: dict[str, Any]) -> Outcome:
    """Plan archive, options and timers; without ``enabled``, nothing is looked at."""
    host, runner = edges.host, edges.runner
    if parameters["state"] == "absent" or parameters["enabled"] is False:
        undo_watch(host, runner)
        return Outcome({"directory": "", "units": []})
    if parameters["enabled"] is None:
        return Outcome({"directory": "", "units": []})
    check_intervals(parameters)
    partition, _topology = require_current_partition(host, parameters["partition"])
    folder = find_folder(host, parameters["directory"])
    if folder.note:
        host.notes.append(f"rt_metrics: {folder.note}")
    archive = build_watch_archive(_self_audit.ENTRY)
    options = WatchOptions(
        folder.path, parameters["interval_s"], parameters["audit"], parameters["audit_interval_s"], release_of(archive)
    )
    plan_watch(host, runner, partition, options, archive)
    timers = [posixpath.basename(path) for path in unit_texts(partition, options) if path.endswith(".timer")]
    started = any(change.resource.startswith("service:") for change in host.changes)
    return Outcome(
        {"directory": folder.path, "units": timers}, after=partial(_read_back, host, runner, timers) if started else None
    )


def _read_back(host: Host, runner: Runner, timers: list[str]) -> Mapping[str, Any]:
    """Refuse where a timer does not run although it was started."""
    if host.captured:
        return {}
    states = read_units(runner, timers)
    if missing := [name for name in timers if name not in states or not states[name].active]:
        raise HostError(
            f"{missing[0]} was started, but does not run; see systemctl status {missing[0]}. Its files are written; the next run starts it again, and "
            "undo takes them back"
        )
    return {}
