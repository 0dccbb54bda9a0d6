# SPDX-License-Identifier: GPL-3.0-or-later
"""A BIOS attribute registry: the allowed values of attributes, and how they depend on one another. Pure.

The model follows DMTF DSP0268, schema AttributeRegistry: ``ReadOnly`` means that a value cannot be modified, ``GrayOut``
that the attribute has no effect now although its value can be modified. Dependencies of type ``Map`` change these
properties, or other attributes' values, when conditions on current values hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Union

from .._cpus.errors import RefusalError
from .odata import listed

Value = Union[str, int, bool, None]

#: The longest chain of effects that is followed; registries have chains of two or three.
_DEPTH = 16
_NUMBER = re.compile(r"-?[0-9]{1,18}")
#: Operators of HPE's registries before Redfish had them (iLO 4), as DSP0268 names them.
_OPERATORS = {"==": "EQU", "!=": "NEQ", ">": "GTR", ">=": "GEQ", "<": "LSS", "<=": "LEQ"}


class BiosError(RefusalError):
    """A request or a document that cannot be used; the message names the variable or the attribute, and what would work."""


@dataclass(frozen=True)
class Choice:
    """One value of an enumeration: the registry's name (``ValueName``) and its text for people (``ValueDisplayName``)."""

    name: Value
    display: str = ""


@dataclass(frozen=True)
class Attribute:
    """One attribute as the registry describes it.

    ``values`` are those of an enumeration or a truth, and ``spellings`` has all ways to write them; as in the registry, until
    ``spelling.as_shown`` has seen how the machine writes them.
    """

    name: str
    type: str = "String"  # Enumeration, String, Integer, Boolean, Password
    choices: tuple[Choice, ...] = ()
    values: tuple[Value, ...] = ()
    spellings: Mapping[str, Value] = field(default_factory=dict)
    numbers_as_text: bool = False
    lower: int | None = None
    upper: int | None = None
    max_length: int | None = None
    read_only: bool = False
    gray_out: bool = False
    immutable: bool = False

    def known(self, value: Any) -> Value:
        """Return a value as the machine writes it, None where the registry does not have it."""
        if self.type == "Integer" and (number := whole_number(value)) is not None:
            return str(number) if self.numbers_as_text else number
        return self.spellings.get(as_text(value))


@dataclass(frozen=True)
class Condition:
    """One ``MapFrom``: an attribute's value compared with a constant."""

    attribute: str
    operator: str
    value: Value
    property: str = "CurrentValue"


@dataclass(frozen=True)
class Dependency:
    """The value of a target's property while the conditions hold; ``terms`` join condition i and i+1."""

    target: str
    property: str
    value: Value
    conditions: tuple[Condition, ...]
    terms: tuple[str, ...] = ()

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Return whether the conditions hold, joined from left to right (DSP0268)."""
        outcome = False
        for number, condition in enumerate(self.conditions):
            one = _holds(condition, values)
            if number == 0:
                outcome = one
            elif self.terms[number - 1] == "AND":
                outcome = outcome and one
            else:
                outcome = outcome or one
        return outcome

    def words(self, values: Mapping[str, Value]) -> str:
        """Return the conditions that hold, as text for a message."""
        held = [condition for condition in self.conditions if _holds(condition, values)]
        signs = {"EQU": "is", "NEQ": "is not"}
        return " and ".join(
            f"{one.attribute} {signs.get(one.operator, one.operator)} {one.value}"
            + ("" if one.operator == "EQU" else f" (it is {values.get(one.attribute)})")
            for one in held
        )


def same(one: Value, other: Value) -> bool:
    """Compare values as BMCs do: true and "true" are the same, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return str(one).lower() == str(other).lower()
    return one == other


def as_text(value: Any) -> str:
    """Return a value as text, truths as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def whole_number(value: Any) -> int | None:
    """Return a whole number, also one that is written as text; None for anything else."""
    if isinstance(value, str):
        return int(value) if _NUMBER.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def is_true(value: Any) -> bool:
    """Return a flag that some BMCs write as text."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _holds(condition: Condition, values: Mapping[str, Value]) -> bool:
    if condition.property != "CurrentValue" or condition.attribute not in values:
        return False
    value = values[condition.attribute]
    if condition.operator == "EQU":
        return same(value, condition.value)
    if condition.operator == "NEQ":
        return not same(value, condition.value)
    number, limit = whole_number(value), whole_number(condition.value)
    if number is None or limit is None:
        return False
    return {
        "GTR": number > limit,
        "GEQ": number >= limit,
        "LSS": number < limit,
        "LEQ": number <= limit,
    }.get(condition.operator, False)


@dataclass(frozen=True)
class Registry:
    """A parsed registry."""

    identity: str
    attributes: Mapping[str, Attribute]
    dependencies: tuple[Dependency, ...] = ()
    _to: dict[str, list[Dependency]] = field(default_factory=dict)
    _from: dict[str, list[Dependency]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for dependency in self.dependencies:
            self._to.setdefault(dependency.target, []).append(dependency)
            for name in {condition.attribute for condition in dependency.conditions}:
                self._from.setdefault(name, []).append(dependency)

    def _flag(self, name: str, flag: str, base: bool, values: Mapping[str, Value]) -> tuple[bool, str]:
        """Return a property of an attribute under these values, and the reason.

        Registries that a machine itself generates (iDRAC) hold the present state of the property; so if dependencies govern
        it and none of them holds, it is false.
        """
        governing = [dependency for dependency in self._to.get(name, []) if dependency.property == flag]
        outcome, why = base and not any(is_true(dependency.value) for dependency in governing), ""
        for dependency in governing:
            if dependency.holds(values):
                outcome, why = is_true(dependency.value), dependency.words(values)
        return outcome, why

    def read_only(self, name: str, values: Mapping[str, Value]) -> str | None:
        """Return why an attribute cannot be modified under these values, None where it can."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return "the registry does not have it"
        if attribute.immutable:
            return "the registry has Immutable"
        locked, why = self._flag(name, "ReadOnly", attribute.read_only, values)
        return (why or "the registry has ReadOnly") if locked else None

    def gray_out(self, name: str, values: Mapping[str, Value]) -> str | None:
        """Return why an attribute would have no effect under these values, None where it would have one."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return None
        locked, why = self._flag(name, "GrayOut", attribute.gray_out, values)
        return (why or "the registry has GrayOut") if locked else None

    def simulate(self, values: Mapping[str, Value], changes: Mapping[str, Value]) -> dict[str, Value]:
        """Return the values after these changes and a reset, including those that dependencies map to other attributes."""
        after = {**values, **changes}
        fresh: set[str] = {name for name, value in changes.items() if not same(values.get(name), value)}
        for _round in range(_DEPTH):
            touched: set[str] = set()
            for name in sorted(fresh):
                for dependency in self._from.get(name, []):
                    if dependency.property != "CurrentValue" or dependency.target not in after:
                        continue
                    if dependency.holds(after) and not same(after[dependency.target], dependency.value):
                        after[dependency.target] = dependency.value
                        touched.add(dependency.target)
            if not touched:
                break
            fresh = touched
        return after


def parse_registry(document: Mapping[str, Any]) -> Registry:
    """Return the registry of a Redfish AttributeRegistry document.

    Raises BiosError for any other document.
    """
    entries = document.get("RegistryEntries")
    if not isinstance(entries, Mapping) or not isinstance(entries.get("Attributes"), list):
        raise BiosError("the BMC's attribute registry has no RegistryEntries.Attributes")
    attributes = [_attribute(entry) for entry in entries["Attributes"] if isinstance(entry, Mapping)]
    dependencies = [_dependency(entry) for entry in listed(entries.get("Dependencies")) if isinstance(entry, Mapping)]
    return Registry(
        str(document.get("Id", "")),
        {attribute.name: attribute for attribute in attributes if attribute.name},
        tuple(dependency for dependency in dependencies if dependency),
    )


def _attribute(entry: Mapping[str, Any]) -> Attribute:
    choices = tuple(_choice(value) for value in listed(entry.get("Value")) if isinstance(value, Mapping))
    kind = str(entry.get("Type", "String")).capitalize()
    both: Mapping[str, Value] = {"true": True, "false": False} if kind == "Boolean" else {}
    return Attribute(
        name=str(entry.get("AttributeName") or entry.get("Name") or ""),  # the latter: iLO 4
        type=kind,
        choices=choices,
        values=tuple(choice.name for choice in choices) or tuple(both.values()),
        spellings={as_text(choice.name): choice.name for choice in choices} or both,
        lower=_number(entry.get("LowerBound")),
        upper=_number(entry.get("UpperBound")),
        max_length=_number(entry.get("MaxLength")),
        read_only=is_true(entry.get("ReadOnly")),
        gray_out=is_true(entry.get("GrayOut")),
        immutable=is_true(entry.get("Immutable")),
    )


def _choice(value: Mapping[str, Any]) -> Choice:
    name, display = value.get("ValueName"), value.get("ValueDisplayName")
    return Choice(name if isinstance(name, (str, int)) else "", as_text(display) if isinstance(display, (str, int)) else "")


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _dependency(entry: Mapping[str, Any]) -> Dependency | None:
    body = entry.get("Dependency")
    if entry.get("Type", "Map") != "Map" or not isinstance(body, Mapping):
        return None
    maps = [one for one in listed(body.get("MapFrom")) if isinstance(one, Mapping)]
    if not maps:
        return None
    conditions = tuple(
        Condition(
            str(one.get("MapFromAttribute", "")),
            _OPERATORS.get(str(one.get("MapFromCondition", "EQU")), str(one.get("MapFromCondition", "EQU"))),
            one.get("MapFromValue"),
            str(one.get("MapFromProperty", "CurrentValue")),
        )
        for one in maps
    )
    words = [str(one.get("MapTerms") or "").upper() for one in maps]
    # some write the term at the preceding condition, some at the following one; without terms, Dell means any of them
    joined = words[:-1] if words[0] else words[1:]
    terms = tuple(word if word in ("AND", "OR") else "OR" for word in joined)
    target, name = str(body.get("MapToAttribute", "")), str(body.get("MapToProperty", ""))
    return Dependency(target, name, body.get("MapToValue"), conditions, terms)


def check_value(attribute: Attribute | None, current: Value, value: Any, where: str) -> Value:
    """Return a wanted value in the attribute's own type, written as the machine writes it.

    ``attribute`` is None without a registry: then the current value determines the type. Raises BiosError with ``where`` first.
    """
    kind = attribute.type if attribute else _kind(current)
    known = attribute.known(value) if attribute else None
    if kind == "Password":
        raise BiosError(f"{where} is a password, which this collection does not set; use the BMC's own tools")
    if kind == "Boolean":
        if isinstance(value, bool) or known is not None:
            return value if known is None else known
        raise BiosError(f"{where} is {value!r}, but the attribute is a Boolean: true or false")
    if kind == "Integer":
        number = whole_number(value)
        if number is None:
            raise BiosError(f"{where} is {value!r}, but the attribute is an Integer{_bounds(attribute)}")
        if attribute and not _within(number, attribute):
            raise BiosError(f"{where} is {value}, but the registry allows{_bounds(attribute)}")
        return number if known is None else known
    if attribute and kind == "Enumeration" and known is not None:
        return known
    if not isinstance(value, str):
        hint = "; quote it, YAML reads it as something else" if isinstance(value, bool) else ""
        raise BiosError(f"{where} is {value!r}, but the attribute needs text{_choices(attribute)}{hint}")
    if attribute and kind == "Enumeration":
        raise BiosError(f"{where} is {value!r}, which is not in the registry{_choices(attribute)}")
    if attribute and attribute.max_length is not None and len(value) > attribute.max_length:
        raise BiosError(f"{where} has {len(value)} characters, but the registry allows {attribute.max_length}")
    return value


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "Boolean"
    return "Integer" if isinstance(value, int) else "String"


def _within(value: int, attribute: Attribute) -> bool:
    low = attribute.lower is None or value >= attribute.lower
    return low and (attribute.upper is None or value <= attribute.upper)


def _bounds(attribute: Attribute | None) -> str:
    if attribute is None or attribute.lower is None or attribute.upper is None:
        return ""
    return f" from {attribute.lower} to {attribute.upper}"


def _choices(attribute: Attribute | None) -> str:
    return f": {', '.join(map(as_text, attribute.values))}" if attribute and attribute.values else ""


def names(items: Iterable[str]) -> str:
    """Return names for a message."""
    return ", ".join(items) or "none"
