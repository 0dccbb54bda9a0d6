# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of Redfish's documents: links, lists, messages. A BMC may send anything in their place. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.answers import plain

#: Characters that a message of a BMC may have.
_MOST_WORDS = 500


def listed(value: Any) -> list[Any]:
    """Return a list; an empty one where a BMC sends something else."""
    return value if isinstance(value, list) else []


def uri(value: Any) -> str:
    """Return a registry's place; some BMCs send an object instead of text."""
    return link(value) or str(value)


def link(value: Any) -> str:
    """Return where a link leads; iLO 4 has other names for that."""
    return str(value.get("@odata.id") or value.get("href") or value.get("extref") or "") if isinstance(value, dict) else ""


def last(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def nearest(name: str, members: list[str]) -> str | None:
    """Return the registry file that fits best: on some machines, BIOS and registry collection disagree about versions."""
    wanted = name.lower()
    for path in members:
        if last(path).lower() == wanted:
            return path
    for stem in (wanted.split(".")[0], "biosattributeregistry"):
        found = [path for path in members if stem and last(path).lower().startswith(stem)]
        if found:
            return found[0]
    return None


def messages_of(body: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the messages of an answer, each with the attributes it is about."""
    found = []
    error = body.get("error")
    lists = [body.get("@Message.ExtendedInfo"), error.get("@Message.ExtendedInfo") if isinstance(error, dict) else None]
    lists += [value for key, value in body.items() if key.endswith("@Message.ExtendedInfo") and key != "@Message.ExtendedInfo"]
    # iDRAC sends a message alone in the place of a list (OpenStack sushy, fix-extended-info-error-handling)
    lists = [[one] if isinstance(one, dict) else one for one in lists]
    for entry in [one for entries in lists if isinstance(entries, list) for one in entries if isinstance(one, dict)]:
        text = plain(str(entry.get("Message") or entry.get("MessageId") or entry.get("MessageID") or ""), _MOST_WORDS)
        attributes = [str(one).rsplit("/", 1)[-1] for one in listed(entry.get("RelatedProperties"))]
        found.append((text, attributes + [str(one) for one in listed(entry.get("MessageArgs"))]))
    if not found and isinstance(error, dict) and error.get("message"):
        found.append((plain(str(error["message"]), _MOST_WORDS), []))
    return [(text, attributes) for text, attributes in found if text]
