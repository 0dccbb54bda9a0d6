# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's entry as it is written into the applied inventory: with the values that the plan counted with, and no secret in clear text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.parsing.vault import VaultHelper
from ansible.template import is_trusted_as_template
from ansible_collections.realtime.kvm.plugins.plugin_utils._hosts import plain_data
from ansible_collections.realtime.kvm.plugins.plugin_utils._inventory.templates import Worked, is_plain

from .model import PlacementError
from .plan_file import Kept, Unsafe, Vaulted

#: A text that begins so sets the marks of its own templates.
_OWN_MARKS = "#jinja2:"


def written_entries(where: str, raw: Any, worked: Sequence[Any], worker: Worked) -> list[dict[str, Any]]:
    """Return a list of entries as it is written.

    ``raw`` is the list in the inventory, ``worked`` the same with its templates worked out (and the tags of Ansible), ``worker`` knows the host's
    variables. A template becomes its value, since it would have another one on another host. What comes from a vault stays in it: its text
    is written, or the template that names it (``Kept``). Text that looks like a template and is none is marked as such (``!unsafe``).
    """
    return _value(raw, worked, worker, where)  # type: ignore[no-any-return]


def kept_in(value: Any, path: str = "") -> Iterator[tuple[str, Kept]]:
    """Yield the templates that stay in an entry, with their keys."""
    if isinstance(value, Kept):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from kept_in(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from kept_in(item, path)


def _value(raw: Any, worked: Any, worker: Worked, where: str) -> Any:
    raw = worker.behind(raw) if is_trusted_as_template(raw) else raw
    if text := _ciphertext(raw) or _ciphertext(worked):
        return Vaulted(text)
    secret = is_trusted_as_template(raw) and worker.involves(raw)
    if isinstance(worked, Mapping):
        if secret:
            return _made(worked, where)
        inner = raw if isinstance(raw, Mapping) else {}
        return {str(key): _value(inner.get(key), item, worker, f"{where}: {key}") for key, item in worked.items()}
    if isinstance(worked, (list, tuple)):
        if secret:
            return _made(worked, where)
        same = isinstance(raw, (list, tuple)) and len(raw) == len(worked)
        return [_value(raw[at] if same else None, item, worker, _place(where, item)) for at, item in enumerate(worked)]
    return Kept.of(raw, plain_data(worked)) if secret else _leaf(worked)


def _made(worked: Any, where: str) -> Any:
    """Return what a template has made with a vault; only where each value says whether it is from there is it known what may be written."""
    if any(map(_ciphertext, _leaves(worked))):
        secrets = {str(item) for item in _leaves(worked) if _ciphertext(item)} - {""}
        if not any(secret in str(item) for item in _leaves(worked) if not _ciphertext(item) for secret in secrets):
            return _tagged(worked)
    raise PlacementError(
        f"{where} is made by a template in which a vault is involved, so that secrets would be written in clear text; "
        "write it out, with each vaulted value on its own (!vault, or a template that names nothing else)"
    )


def _tagged(value: Any) -> Any:
    if text := _ciphertext(value):
        return Vaulted(text)
    if isinstance(value, Mapping):
        return {str(key): _tagged(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_tagged(item) for item in value]
    return _leaf(value)


def _leaf(value: Any) -> Any:
    found = plain_data(value)
    return Unsafe(found) if isinstance(found, str) and not (is_plain(found) and not found.startswith(_OWN_MARKS)) else found


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _ciphertext(value: Any) -> str | None:
    return None if value is None else VaultHelper.get_ciphertext(value, with_tags=False)


def _place(where: str, item: Any) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return f"{where}: {plain_data(name)}" if isinstance(name, str) and not _ciphertext(name) else where
