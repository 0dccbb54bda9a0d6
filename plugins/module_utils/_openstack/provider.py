# SPDX-License-Identifier: GPL-3.0-or-later
"""The file from which nova-compute reports traits to placement. Pure.

Nova reads ``*.yaml`` of one folder at its start, and refuses to start where two files describe one provider (nova/compute/provider_config.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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


def described_by(files: Mapping[str, str], traits: Sequence[str]) -> str:
    """Return the operator's file that describes this node with all traits, empty for none; refuse one that lacks a trait."""
    for path, text in files.items():
        plain = re.sub(r"(?m)(^|\s)#.*$", "", text)
        if _NODE not in plain:
            continue
        missing = [trait for trait in traits if not re.search(rf"\b{trait}\b", plain)]
        if missing:
            raise ProviderError(
                f"{path} describes {_NODE}, and nova-compute does not start with a second file that does; add the traits "
                f"{', '.join(missing)} to its traits: additional:"
            )
        return path
    return ""
