# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds the time of calls that have no time-out of their own. Edge."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from .._cpus.errors import HostError

Result = TypeVar("Result")


class LateError(HostError):
    """A call has not ended in its time."""


def within(seconds: float, act: Callable[[], Result]) -> Result:
    """Return what ``act`` returns or raise what it raises; ``LateError`` once the time is over.

    A late call is left to its thread, which does not keep the process from ending.
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = act()
        except BaseException as error:  # raised again below, in the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise LateError(f"it has not ended within {seconds:g} s")
    if "error" in outcome:
        raise outcome["error"]
    result: Result = outcome["result"]
    return result


class Watch:
    """Kills the program that it follows once its time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.late = False
        self._timer: threading.Timer | None = None

    def follow(self, process: Any) -> None:
        """Follow a process from its start."""
        self._timer = threading.Timer(self.seconds, self._end, [process])
        self._timer.daemon = True
        self._timer.start()

    def _end(self, process: Any) -> None:
        self.late = True
        process.kill()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
