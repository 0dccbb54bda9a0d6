# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that finds what is wrong with guests' seeds before a node is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.realtime.kvm.plugins.plugin_utils._seeds import seed_faults


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"seed_faults": seed_faults}
