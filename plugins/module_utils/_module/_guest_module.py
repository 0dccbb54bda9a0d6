# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that take networks and guests say which guest has an unknown key, and what was probably meant, or a value of a wrong type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._cpus.errors import RefusalError
from .._cpus.suggest import unknown_keys
from .._guests.guest_list import parse_guests
from .._guests.network import parse_networks
from ._converted import converted
from ._secretive import SecretiveAnsibleModule
from ._specs import GUESTS

#: The limit of a node is for the module's body to compare with.
_ANY_PRIORITY = 99


class GuestAnsibleModule(SecretiveAnsibleModule):
    """Ansible itself names only option and key, ``guests.realtime_vcpu``, and lists all the others."""

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """End the module; in place of Ansible's refusal of a key or a type with one that names the guest."""
        checked = getattr(self, "validation_result", None)
        wrong = checked is not None and bool(checked.error_messages)
        found = list(misspelt(self.params)) if checked and checked.unsupported_parameters else []
        found = found or (mistyped(self.given) if wrong else [])
        super().fail_json(msg="; ".join(found) or msg, **kwargs)


def misspelt(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Return one message for each network, guest, disk and interface with unknown keys."""
    for option in ("networks", "guests"):
        yield from _misspelt(f"realtime_{option}", parameters.get(option), GUESTS[option]["options"])


def mistyped(parameters: Mapping[str, Any]) -> list[str]:
    """Return what the lists of networks and guests are refused for, in the words of their readers."""
    networks, guests = (parameters.get(option) or [] for option in ("networks", "guests"))
    if not isinstance(networks, list) or not isinstance(guests, list):
        return []
    networks = [converted(item, GUESTS["networks"]["options"]) for item in networks]
    guests = [converted(item, GUESTS["guests"]["options"]) for item in guests]
    try:
        parse_guests(guests, parse_networks(networks), priority_limit=_ANY_PRIORITY)
    except RefusalError as error:
        return [str(error)]
    return []


def _misspelt(where: str, items: Any, keys: Mapping[str, Any]) -> Iterator[str]:
    for number, item in enumerate(items if isinstance(items, Sequence) else ()):
        if not isinstance(item, Mapping):
            continue
        name = f": {item['name']}" if isinstance(item.get("name"), str) else f"[{number}]"
        if unknown := [key for key in item if key not in keys]:
            yield f"{where}{name}: {unknown_keys(unknown, keys)}"
        for key, spec in keys.items():
            inner = item.get(key)
            if "options" in spec and isinstance(inner, Mapping):
                if unknown := [key for key in inner if key not in spec["options"]]:
                    yield f"{where}{name}: {key}: {unknown_keys(unknown, spec['options'])}"
            elif "options" in spec:
                yield from _misspelt(f"{where}{name}: {key}", inner, spec["options"])
