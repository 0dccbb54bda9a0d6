# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that bound what a node puts into an artefact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.realtime.kvm.plugins.plugin_utils._artefact import (
    bounded_findings,
    bounded_firmware,
    bounded_verdicts,
)
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data


def _bounded(bound: Callable[[Any, int, str], Any]) -> Callable[[Any, int, str], Any]:
    return lambda value, nodes, host: bound(plain_data(value), int(nodes), str(host))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {bound.__name__: _bounded(bound) for bound in (bounded_findings, bounded_firmware, bounded_verdicts)}
