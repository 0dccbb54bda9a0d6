# SPDX-License-Identifier: GPL-3.0-or-later
"""The highest real-time priority of guests' threads on a node. Pure."""

from __future__ import annotations

from .._cpus.errors import RefusalError


class SettingError(RefusalError):
    """A setting is refused; the message names the variable."""


#: Values that the highest real-time priority of guests' threads may have; interrupt threads (FIFO 50) stay above them.
PRIORITY_LIMITS = tuple(range(1, 41))


def check_priority_limit(limit: int) -> None:
    """Raise ``SettingError`` for a limit that leaves no room below the interrupt threads."""
    if limit not in PRIORITY_LIMITS:
        raise SettingError(
            f"realtime_priority_limit: {limit} is not in {PRIORITY_LIMITS[0]}-{PRIORITY_LIMITS[-1]}; "
            "the kernel's threads must fit between "
            "the guests' threads and interrupt threads (50)"
        )
