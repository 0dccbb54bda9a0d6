# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a kernel's file is, where its name is given to one device after the other: interrupts' numbers, interfaces' names. Edge."""

from __future__ import annotations

import os
import re
from typing import Any

from .._cpus.answers import printable

_INTERRUPT = re.compile(r"/proc/irq/\d+(?=/)")
_INTERFACE = re.compile(r"/sys/class/net/[^/]+(?=/)")


def identity(root: str, path: str) -> list[str]:
    """Return the handlers of a file's interrupt, or the device of its interface; an empty list where there is none, and for other files."""
    if found := _INTERRUPT.match(path):
        return _handlers(root + found[0])
    if found := _INTERFACE.match(path):
        return [os.readlink(root + found[0])] if os.path.islink(root + found[0]) else []
    return []


def _handlers(folder: str) -> list[str]:
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:
        return []
    return [printable(name) for name in names]


def is_another(known: Any, now: list[str]) -> bool:
    """Whether a file is another device's than in a journal's entry, which may have no identity.

    An interrupt without handlers is nobody's, and one that is shared has some of them still.
    """
    return isinstance(known, list) and bool(known and now) and not any(name in known for name in now)
