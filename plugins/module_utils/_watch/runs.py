# SPDX-License-Identifier: GPL-3.0-or-later
"""When the playbooks last reached their ends on a node, for its metrics. Edge.

It is kept only where rt_metrics is set up. It is no change: a run that finds nothing to do leaves its time, too.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from typing import Any

from .._cpus.answers import AnswerError, decode
from .._host import files
from .._host.paths import RUNS, config_path

#: The playbooks whose runs count.
PLAYBOOKS = ("site", "verify", "guests")
_SCHEMA = 1
_MOST_BYTES = 1 << 16


def read_runs(root: str = "") -> dict[str, int]:
    """Return the time of each playbook's last run, in seconds since 1970; none where nothing is kept, or it is damaged."""
    try:
        content = files.read_file(f"{root}{RUNS}", _MOST_BYTES)
        return dict(decode(content or b"", {"schema": int, "runs": {str: int}}, most=_MOST_BYTES)["runs"])
    except (OSError, OverflowError, AnswerError):
        return {}


def leave_runs(names: Collection[str], root: str = "", now: float | None = None) -> str:
    """Keep that these playbooks have reached their ends; return why that failed, mostly nothing."""
    if not names or not os.path.lexists(f"{root}{config_path('rt_metrics')}"):
        return ""
    at = int(time.time() if now is None else now)
    document: dict[str, Any] = {"schema": _SCHEMA, "runs": {**read_runs(root), **dict.fromkeys(names, at)}}
    try:
        files.write_file(f"{root}{RUNS}", (json.dumps(document, indent=1, sort_keys=True) + "\n").encode(), 0o644)
    except OSError as error:
        return f"{RUNS} cannot be written ({error.strerror}), so metrics do not know of this run"
    return ""
