# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node's clock follows, in a line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

_MOST = 120
#: What the line is made of; the answer is a node's.
FORM = {
    "source": str, "services": {str: str}, "stamping": str, "synchronised": bool, "reference": str, "offset_us": (int, float, type(None)),
    "limit_us": (int, float), "why": str,
}  # fmt: skip


def clock_text(clock: Mapping[str, Any]) -> str:
    """Return what a clock follows, how far it is off, who stamps the packets, and where its services run; empty where nothing was set up."""
    if not clock:
        return ""
    state = f"not synchronised: {clock['why']}"
    if clock["synchronised"]:
        offset, limit = clock["offset_us"], clock["limit_us"]
        far = "of unknown offset" if offset is None else f"{offset:+g} \u00b5s off"
        beyond = f", above the limit of {limit:g} \u00b5s" if offset is not None and 0 < limit < abs(offset) else ""
        state = f"follows {clock['reference']}, {far}{beyond}"
    services = ", ".join(f"{name} on CPUs {cpus}" for name, cpus in sorted(clock["services"].items()))
    parts = (f"{clock['source']}: {state}", f"{clock['stamping']} time stamps", services or "no service runs")
    return "; ".join(plain(part, _MOST) for part in parts)
