# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as YAML, one line for each guest, so that a person and a diff can read it; and read again, unless somebody edited it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain

from .digests import digest
from .document import FORMAT
from .model import PlacementError

#: Its file in realtime_place_folder.
PLAN = "placement.yml"
#: The most characters of a plan in a report; one of 10,000 guests on 1,000 hosts has 2 million.
MOST_TEXT = 1 << 24
HEADER = """\
# A plan of realtime.kvm.place: review it, then apply it as it is (realtime_place_apply: true). It is refused once it was edited, or once hosts,
# guests or rules are no longer those that it was made from; make a new one then.
"""
_AGAIN = "run place again without realtime_place_apply, and review the new plan"


def _refuse_merges(_loader: Any, node: Any) -> None:
    """Refuse keys that take in other mappings: a few lines with them can be billions of keys while they are read."""
    for key, _value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            raise yaml.constructor.ConstructorError(None, None, "it takes in other parts by <<, as no plan does", key.start_mark)


#: A loader of plain data.
_Loader: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {"flatten_mapping": _refuse_merges})


def to_yaml(document: Mapping[str, Any], header: str = HEADER) -> str:
    """Return the text of a document: mappings and lists of the first two levels in lines, what is in them on one line each."""
    return header + "---\n" + "".join(_lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            yield f"{to_flow(key)}:\n"
            yield from (f"  {to_flow(name)}: {to_flow(item)}\n" for name, item in value.items())
        elif isinstance(value, list) and value:
            yield f"{to_flow(key)}:\n"
            yield from (f"  - {to_flow(item)}\n" for item in value)
        else:
            yield f"{to_flow(key)}: {to_flow(value)}\n"


class Vaulted(str):
    """The text of a vault, which stays one."""

    __slots__ = ()


class Unsafe(str):
    """A text that looks like a template and is none."""

    __slots__ = ()


class Kept(str):
    """A template that stays one, and what it was worked out to."""

    raw: Any
    value: Any

    @classmethod
    def of(cls, raw: str, value: Any) -> Kept:
        """Return a template of the inventory with its value."""
        found = cls(raw)
        found.raw, found.value = raw, value
        return found


def to_flow(value: Any) -> str:
    """Return a value on one line; texts that are plain words have no quotes."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{to_flow(key)}: {to_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(to_flow, value)) + "]"
    if isinstance(value, Vaulted):
        return f"!vault {_quoted(value)}"
    if isinstance(value, Unsafe):
        return f"!unsafe {_quoted(value)}"
    if isinstance(value, str):
        return str(value) if _is_word(value) else _quoted(value)
    return json.dumps(value, default=str)


def _quoted(text: str) -> str:
    """Return a text in quotes that YAML and JSON read alike, but for the characters beyond 16 bits: YAML knows no pairs of surrogates."""
    parts = (json.dumps(part)[1:-1] if part <= "\uffff" else f"\\U{ord(part):08x}" for part in text)
    return '"' + ("".join(parts) if max(text, default="") > "\uffff" else json.dumps(text)[1:-1]) + '"'


def _is_word(text: str) -> bool:
    """Whether YAML takes a text for itself without quotes: a word of letters, and none that means something else."""
    return (
        text.isascii()
        and text.replace("-", "").replace("_", "").replace(".", "").isalnum()
        and text[0].isalpha()
        and text[-1].isalnum()
        and text.lower() not in ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf")
    )


def from_yaml(text: str, path: str) -> dict[str, Any]:
    """Return a plan that was written before; ``PlacementError`` where it is none, of another release, or edited."""
    try:
        found = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PlacementError(f"{path} is no YAML ({plain(str(error), 120)}); {_AGAIN}") from None
    if _values_beyond(found, 4 * len(text) + 100):
        raise PlacementError(f"{path} repeats parts of itself by aliases, which no plan has; {_AGAIN}")
    if not isinstance(found, dict) or "format" not in found or "digest" not in found:
        raise PlacementError(f"{path} is no plan of place; {_AGAIN}")
    if found["format"] != FORMAT:
        raise PlacementError(f"{path} has format {plain(str(found['format']), 20)}, this release knows {FORMAT}; {_AGAIN}")
    own = found.pop("digest")
    try:
        same = digest(found) == own
    except (TypeError, ValueError, RecursionError):  # keys of several types, numbers of thousands of digits: not what was written
        same = False
    if not same:
        raise PlacementError(
            f"{path} was edited: its text is not the one that was planned. Change the guests, rules or options instead, then {_AGAIN}"
        )
    _check_shape(found, path)
    return {**found, "digest": own}


def _values_beyond(found: Any, most: int) -> bool:
    """Whether there are more values than a text without aliases can have; a few lines with aliases can be billions of them."""
    left, count = [found], 0
    while left:
        value = left.pop()
        inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
        count += 1 + len(inner)
        if count > most:
            return True
        left += inner
    return False


def check_current(plan: Mapping[str, Any], inputs: str, path: str) -> None:
    """Refuse a plan that was made from other hosts, guests, rules or options."""
    if plan["inputs"] != inputs:
        raise PlacementError(
            f"{path} is out of date: hosts, guests, rules or options are not those that it was made from. Nothing was written; {_AGAIN}"
        )


def check_decisions(plan: Mapping[str, Any], now: Mapping[str, Any], path: str) -> None:
    """Refuse a plan whose inputs are the same, while the nodes have changed by themselves (memory, switch) so that another plan comes of them."""
    if _decisions(plan) != _decisions(now):
        raise PlacementError(
            f"{path} is out of date: memory, switch or guests of the nodes have changed since, and another plan comes of them. Nothing was written; {_AGAIN}"
        )


def _decisions(plan: Mapping[str, Any]) -> list[Any]:
    guests = [[entry.get(key) for key in ("guest", "host", "node", "change", "from")] for entry in plan["guests"]]
    return [guests, [[step[key] for key in _STEP] for step in plan["moves"]], sorted(plan["hosts"])]


_STEP = ("guest", "from", "to", "node", "how")
#: What a plan has, by key: its type, and the keys of each item with their types.
_SHAPE: dict[str, tuple[type, dict[str, Any]]] = {
    "inputs": (str, {}),
    "summary": (dict, {}),
    "unplaced": (list, {"guest": str, "reason": str, "change": str}),
    "moves": (list, {"guest": str, "from": str, "to": str, "node": (int, type(None)), "how": str}),
    "guests": (list, {"guest": str, "host": str, "node": (int, type(None)), "change": str}),
    "hosts": (dict, {"before": dict, "after": dict, "room": dict}),
    "left_out": (dict, {}),
    "remarks": (list, {}),
}


def _check_shape(plan: Mapping[str, Any], path: str) -> None:
    """Refuse a plan that lacks something; its digest is right, so another program has written it."""
    wrong = []
    for key, (kind, inner) in _SHAPE.items():
        found = plan.get(key)
        if not isinstance(found, kind):
            wrong.append(key)
            continue
        items = found if isinstance(found, list) else found.values() if isinstance(found, dict) else ()
        if inner and not all(
            isinstance(item, dict) and all(isinstance(item.get(name, ...), one) for name, one in inner.items()) for item in items
        ):
            wrong.append(key)
    if not wrong and any(not isinstance(count, int) for count in (plan["summary"].get(key) for key in _SUMMARY)):
        wrong.append("summary")
    if wrong:
        raise PlacementError(f"{path} is not whole: {', '.join(wrong)} is missing, or not what place writes there; {_AGAIN}")


_SUMMARY = ("guests", "new", "moved", "stay", "unplaced")
