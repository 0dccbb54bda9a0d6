# SPDX-License-Identifier: GPL-3.0-or-later
"""A feature's options, as the node keeps them for the boot service. Edge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._cpus.answers import decode
from .._cpus.errors import HostError
from .._host.host import Host
from .._host.paths import config_path
from .feature import Feature


def read_options(host: Host, feature: Feature) -> Mapping[str, Any] | None:
    """Return a feature's options on the node, None where it is not configured.

    An option that the file lacks has its default, and one that this release does not know is noted, since another release
    may have written the file.
    """
    path = config_path(feature.name)
    text = host.read(path)
    if text is None:
        if host.exists(path):
            raise HostError(f"{path} cannot be read; run the {feature.role} role to write it again")
        return None
    try:
        given = decode(text)
        if not isinstance(given, dict):
            raise ValueError(f"it should hold {', '.join(feature.options) or 'no option'}")
        options = {name: given.get(name, feature.defaults[name]) for name in feature.options}
        _check(feature, options)
    except ValueError as error:
        raise HostError(f"{path} is damaged ({error}); run the {feature.role} role to write it again") from None
    unknown = ", ".join(sorted(set(given) - set(feature.options)))
    note = f"{path} holds {unknown}, which this release does not know; run the {feature.role} role to write it again"
    if unknown and note not in host.notes:
        host.notes.append(note)
    return options


def _check(feature: Feature, options: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` for a value that the module would not write."""
    for name, check in feature.options.items():
        wrong = check(options[name])
        if wrong:
            raise ValueError(f"{name} is {options[name]!r}, {wrong}")
