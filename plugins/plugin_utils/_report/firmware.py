# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's firmware in the report, from the result of bios_baseline_info. Pure; what a BMC answers is data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

#: Symbol and words of each state.
STATES = {
    "compliant": ("✔", "as its baseline says"),
    "differs": ("▲", "differs from its baseline"),
    "locked": ("▲", "locked: wanted settings cannot be set"),
    "unsupported": ("▲", "unsupported: this machine lacks wanted values or attributes"),
    "unread": ("✖", "could not be read"),
    "not asked": ("○", "not asked"),
}
#: Bounds of what is shown: settings, and characters of a text.
_MOST_ROWS, _MOST_WORDS = 200, 300
_FINE = ("ok", "kept")


def firmware_of(result: Any) -> dict[str, Any]:
    """Return what the page shows of a node's firmware; a result in any other form could not be read, none at all was not asked for."""
    if not isinstance(result, Mapping) or result.get("skipped"):
        return _shown("not asked")
    if result.get("failed") or result.get("unreachable"):
        return _shown("unread", _text(result.get("msg")))
    state = result.get("state")
    if not isinstance(state, str) or state not in ("compliant", "differs", "locked", "unsupported"):
        return _shown("unread", "its result has no known state")
    system = result.get("system")
    system = system if isinstance(system, Mapping) else {}
    parts = [_text(system.get(key)) for key in ("manufacturer", "model")] + [
        f"BIOS {_text(system.get('bios_version')) or 'unknown'}"
    ]
    listed = result.get("attributes")
    rows = (
        [one for one in listed if isinstance(one, Mapping) and one.get("state") not in _FINE] if isinstance(listed, list) else []
    )
    return {
        **_shown(state, _text(result.get("outcome"))),
        "system": " ".join(part for part in parts if part),
        "rows": [_row(one) for one in rows[:_MOST_ROWS]],
        "more": max(len(rows) - _MOST_ROWS, 0),
    }


def _shown(state: str, outcome: str = "") -> dict[str, Any]:
    symbol, words = STATES[state]
    return {"state": state, "symbol": symbol, "text": words, "outcome": outcome, "system": "", "rows": [], "more": 0}


def _row(item: Mapping[str, Any]) -> dict[str, str]:
    note, reason = _text(item.get("note")), _text(item.get("reason"))
    keys = {"name": "attribute", "is": "current", "wanted": "wanted", "state": "state"}
    return {**{name: _text(item.get(key)) for name, key in keys.items()}, "why": "; ".join(filter(None, (note, reason)))}


def _text(value: Any) -> str:
    return "" if value is None else plain(str(value).lower() if isinstance(value, bool) else str(value), _MOST_WORDS)
