# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths within a text, such as an argument of QEMU: lists of key=value, JSON, file: addresses, prose. Pure.

Where a path ends cannot be told from the text alone, since names may hold commas and blanks; so every end that it may have counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

#: The longest path and name that Linux accepts.
_PATH, _NAME = 4096, 255
#: Where a name may end: before any sign that is rare in names, and before the full stop of a sentence.
_END = re.compile(r"[^\w.-]|\.(?=\s|$)")
_WORD = re.compile(r"(?<![\w.-])[\w.-]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)


def mentions(text: str, is_folder: Callable[[str], bool], *, relative: bool = False) -> Iterator[str]:
    """Yield every absolute path that a text may mention; ``relative``: names that count from the root folder too, as QEMU's do."""
    for spelled in _spellings(text):
        for match in re.finditer("/", spelled):
            yield from _paths(spelled[match.start() :][:_PATH], is_folder)
        for match in _WORD.finditer(spelled) if relative else ():
            yield from _paths(f"/{spelled[match.start() :][:_PATH]}", is_folder)


def _spellings(text: str) -> list[str]:
    """Return a text as it is, with single commas for QEMU's doubled ones, and both without JSON's escapes."""
    found = [text, text.replace(",,", ",")]
    return list(dict.fromkeys([*found, *(_ESCAPE.sub(_escaped, each) for each in found)]))


def _escaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16)) if match[1] else {"n": "\n", "t": "\t"}.get(match[2], match[2])


def _paths(text: str, is_folder: Callable[[str], bool]) -> Iterator[str]:
    """Yield each path that a text may begin with, as far as its folders exist."""
    name = 0
    for match in _END.finditer(text, 1):
        if match.start() - name > _NAME:
            return
        if match[0] != "/":
            yield text[: match.start()]
        elif is_folder(text[: match.start()]):
            name = match.start()
        else:
            return
    yield text
