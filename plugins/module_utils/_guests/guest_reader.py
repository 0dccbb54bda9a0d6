# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed look-ups in a guest's mapping of the inventory. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from .._cpus.suggest import unknown_keys
from .guest import CONTROL, MAX_PATH, GuestError

#: Passwords may be in it.
_UNQUOTED = ("xml",)


#: The most characters of a value that a message shows.
_SHOWN = 100


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
                text = repr(value)
                shown = "" if key in _UNQUOTED else f"{text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'} "
                number = ", a number without a unit" if isinstance(value, str) and keys[key] == (int,) else ""
                entries = ", of which each entry begins with '- '" if keys[key] == (list,) else ""
                raise GuestError(f"{where}: {key} {shown}must be of type {wanted}{number}{entries}")

    def get(self, key: str, default: Any = None) -> Any:
        return self._items.get(key, default)

    def has(self, key: str) -> bool:
        return key in self._items

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value: int = self.get(key, default)
        if not low <= value <= high:
            raise GuestError(f"{self.where}: {key} {value} is not in {low}-{high}")
        return value

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value: str = self.get(key, default)
        if value not in choices:
            raise GuestError(f"{self.where}: {key} {value!r} is not one of {', '.join(choices)}")
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
