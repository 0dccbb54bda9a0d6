# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates and vaulted values of the inventory: what can be worked out now, and what must not be shown. Edge: works templates out."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleTemplateSyntaxError
from ansible.parsing.vault import EncryptedString, VaultHelper

from .guests import Later

_STARTS = ("{{", "{%", "{#")
#: What a template reaches other values with than those that it names.
_REACHES = {"hostvars", "vars", "lookup", "query", "q", "unvault"}
_VARIABLE = re.compile(r"\s*\{\{\s*(\w+)\s*\}\}\s*")
#: How a refusal begins: with the item of a list, by name or number, and its key.
_PLACE = re.compile(r"realtime_(?:guests|networks)(?:: (?P<name>[^\s:]+)|(?P<number>\[\d+\])): (?P<key>[a-z_]+)")
#: Their refusals quote no value.
_QUOTE_NOTHING = {"cloud_init", "xml"}
#: Shorter secrets are parts of common words, and hidden where they are words of their own.
_LEAST = 4
#: So many of its characters in a row are a part of a secret.
_RUN = 3
HIDDEN = "********"
#: One or two characters beside what was hidden: the rest of a longer part of the secret.
_REST = re.compile(rf"(?<!\w)\w{{0,{_RUN - 1}}}{re.escape(HIDDEN)}\w{{0,{_RUN - 1}}}(?!\w)")


def is_plain(value: Any) -> bool:
    """Whether a value is what it says: it holds no template and nothing from a vault."""
    if isinstance(value, str):
        return "{" not in value or not any(start in value for start in _STARTS)
    if isinstance(value, (dict, list, tuple)):
        return all(map(is_plain, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, EncryptedString)


def named_in(value: Any, variables: Mapping[str, Any]) -> set[str]:
    """Return the words in the templates of a value, and in those of the variables that they name: what the value depends on is among them."""
    found: set[str] = set()
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, (dict, list, tuple)):
            left += one.values() if isinstance(one, dict) else one
        elif isinstance(one, str) and not is_plain(one):
            words = set(re.findall(r"[A-Za-z_]\w*", one)) - found
            found |= words
            left += [variables[word] for word in words & variables.keys()]
    return found


class Worked:
    """Works out a host's lists with its variables. What cannot be worked out yet, a template of a fact say, stands there as ``Later``."""

    def __init__(self, templar: Callable[[], Any], variables: Mapping[str, Any]) -> None:
        self._templar = templar  # made where a host needs one
        self._variables = variables
        self._secrets: set[str] = set()
        self._numbers: dict[str, int] = {}  # of items, by name
        self._vaulted: dict[tuple[str, str], set[str]] = {}  # by name or number of an item, and key: what was made with a vault
        self._involved_names: dict[str, bool] = {}

    def value(self, raw: Any) -> Any:
        """Return a value; a list item by item, so that one template hides only its own item."""
        if isinstance(raw, (list, tuple)):
            return raw if is_plain(raw) else [self._item(item, number) for number, item in enumerate(raw)]
        return self._item(raw)

    def _item(self, raw: Any, number: int = 0) -> Any:
        if is_plain(raw):
            return raw
        try:
            found = self._templar().template(raw)
        except AnsibleTemplateSyntaxError as error:
            return Later(raw, f"a template cannot be read: {str(error).splitlines()[0]}")
        except (AnsibleError, RecursionError):
            return Later(raw)
        self._secrets.update(_secrets(found))
        self._note(raw, found, number)
        return found

    def hide(self, text: str) -> str:
        """Return a message without what came from a vault, also where the inventory made another text of it.

        A part of such a text cannot be told from other words: where a refusal of its key has more of it than the whole, it says the key alone.
        An item whose name is hidden is called by its number.
        """
        place = _PLACE.match(text)
        number = self._numbers.get(place["name"] or "") if place else None
        hidden = self._hide(text)
        return hidden if number is None else hidden.replace(f": {HIDDEN}:", f"[{number}]:", 1)

    def _hide(self, text: str) -> str:
        secrets = self._secrets.union(_secrets(self._variables))
        hidden = _without(text, secrets)
        place = _PLACE.match(text)
        made = self._vaulted.get((place["name"] or place["number"], place["key"])) if place else None
        if place is None or made is None or place["key"] in _QUOTE_NOTHING or ": unknown key " in text:
            return hidden
        reason = _without(text[place.end() :], secrets)
        if HIDDEN in reason and not _holds_part(reason, made):
            return hidden
        return (
            f"{_without(place[0], secrets)} is refused; a vault may be involved in its value, so the reason, which may quote it, is not shown. Compare it with "
            "what the documentation of realtime_guests and realtime_networks says of this key"
        )

    def _note(self, raw: Any, found: Any, number: int) -> None:
        """Remember in which keys of an item, or of a list of items, a vault is involved, and what became of it."""
        raw = self.behind(raw)
        if isinstance(found, (list, tuple)):
            same = isinstance(raw, (list, tuple)) and len(raw) == len(found)
            for at, after in enumerate(found):
                self._note(raw[at] if same else raw, after, at)
        if not isinstance(found, dict):
            return
        self._numbers.setdefault(str(found.get("name")), number)
        if isinstance(raw, dict):
            keys = {key for key, value in raw.items() if self.involves(value)}
        else:  # made by a template: where values still have the mark of the vault, it is in these
            keys = {key for key, value in found.items() if any(_secrets(value))}
            keys = keys or ({*found} if self.involves(raw) else set())
        for key in keys & found.keys():
            texts = set(self._made_of(raw[key] if isinstance(raw, dict) else raw, found[key]))
            for place in (str(found.get("name")), f"[{number}]"):
                self._vaulted.setdefault((place, str(key)), set()).update(texts)
            self._secrets.update(texts)

    def behind(self, raw: Any) -> Any:
        """Return the value of the variable that a template is no more than."""
        for _number in range(10):
            name = _VARIABLE.fullmatch(raw) if isinstance(raw, str) else None
            if name is None or name[1] not in self._variables:
                break
            raw = self._variables[name[1]]
        return raw

    def _made_of(self, raw: Any, found: Any) -> Iterator[str]:
        """Yield the texts that were made with a vault."""
        raw = self.behind(raw)
        if isinstance(raw, dict) and isinstance(found, dict):
            for key in raw.keys() & found.keys():
                yield from self._made_of(raw[key], found[key])
        elif isinstance(raw, (list, tuple)) and isinstance(found, (list, tuple)):
            for before, after in zip(raw, found):
                yield from self._made_of(before, after)
        elif self.involves(raw) and not isinstance(found, (dict, list, tuple, bool)) and found is not None:
            yield from filter(None, [str(found)])

    def involves(self, raw: Any) -> bool:
        """Whether a vault has a part in a value, as far as the names in its templates tell."""
        if isinstance(raw, (dict, list, tuple)):
            return any(map(self.involves, raw.values() if isinstance(raw, dict) else raw))
        if _is_vaulted(raw):
            return True
        if not isinstance(raw, str) or is_plain(raw):
            return False
        words = set(re.findall(r"[A-Za-z_]\w*", raw))
        return bool(words & _REACHES) or any(map(self._involves_name, words & self._variables.keys()))

    def _involves_name(self, name: str) -> bool:
        if name not in self._involved_names:
            self._involved_names[name] = False  # while it is looked at, since variables may name each other
            self._involved_names[name] = self.involves(self._variables[name])
        return self._involved_names[name]


def _is_vaulted(value: Any) -> bool:
    return value is not None and bool(VaultHelper.get_ciphertext(value, with_tags=False))


def _without(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets, the longest of them first."""
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        part = re.escape(form)
        text = re.sub(part if len(form) >= _LEAST else rf"(?<!\w){part}(?!\w)", HIDDEN, text)
    return _REST.sub(HIDDEN, text)


def _holds_part(text: str, made: Iterable[str]) -> bool:
    """Whether a few characters in a row are from one of the texts."""
    text = text.replace(HIDDEN, "\0").lower()
    return any(whole[at : at + _RUN].lower() in text for whole in made for at in range(max(len(whole) - _RUN, 0) + 1))


def _forms(secret: str) -> set[str]:
    """Return how messages write a secret: as it is, in quotation marks of Python and JSON, in one case, and line by line."""
    forms = {part.strip() for part in (secret, *(line for line in secret.splitlines() if len(line.strip()) >= _LEAST))}
    forms |= {case for form in forms for case in (form.lower(), form.upper())}
    forms |= {written for form in forms for written in (repr(form)[1:-1], json.dumps(form)[1:-1], repr(f"{form}'\"")[1:-4])}
    return forms - {""}


def _secrets(value: Any) -> Iterator[str]:
    """Yield what is from a vault, as far as it can be decrypted."""
    if isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _secrets(item)
    elif _is_vaulted(value):
        with contextlib.suppress(AnsibleError):
            yield from filter(None, [str(value)])
