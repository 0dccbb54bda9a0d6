# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates and vaulted values of the inventory: what can be worked out now, and what must not be shown. Edge: works templates out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError, AnsibleTemplateSyntaxError
from ansible.parsing.vault import EncryptedString, VaultHelper

from .guests import Later

_STARTS = ("{{", "{%", "{#")


def is_plain(value: Any) -> bool:
    """Whether a value is what it says: it holds no template and nothing from a vault."""
    if isinstance(value, str):
        return "{" not in value or not any(start in value for start in _STARTS)
    if isinstance(value, (dict, list, tuple)):
        return all(map(is_plain, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, EncryptedString)


class Worked:
    """Works out a host's lists with its variables. What cannot be worked out yet, a template of a fact say, stands there as ``Later``."""

    def __init__(self, templar: Callable[[], Any], variables: Mapping[str, Any]) -> None:
        self._templar = templar  # made where a host needs one
        self._variables = variables
        self._secrets: set[str] = set()

    def value(self, raw: Any) -> Any:
        """Return a value; a list item by item, so that one template hides only its own item."""
        if isinstance(raw, (list, tuple)):
            return raw if is_plain(raw) else [self._item(item) for item in raw]
        return self._item(raw)

    def _item(self, raw: Any) -> Any:
        if is_plain(raw):
            return raw
        try:
            found = self._templar().template(raw)
        except AnsibleTemplateSyntaxError as error:
            return Later(raw, f"a template cannot be read: {str(error).splitlines()[0]}")
        except (AnsibleError, RecursionError):
            return Later(raw)
        self._secrets.update(_secrets(found))
        return found

    def hide(self, text: str) -> str:
        """Return a message without what came from a vault, also where the inventory made a longer text of it."""
        for secret in sorted(self._secrets.union(_secrets(self._variables)), key=len, reverse=True):
            text = text.replace(secret, "********")
        return text


def _secrets(value: Any) -> Iterator[str]:
    """Yield what is from a vault, as far as it can be decrypted."""
    if isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _secrets(item)
    elif value is not None and VaultHelper.get_ciphertext(value, with_tags=False):
        with contextlib.suppress(AnsibleError):
            yield from filter(None, [str(value)])
