# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds the time of calls that have no time-out of their own. Edge."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class LateError(Exception):
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
