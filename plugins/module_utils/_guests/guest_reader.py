# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed look-ups in a guest's mapping of the inventory. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._cpus.suggest import unknown_keys
from .guest import CONTROL, MAX_PATH, GuestError

#: Passwords may be in it.
_UNQUOTED = ("xml",)
#: Of a value in a message, in characters.
_MOST = 100
#: A size as people write it, and its unit in KiB; sizes here are whole numbers of the unit that ends their key's name.
_SIZE = re.compile(r"\s*([0-9]{1,9})\s*([KMGT])(?:i?B)?\s*", re.IGNORECASE)
_UNITS = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}
_KEYS = {"_mib": ("MiB", 1 << 10), "_gib": ("GiB", 1 << 20)}


def short(value: Any) -> str:
    """Return a value as a message shows it."""
    text = repr(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def _hint(key: str, value: Any, kinds: tuple[type, ...]) -> str:
    """Return what would work, where that can be said."""
    unit, size = _KEYS.get(key[-4:], ("", 1))
    if unit and int in kinds:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        kib = int(found[1]) * _UNITS[found[2].upper()] if found else 0
        return f", a number of {unit} without a unit: {kib // size if kib and kib % size == 0 else 4096 >> (unit == 'GiB') * 6}"
    if kinds == (list,):
        return "; give a list, also of one item: [...], or each on a line that begins with -"
    if dict in kinds and isinstance(value, (str, list)) and str not in kinds:
        return "; give a mapping: {key: value}, or each key on a line of its own"
    return ""


class Reader:
    """Typed look-ups in one guest's mapping; None counts as not given."""

    def __init__(self, item: Mapping[str, Any], where: str, keys: Mapping[str, tuple[type, ...]]) -> None:
        self.where = where
        unknown = [key for key in item if key not in keys]
        if unknown:
            raise GuestError(f"{where}: {unknown_keys(unknown, keys)}")
        self._items = {key: value for key, value in item.items() if value is not None}
        for key, value in self._items.items():
            if not isinstance(value, keys[key]) or (isinstance(value, bool) and bool not in keys[key]):
                wanted = " or ".join(kind.__name__ for kind in keys[key])
                shown = "" if key in _UNQUOTED else f"{short(value)} "
                raise GuestError(f"{where}: {key} {shown}must be of type {wanted}{_hint(key, value, keys[key])}")

    def get(self, key: str, default: Any = None) -> Any:
        return self._items.get(key, default)

    def has(self, key: str) -> bool:
        return key in self._items

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value: int = self.get(key, default)
        if not low <= value <= high:
            raise GuestError(f"{self.where}: {key} {short(value)} is not in {low}-{high}")
        return value

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value: str = self.get(key, default)
        if value not in choices:
            raise GuestError(f"{self.where}: {key} {short(value)} is not one of {', '.join(choices)}")
        return value

    def optional(self, key: str, choices: Sequence[str]) -> str | None:
        """Return one of the choices, None where the key is not given."""
        return self.choice(key, "", choices) if self.has(key) else None

    def text(self, key: str, most: int = 200) -> str:
        value: str = self.get(key, "")
        if CONTROL.search(value):
            raise GuestError(f"{self.where}: {key} holds a control character, which XML cannot carry")
        if len(value) > most:
            raise GuestError(f"{self.where}: {key} has {len(value)} characters; at most {most} are accepted")
        return value

    def path(self, key: str) -> str:
        path = self.text(key, most=MAX_PATH)
        if wrong := path_fault(path, "a file or block device"):
            raise GuestError(f"{self.where}: {key} {wrong}")
        return path


#: Of each name in a path (Linux, NAME_MAX).
_NAME_BYTES = 255


def path_fault(path: str, kind: str) -> str:
    """Return what is wrong with the path of a file or folder, as what follows its key; an empty text for a sound one."""
    if not path.startswith("/") or path.startswith("//") or path != posixpath.normpath(path) or path == "/":
        return f"{path!r} must be the absolute path of {kind}, without . and .. and without / at its end"
    if CONTROL.search(path):
        return "holds a control character, which XML cannot carry"
    if len(path) > MAX_PATH:
        return f"has {len(path)} characters; at most {MAX_PATH} are accepted"
    for name in path.split("/"):
        if (size := len(name.encode(errors="replace"))) > _NAME_BYTES:
            return f"holds the name {name[:20]}..., which has {size} bytes; file systems take at most {_NAME_BYTES}, so give it a shorter one"
    return ""
