# SPDX-License-Identifier: GPL-3.0-or-later
"""The second archive of a node: what writes its metrics, and its audit of itself."""

from __future__ import annotations

from .pack import PACKAGE, pack

#: The programs' main(), as names below module_utils.
METRICS, AUDIT = "_node.metrics", "_module._self_audit"


def build_watch_archive(audit: str = AUDIT) -> bytes:
    """Return the archive; equal sources give equal bytes."""
    release = ""
    return pack(audit, main=f"from {PACKAGE}.{audit} import main\n\nmain({release!r})\n")
