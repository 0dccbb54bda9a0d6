# SPDX-License-Identifier: GPL-3.0-or-later
"""The file from which nova-compute reports traits to placement. Pure.

Nova reads ``*.yaml`` of one folder at its start, and refuses to start where two files describe one provider (nova/compute/provider_config.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._cpus.errors import RefusalError

FOLDER = "/etc/nova/provider_config"
NAME = "realtime-kvm.yaml"

_NODE = "$COMPUTE_NODE"


class ProviderError(RefusalError):
    """Another file describes the node's provider."""


def provider_text(traits: Sequence[str], title: str) -> str:
    """Return the text of the file."""
    lines = [
        f"# Written by realtime.kvm: {title}",
        "# Changes here are lost with the next run; undo removes the file.",
        "meta:",
        "  schema_version: '1.0'",
        "providers:",
        "  - identification:",
        f"      uuid: {_NODE}",
        "    traits:",
        "      additional:",
        *(f"        - {trait}" for trait in traits),
    ]
    return "\n".join(lines) + "\n"


def traits_of(text: str) -> list[str]:
    """Return the traits of a file of ours."""
    return re.findall(r"(?m)^ +- (CUSTOM_[A-Z0-9_]+)$", text)


@dataclass(frozen=True)
class Block:
    """What a file says of one provider."""

    path: str
    uuid: str  # or the name
    name: str
    traits: frozenset[str]


def read_blocks(files: Mapping[str, str], load: Callable[[str], Any] | None) -> list[Block]:
    """Return the blocks of the operator's files, without those that say nothing, which Nova ignores too.

    ``load`` reads YAML, None where the machine has nothing that does.
    """
    if not files:
        return []
    if load is None:
        raise ProviderError(
            f"{next(iter(files))} describes providers too, and Ansible's Python on this node has no yaml to read it; install python3-yaml (PyYAML) there"
        )
    return [block for path, text in files.items() for block in _blocks(path, text, load)]


def _blocks(path: str, text: str, load: Callable[[str], Any]) -> Iterable[Block]:
    try:
        for provider in load(text)["providers"]:
            known, traits = provider["identification"], provider.get("traits", {}).get("additional", [])
            if traits or provider.get("inventories", {}).get("additional"):
                uuid, name = known.get("uuid", ""), known.get("name", "")
                yield Block(path, str(uuid).lower() if uuid != _NODE else _NODE, str(name), frozenset(traits))
    except Exception:  # whatever a text can do to a parser
        raise ProviderError(
            f"{path} is no file of providers that nova-compute can read, with which it does not start; repair it"
        ) from None


def described_by(blocks: Sequence[Block], traits: Sequence[str], names: Collection[str], own_uuid: Callable[[], str]) -> str:
    """Return the operator's file that describes this node with all traits, empty for none; refuse one that lacks a trait.

    ``names`` are those of the node's provider; ``own_uuid`` returns its uuid, empty where it is not known. Nova does not use what ``$COMPUTE_NODE``
    says where the node is also described by its name or uuid (nova/compute/resource_tracker.py, ``_merge_provider_configs``).
    """
    own = own_uuid().lower() if any(block.uuid not in ("", _NODE) for block in blocks) else ""
    explicit = [block for block in blocks if block.name in names or (own and block.uuid == own)]
    for block in explicit or [block for block in blocks if block.uuid == _NODE]:
        missing = [trait for trait in traits if trait not in block.traits]
        if missing:
            why = (
                f"this node by its {'name' if block.name else 'uuid'}, and nova-compute ignores what others say of {_NODE} then"
                if explicit
                else f"{_NODE}, and nova-compute does not start with a second file that does"
            )
            raise ProviderError(f"{block.path} describes {why}; add the traits {', '.join(missing)} to its traits: additional:")
        return block.path
    unknown = next((block for block in blocks if block.uuid not in ("", _NODE) and not own), None)
    if unknown:
        raise ProviderError(
            f"{unknown.path} describes a provider by its uuid, and that of this node is not known yet (compute_id in Nova's state_path), so it may be this "
            f"node; start nova-compute once, or use its name or {_NODE}"
        )
    return ""
