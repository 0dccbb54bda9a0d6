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
    """Return a feature's options on the node, None where it is not configured."""
    text = host.read(config_path(feature.name))
    if text is None:
        return None
    try:
        return _checked(feature, decode(text))
    except ValueError as error:
        path, role = config_path(feature.name), feature.role
        raise HostError(f"{path} is damaged ({error}); run the {role} role to write it again") from None


def _checked(feature: Feature, options: Any) -> Mapping[str, Any]:
    """Return options; ``ValueError`` when they are not of the form that the module writes."""
    known = feature.options
    if not isinstance(options, dict) or set(options) != set(known):
        raise ValueError(f"it should hold {', '.join(known) or 'no option'}")
    for name, check in known.items():
        wrong = check(options[name])
        if wrong:
            raise ValueError(f"{name} is {options[name]!r}, {wrong}")
    return options
