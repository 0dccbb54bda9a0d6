# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which people read names: h2 before h10. Pure."""

from __future__ import annotations

import re


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a key for sorting names, numbers in them by their value; the text itself decides between equals."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+|[0-9]", text)
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part.casefold()) for part in parts], text
