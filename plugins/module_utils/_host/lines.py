# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines appended to files that we do not own: added, journalled and removed. Edge."""

from __future__ import annotations

from functools import partial

from .host import Host
from .resolve import read_text, rewrite_text, rewriting


def add_lines(host: Host, path: str, lines: str, *, reason: str = "") -> None:
    """Append lines to a file that we do not own. Undo removes exactly these lines."""
    before = read_text(host, path)
    if before is not None and lines in before:
        return
    added = lines if not before or before.endswith("\n") else f"\n{lines}"
    after = (before or "") + added
    original = {"lines": added, "absent": before is None}
    host.change(
        rewriting(path, before, after, reason=reason), partial(rewrite_text, host, path, after), kind="lines", original=original
    )


def restore_lines(host: Host) -> None:
    """Plan to remove the lines that this owner has appended to files that we do not own."""
    for path, original in host.entries("lines").items():
        before = read_text(host, path)
        after = (before or "").replace(original["lines"], "", 1)
        text = None if not after and original["absent"] else after
        change = None if before is None or before == text else rewriting(path, before, text, reason="restored")
        host.restore(change, path, partial(rewrite_text, host, path, text))
