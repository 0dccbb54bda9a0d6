# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and guests as Ansible converts them for a module: numbers and truths that are given as text, say. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.common.validation import (
    check_type_bool,
    check_type_dict,
    check_type_int,
    check_type_list,
    check_type_str,
)

_TYPES: dict[str, Callable[[Any], Any]] = {
    "bool": check_type_bool,
    "dict": check_type_dict,
    "int": check_type_int,
    "list": check_type_list,
    "str": check_type_str,
}


def converted(item: Any, options: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return a mapping with its values converted as far as they can be; what cannot stays, so that its reader refuses it by guest and key."""
    if not isinstance(item, Mapping):
        return item
    return {key: _value(value, options[key]) if key in options else value for key, value in item.items()}


def finite(item: Any, options: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return a mapping with text in place of infinity where an integer is wanted: Ansible's conversion would end with a traceback."""
    if not isinstance(item, Mapping):
        return item
    return {key: _finite(value, options[key]) if key in options else value for key, value in item.items()}


def _finite(value: Any, option: Mapping[str, Any]) -> Any:
    if "options" in option:
        return [finite(one, option["options"]) for one in value] if isinstance(value, list) else finite(value, option["options"])
    try:
        if option.get("type") == "int":
            check_type_int(value)
    except OverflowError:
        return f"{value} (no number)"
    except (TypeError, ValueError):
        pass
    return value


def _value(value: Any, option: Mapping[str, Any]) -> Any:
    inner = option.get("options")
    if value is None or (inner and option["type"] == "dict"):
        return value
    if inner:
        return [converted(_typed(item, "dict"), inner) for item in value] if isinstance(value, (list, tuple)) else value
    return _typed(value, option["type"])


def _typed(value: Any, kind: str) -> Any:
    try:
        return _TYPES[kind](value)
    except (TypeError, ValueError, OverflowError):  # OverflowError: infinity
        return value
