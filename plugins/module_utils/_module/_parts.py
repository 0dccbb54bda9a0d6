# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a machine part by part, for an interval: a part that cannot be read is named, the others are returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._cpus.errors import UNEXPECTED, HostError, RefusalError


def check_interval(interval: float) -> None:
    """Refuse to watch a machine for an interval out of range, since a run must not hang."""
    if not 0 <= interval <= 60:
        raise HostError(f"interval: {interval} is not in 0-60 seconds")


class Parts:
    """Records which parts could not be read, and why."""

    def __init__(self) -> None:
        self.missing: list[dict[str, str]] = []

    def read(self, name: str, read: Callable[[], Any], default: Any) -> Any:
        """Return what ``read`` returns; ``default`` where it fails."""
        try:
            return read()
        except RefusalError as error:
            self.broken(name, str(error))
        except UNEXPECTED as error:
            self.broken(name, f"it holds something unexpected ({type(error).__name__}: {error})")
        return default

    def broken(self, name: str, reason: str) -> None:
        self.missing.append({"part": name, "state": "broken", "reason": reason})

    def absent(self, name: str, reason: str) -> None:
        self.missing.append({"part": name, "state": "absent", "reason": reason})
