# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that take networks and guests say which guest has an unknown key, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .._cpus.suggest import unknown_keys
from ._specs import GUESTS


class GuestAnsibleModule(AnsibleModule):
    """Ansible itself names only option and key, ``guests.realtime_vcpu``, and lists all the others."""

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """End the module; in place of Ansible's refusal of an unknown key with one that names the guest."""
        checked = getattr(self, "validation_result", None)
        found = list(misspelt(self.params)) if checked and checked.unsupported_parameters else []
        super().fail_json(msg="; ".join(found) or msg, **kwargs)


def misspelt(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Return one message for each network, guest, disk and interface with unknown keys."""
    for option in ("networks", "guests"):
        yield from _misspelt(f"realtime_{option}", parameters.get(option), GUESTS[option]["options"])


def _misspelt(where: str, items: Any, keys: Mapping[str, Any]) -> Iterator[str]:
    for number, item in enumerate(items if isinstance(items, Sequence) else ()):
        if not isinstance(item, Mapping):
            continue
        name = f": {item['name']}" if isinstance(item.get("name"), str) else f"[{number}]"
        if unknown := [key for key in item if key not in keys]:
            yield f"{where}{name}: {unknown_keys(unknown, keys)}"
        for key, spec in keys.items():
            if "options" in spec:
                yield from _misspelt(f"{where}{name}: {key}", item.get(key), spec["options"])
