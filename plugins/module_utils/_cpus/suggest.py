# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody meant who has misspelt a key or a variable. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from .answers import plain

#: Longer names are misspellings of nothing, and comparing them takes time.
_MOST = 80


def closest(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str:
    """Return the known name that is most like another, empty if none is: ``cutoff`` is the least ratio of ``difflib``, 1 for equal names."""
    found = difflib.get_close_matches(name.lower().replace("-", "_"), known, 1, cutoff) if len(name) <= _MOST else []
    return found[0] if found else ""


def unknown_keys(names: Iterable[object], known: Collection[str]) -> str:
    """Return the middle of a message about keys that do not exist: for each what was probably meant, for the rest all that exist."""
    meant = {name: closest(name, known) for name in sorted(map(str, names))}
    said = [f"unknown key {plain(name, _MOST)}, did you mean {near}?" for name, near in meant.items() if near]
    rest = ", ".join(plain(name, _MOST) for name, near in meant.items() if not near)
    return " ".join([*said, *([f"unknown key {rest}; known are {', '.join(known)}"] if rest else [])])
