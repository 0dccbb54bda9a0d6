# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is told about its metrics and its own audit, and the bounds of that. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._cpus.answers import AnswerError, decode
from .._cpus.errors import HostError

#: The file in the folder of node_exporter's textfile collector, which reads every ``*.prom`` there.
OUTPUT = "realtime_kvm.prom"
#: How it begins, and what a pass that was killed leaves beside it.
MARK = "# Written by realtime.kvm (rtpart metrics --write), which replaces this file as a whole.\n"
HALF = ".realtime_kvm.new"
#: Seconds between two passes, and between the end of an audit and the next. Below, the node would be busy with itself; above, alerts would be late.
INTERVALS, AUDIT_INTERVALS = (5, 300), (30, 3600)
_FORM = {"directory": str, "interval_s": int, "audit": bool, "audit_interval_s": int}


@dataclass(frozen=True)
class WatchOptions:
    """The options of the role rt_metrics as the node keeps them; ``release`` is the digest of the archive that belongs to them."""

    directory: str
    interval_s: int
    audit: bool
    audit_interval_s: int
    release: str = ""

    @property
    def output(self) -> str:
        """The file that the timer writes."""
        return f"{self.directory}/{OUTPUT}"

    @property
    def text(self) -> str:
        """The options as the node keeps them."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"


def check_intervals(parameters: Mapping[str, Any]) -> None:
    """Refuse intervals out of their bounds."""
    for name, (least, most) in {"interval_s": INTERVALS, "audit_interval_s": AUDIT_INTERVALS}.items():
        if not least <= parameters[name] <= most:
            raise HostError(f"rt_metrics_{name}: {parameters[name]} is not in {least}-{most} seconds")


def parse_options(text: str) -> WatchOptions:
    """Return the options that a node keeps; ``AnswerError`` for a damaged file. Keys of a newer release are ignored."""
    found = decode(text, _FORM)
    release = found.get("release", "")
    if not isinstance(release, str):
        raise AnswerError("release is no text")
    return WatchOptions(**{name: found[name] for name in _FORM}, release=release)
