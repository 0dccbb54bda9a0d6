# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How people read names: h2 before h10, and a few of many. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key for sorting names, numbers in them by their value; the text itself decides between equals."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]", text)
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.casefold()) for part in parts], text


#: Characters for names before a text that must stay readable, and where nothing follows them.
BEFORE_TEXT, ALONE = 120, 400


def few(names: Collection[str], room: int = ALONE, most: int = 100) -> str:
    """Return as many names as fit into so many characters, at least one of them, and how many more there are."""
    shown: list[str] = []
    for name in names:
        if len(shown) == most or (shown and len(", ".join([*shown, name])) > room):
            break
        shown.append(plain(name, room))
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
