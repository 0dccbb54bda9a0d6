# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory says of a host for placement: its fault domains and its devices. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .model import PlacementError

DOMAINS, DEVICES = "realtime_place_domains", "realtime_place_devices"


def read_domains(value: Any, where: str = DOMAINS) -> dict[str, str]:
    """Return fault domains by kind; ``PlacementError`` where a kind or a name is none."""
    if not isinstance(value or {}, Mapping):
        raise PlacementError(f"{where} is no mapping of kinds to names, such as {{rack: r1}}")
    found = {}
    for kind, name in (value or {}).items():
        for part in (kind, name):
            if not _is_name(part):
                raise PlacementError(
                    f"{where}: {plain(str(kind), 40)}: {plain(repr(part), 60)} is no name; a name is text that is not empty, or a number, such as {{rack: r1}}"
                )
        found[str(kind)] = str(name).strip()
    return dict(sorted(found.items()))


def read_devices(value: Any) -> dict[str, int]:
    """Return how many devices of each name a host has: an entry of a list is one device, a mapping has the numbers."""
    if isinstance(value or [], Mapping):
        counts = dict(value)
    elif isinstance(value or [], Sequence) and not isinstance(value, str):
        if strange := [item for item in value or [] if not _is_name(item)]:
            raise PlacementError(f"{DEVICES}: {plain(repr(strange[0]), 60)} is no name")
        counts = dict(Counter(map(str, value or [])))
    else:
        raise PlacementError(f"{DEVICES} is no list of names, and no mapping of names to numbers such as {{card: 2}}")
    found = {}
    for name, number in counts.items():
        if not _is_name(name):
            raise PlacementError(f"{DEVICES}: {plain(repr(name), 60)} is no name")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise PlacementError(f"{DEVICES}: {plain(str(name), 40)}: {plain(repr(number), 60)} is no number of devices")
        found[str(name)] = number
    return dict(sorted(found.items()))


def _is_name(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and not re.search(r"[{}\[\]]", value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)
