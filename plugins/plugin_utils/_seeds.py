# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the YAML that guests' first boots are told, found on the controller, since nodes have no reader of YAML. Pure.

cloud-init drops what it cannot read with a line in the guest's own log, so the guest would come up without its key and address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cloud_init import (
    VERSIONS,
    has_instance,
    matches_network,
    version_of,
)

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one of C, where there is one, takes a tenth of the time

_KINDS = {dict: "a mapping", list: "a list", str: "a text", type(None): "empty"}
_CONFIG = "#cloud-config"
#: Kinds of user data that begin like a ``#cloud-config`` and are lists.
_LISTS = ("#cloud-config-archive",)


def seed_faults(guests: Any) -> list[str]:
    """Return one refusal for each text of ``cloud_init`` that is no YAML mapping, or means nothing; no text is quoted, since passwords may be in it."""
    faults: list[str] = []
    for guest in guests if isinstance(guests, Sequence) and not isinstance(guests, str) else ():
        given = guest.get("cloud_init") if isinstance(guest, Mapping) and guest.get("state") != "absent" else None
        if isinstance(given, Mapping):
            faults += [f"realtime_guests: {guest.get('name')}: cloud_init: {fault}" for fault in _faults(given)]
    return faults


def _faults(given: Mapping[str, Any]) -> Iterator[str]:
    for key in ("user_data", "meta_data", "network_config"):
        text = given.get(key)
        if not isinstance(text, str) or (key == "user_data" and not text.lower().startswith(_CONFIG)):
            continue
        wanted = list if text.lower().startswith(_LISTS) else dict
        fault, found = _read(text, wanted)
        if fault or isinstance(found, dict):
            fault = fault or _MEANINGS.get(key, _nothing)(text, found)
        if fault:
            yield f"{key} {fault}"


def _nothing(_text: str, _found: Mapping[Any, Any]) -> str:
    return ""


def _of_meta(text: str, found: Mapping[Any, Any]) -> str:
    """Return what a node's reader of lines does not see in meta data."""
    instance = found.get("instance-id")
    empty = instance is None or isinstance(instance, (bool, dict, list)) or not str(instance).strip()
    return (
        "has no instance-id, without which cloud-init takes no seed; give one, or a mapping"
        if empty and has_instance(text)
        else ""
    )


def _of_network(text: str, found: Mapping[Any, Any]) -> str:
    """Return what a node's reader of lines does not see in a network configuration."""
    below = found.get("network", found)
    version = below.get("version") if isinstance(below, dict) else None
    if (isinstance(version, bool) or version not in VERSIONS) and version_of(text) in map(str, VERSIONS):
        return "has no version at its top, without which cloud-init does not know its form; give version: 2 (netplan's), or 1, as a number"
    if not matches_network(text) and _names_network(below):
        return "is a text with a network in match, of which the MAC is worked out in a mapping alone; give it as a mapping"
    return ""


def _names_network(config: Any) -> bool:
    """Whether an interface is matched by a network: of version 2, in sections of cards by name, of version 1, in a list."""
    sections = [*config.values()] if isinstance(config, dict) else []
    cards = [card for section in sections for card in (section.values() if isinstance(section, dict) else _listed(section))]
    matches = [card.get("match") for card in cards if isinstance(card, dict)]
    return any(isinstance(match, dict) and "network" in match for match in matches)


def _listed(value: Any) -> list[Any]:
    """Return a list; an empty one for anything else."""
    return value if isinstance(value, list) else []


_MEANINGS = {"meta_data": _of_meta, "network_config": _of_network}


def _read(text: str, wanted: type) -> tuple[str, Any]:
    """Return what is wrong with a text of YAML, and what it holds."""
    try:
        found = yaml.load(text.encode(), Loader=_LOADER)  # bytes, since it takes no text with the tags that Ansible adds
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return f"is no valid YAML{where}; cloud-init would ignore all of it (cloud-init schema --config-file tells more)", None
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that is none
        return "is no valid YAML; cloud-init would ignore all of it (cloud-init schema --config-file tells more)", None
    if found is None and wanted is dict:
        return "", None
    if not isinstance(found, wanted):
        kind = "mapping" if wanted is dict else "list"
        return f"is {_KINDS.get(type(found), 'a single value')} in YAML, not a {kind}; cloud-init would ignore it", None
    return "", found
