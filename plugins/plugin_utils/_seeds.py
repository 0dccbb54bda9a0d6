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
from ansible_collections.realtime.kvm.plugins.module_utils._guests.cloud_init import VERSIONS, names_network

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one of C, where there is one, takes a tenth of the time

_KINDS = {dict: "a mapping", list: "a list", str: "a text", type(None): "empty"}
_CONFIG = "#cloud-config"
#: Kinds of user data that begin like a ``#cloud-config`` and are lists.
_LISTS = ("#cloud-config-archive",)


def seed_faults(guests: Any) -> list[str]:
    """Return one refusal for each text of ``cloud_init`` that is no YAML mapping; no text is quoted, since passwords may be in it."""
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
        fault = _fault(text, wanted) or (_network_fault(text) if key == "network_config" else "")
        if fault:
            yield f"{key} {fault}"


def _network_fault(text: str) -> str:
    """Return what the nodes, which have no reader of YAML, may miss in a network configuration that is one."""
    found = _read(text)
    below = found.get("network", found) if isinstance(found, dict) else found
    version = below.get("version") if isinstance(below, dict) else None
    if found is not None and (isinstance(version, bool) or version not in VERSIONS):
        return (
            f"has no version at its top or below network; give version: {VERSIONS[1]} (netplan's), or {VERSIONS[0]}, as a number"
        )
    if names_network(found):
        return (
            "is a text with a network in match, of which the MAC is worked out in a mapping alone; give it as a mapping (without the | behind "
            "network_config), or match by macaddress or name"
        )
    return ""


def _read(text: str) -> Any:
    return yaml.load(text.encode(), Loader=_LOADER)  # bytes, since it takes no text with the tags that Ansible adds


def _fault(text: str, wanted: type) -> str:
    try:
        found = _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return f"is no valid YAML{where}; cloud-init would ignore all of it (cloud-init schema --config-file tells more)"
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that is none
        return "is no valid YAML; cloud-init would ignore all of it (cloud-init schema --config-file tells more)"
    if found is None and wanted is dict:
        return ""
    if not isinstance(found, wanted):
        kind = "mapping" if wanted is dict else "list"
        return f"is {_KINDS.get(type(found), 'a single value')} in YAML, not a {kind}; cloud-init would ignore it"
    return ""
