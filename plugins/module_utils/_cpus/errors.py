# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads instead of a traceback. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class RefusalError(Exception):
    """Something cannot be done; the text names what, where (variable, CPUs, file) and what would work."""

    #: A module's results beside the text.
    results: Mapping[str, Any] = {}


class HostError(RefusalError):
    """The machine refused a read or a write; the message names the file and what would help."""


#: Exceptions of code that reads files with unexpected content.
UNEXPECTED = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError)
