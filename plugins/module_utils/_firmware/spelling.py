# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine writes the values of its attributes, so that all values of a plan are written in the same way. Pure.

An attribute registry gives each value of an enumeration a name (``ValueName``) and a text for people (``ValueDisplayName``); DMTF
DSP0268 has the BIOS use the names. Supermicro (SYS-821GE-TNHR, BIOS 1.4) has numbers as names and uses the texts; others write
numbers and truths as text, or names that are numbers as JSON numbers. The way of a machine is that of its current values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .registry import Attribute, Condition, Dependency, Registry, Value, as_text

_NUMBER = re.compile(r"-?[0-9]{1,18}")


def as_shown(registry: Registry, current: Mapping[str, Value]) -> Registry:
    """Return the registry with all values written as the machine writes its current ones.

    ``Attribute.known`` of the result translates any spelling of a value.
    """
    displayed = _displays(registry, current)
    attributes = {name: _shown(attribute, current.get(name), displayed) for name, attribute in registry.attributes.items()}
    return Registry(registry.identity, attributes, tuple(_dependency(one, attributes) for one in registry.dependencies))


def translated(registry: Registry | None, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return values as the machine writes them; unknown ones stay as they are."""
    if registry is None:
        return dict(values)
    return {name: _translated(registry.attributes, name, value) for name, value in values.items()}


def _displays(registry: Registry, current: Mapping[str, Value]) -> bool:
    """Return whether the machine uses the texts for people: more of its values are only such a text than only a name."""
    votes = 0
    for name, value in current.items():
        attribute = registry.attributes.get(name)
        if attribute is not None and attribute.choices and value is not None:
            text = as_text(value)
            is_name = any(text == as_text(choice.name) for choice in attribute.choices)
            is_display = any(text == choice.display != "" for choice in attribute.choices)
            votes += int(is_display) - int(is_name)
    return votes > 0


def _shown(attribute: Attribute, current: Value, displayed: bool) -> Attribute:
    if attribute.choices:
        return _enumeration(attribute, current, displayed)
    if attribute.type == "Boolean":
        return _truth(attribute, current)
    if attribute.type == "Integer" and isinstance(current, str) and _NUMBER.fullmatch(current):
        return replace(attribute, numbers_as_text=True)
    return attribute


def _enumeration(attribute: Attribute, current: Value, displayed: bool) -> Attribute:
    names = [choice.name for choice in attribute.choices]
    displays: list[Value] = [choice.display or choice.name for choice in attribute.choices]
    text = as_text(current)
    is_name, is_display = (any(text == as_text(one) for one in texts) for texts in (names, displays))
    own, other = (displays, names) if is_display and (displayed or not is_name) else (names, displays)
    if not is_name and not is_display and displayed:
        own, other = displays, names
    values = tuple(_like(value, current) for value in own)
    spellings: dict[str, Value] = {}
    for texts in (own, other):
        for spelling, value in zip(texts, values):
            spellings.setdefault(as_text(spelling), value)
    return replace(attribute, values=values, spellings=spellings)


def _like(value: Value, current: Value) -> Value:
    """Return a value in the JSON type of the current one, where it has that type."""
    text = as_text(value)
    if isinstance(current, bool):
        return text == "true" if text in ("true", "false") else value
    if isinstance(current, int):
        return int(text) if _NUMBER.fullmatch(text) else value
    return value if current is None else str(value) if isinstance(value, str) else text


def _truth(attribute: Attribute, current: Value) -> Attribute:
    """Return a truth with its two values as the machine writes them: true, "True", "true" or 1."""
    pair: tuple[Value, Value] = (True, False)
    if isinstance(current, str) and current.lower() in ("true", "false"):
        pair = ("True", "False") if current[0].isupper() else ("true", "false")
    elif isinstance(current, int) and not isinstance(current, bool) and current in (0, 1):
        pair = (1, 0)
    own = {as_text(value): value for value in pair}
    return replace(attribute, values=pair, spellings={**own, "true": pair[0], "false": pair[1]})


def _dependency(dependency: Dependency, attributes: Mapping[str, Attribute]) -> Dependency:
    value = dependency.value
    if dependency.property == "CurrentValue":
        value = _translated(attributes, dependency.target, value)
    return replace(dependency, value=value, conditions=tuple(_conditions(dependency.conditions, attributes)))


def _conditions(conditions: Iterable[Condition], attributes: Mapping[str, Attribute]) -> Iterable[Condition]:
    for one in conditions:
        yield replace(one, value=_translated(attributes, one.attribute, one.value)) if one.property == "CurrentValue" else one


def _translated(attributes: Mapping[str, Attribute], name: str, value: Value) -> Value:
    attribute = attributes.get(name)
    known = attribute.known(value) if attribute is not None else None
    return value if known is None else known
