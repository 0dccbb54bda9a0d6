# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has answered to a look, which is data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def answer_fault(answer: Mapping[str, Any], asked: Iterable[str]) -> str:
    """Return what is wrong with the form of an answer; a layer that was ``asked`` and has no plan is not one with nothing to do."""
    planned, refused, left_open = answer.get("planned"), answer.get("refused"), answer.get("open")
    if not isinstance(planned, Mapping) or not all(isinstance(found, Mapping) for found in planned.values()):
        return "it has no plans by layer"
    if not isinstance(refused, Sequence) or not isinstance(left_open, Sequence) or not _texts([refused, left_open]):
        return "it does not list what is refused and what is open"
    lacking = [name for name in asked if name not in planned and name not in left_open]
    return f"it has no plan of {', '.join(lacking)}" if lacking and not refused else ""


def _texts(lists: Sequence[Any]) -> bool:
    return all(not isinstance(items, str) and all(isinstance(item, str) for item in items) for items in lists)
