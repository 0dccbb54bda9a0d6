# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which layers of a node have work, from what was planned. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._boot.arguments import awaited_boot

from .changes import Results

#: A layer that changes may leave work to these, which their plans could not show: a CPU that was switched off and on has its interrupts anew, a tuning
#: daemon restores values when it stops, installed packages start daemons and are to be held, guests use the switch, and Nova the
#: address of its database.
_AFTER: Mapping[str, Sequence[str]] = {
    "partition": ("power", "interrupts", "time", "host", "kernel", "switch", "guests", "metrics"),
    "host": ("kernel", "switch", "guests", "packages"),
    "kernel": ("packages",),
    "switch": ("guests", "packages"),
    "neutron": ("nova",),
}
#: The layers whose roles install packages.
_INSTALLING = ("time", "host", "switch", "kernel")


def has_work(layer: str, result: Mapping[str, Any]) -> bool:
    """Whether one layer has something to change, to install, to boot or to start. The switch is installed only for its ports."""
    missing = not result.get("installed", True) and bool(layer != "switch" or result.get("ports"))
    return bool(result.get("changes") or missing or awaited_boot(result) or result.get("stopped_guests"))


def due_layers(results: Results, packages: Sequence[Any]) -> list[str]:
    """Return the layers whose roles have work on a node, in the order of the results; an unchanged node has none."""
    due = _working(results, packages)
    for layer, later in _AFTER.items():
        due |= set(later) if layer in due else set()
    return [layer for layer in results if layer in due]


def later_layers(results: Results, packages: Sequence[Any]) -> list[str]:
    """Return the layers with work of which the plan shows none: changes of other layers decide it, so it is read after them."""
    shown = _working(results, packages)
    return [layer for layer in due_layers(results, packages) if layer not in shown and not _left_out(results[layer])]


def _working(results: Results, packages: Sequence[Any]) -> set[str]:
    return {layer for layer, result in results.items() if has_work(layer, result) or (packages and layer in _INSTALLING)}


def _left_out(result: Mapping[str, Any]) -> bool:
    return bool(result.get("skipped") or result.get("failed"))
