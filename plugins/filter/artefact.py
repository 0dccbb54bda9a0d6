# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that bounds the findings of a node for an artefact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.realtime.kvm.plugins.plugin_utils._artefact import bounded_findings
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data


def _bounded_findings(value: Any, nodes: int) -> list[dict[str, Any]]:
    return bounded_findings(plain_data(value), int(nodes))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"bounded_findings": _bounded_findings}
