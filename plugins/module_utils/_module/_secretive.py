# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules whose guests carry what their first boots are told, and XML that may hold passwords; no result and no log shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from .._guests.cloud_init import KEYS, text_of
from ._converted import finite
from ._specs import GUESTS


class SecretiveAnsibleModule(AnsibleModule):
    """Ansible hides the values of ``no_log`` options, but not all forms of them.

    * It takes each value in a mapping for a secret, and cuts a 1 or an ``a`` out of every result. So a mapping is carried as one text, and what is
      too short to mean anything to cloud-init or libvirt not at all.
    * It shows what an unknown key holds, which may be a misspelt one. So that goes.
    * It collects no secret of a list in which anything has a wrong type. So they are collected here.
    * It has no words for infinity where it wants an integer. So that is carried as text.
    * Its log gets a list of guests as one text, in which a line break is written otherwise than in the secret. So the secrets are taken out before.
    """

    params: dict[str, Any]
    #: The parameters before Ansible converts them; where it cannot, it drops some.
    given: Mapping[str, Any]

    def _load_params(self) -> None:
        super()._load_params()
        guests = self.params.get("guests")
        if isinstance(guests, list):
            self.params["guests"] = [_in_one_text(guest) for guest in guests]
            self.no_log_values.update(text for guest in self.params["guests"] for text in _secrets(guest))
        self.params = finite(self.params, self.argument_spec)
        self.given = dict(self.params)

    def _log_invocation(self) -> None:
        shown, self.params = self.params, remove_values(self.params, self.no_log_values)
        try:
            super()._log_invocation()
        finally:
            self.params = shown


#: No header of user data, no version and no instance-id fits into less.
_LEAST = 8
_GUEST = GUESTS["guests"]["options"]


def _in_one_text(guest: Any) -> Any:
    if not isinstance(guest, Mapping):
        return guest
    known = {key: item if key in _GUEST else None for key, item in guest.items()}
    if known.get("xml") is not None:
        known["xml"] = _xml(known["xml"])
    given = known.get("cloud_init")
    if given is not None:
        # Ansible's refusal of what is no mapping would quote it
        mapping = isinstance(given, Mapping)
        known["cloud_init"] = (
            {key: _text(item) if key in KEYS else None for key, item in given.items()} if mapping else "no mapping"
        )
    return known


def _secrets(guest: Any) -> Iterator[str]:
    if isinstance(guest, Mapping):
        given = guest.get("cloud_init")
        for text in (guest.get("xml"), *(given.values() if isinstance(given, Mapping) else ())):
            if isinstance(text, str) and text.strip():
                yield text


def _text(content: Any) -> Any:
    if not content:
        return content
    text = content if isinstance(content, str) else text_of(content) if isinstance(content, (Mapping, list)) else ""
    return text if len(text) >= _LEAST else "too short"


def _xml(given: Any) -> str:
    """Return the XML as one text; what is none, or too short for a domain, as a text that is refused without being shown."""
    if not isinstance(given, str):
        return "no text of XML"
    return given if not given.strip() or len(given) >= _LEAST else "too short"
