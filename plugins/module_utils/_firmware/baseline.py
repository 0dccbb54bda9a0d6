# SPDX-License-Identifier: GPL-3.0-or-later
"""Baselines: the wanted firmware attributes as data, and what they mean for one machine. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from .registry import Attribute, BiosError, Registry, Value, as_text, check_value, names, same

PROFILES = ("latency", "balanced", "none")
FOLLOWS = ("smt", "numa", "turbo")
TOPICS = (
    "profile",
    "idle",
    "frequency",
    "memory",
    "smi",
    "pcie",
    "virtualization",
    "interrupts",
    "smt",
    "numa",
    "turbo",
    "watchdog",
)
MATCHES = ("exact", "suffix", "glob")
GATES = ("needed", "always")
GENERIC = "generic"

#: The suffix that a BIOS build appends to a name: underscores or a hash, and a few hexadecimal digits (PackageCState_3D25, QuietBoot#002E).
_SUFFIX = re.compile(r"(_+|#)[0-9A-F]{3,5}")
_KEYS = {"name", "match", "topic", "gate", "follows", "map", "latency", "balanced", "known", "reason", "cost", "source"}


@dataclass(frozen=True)
class Setting:
    """One attribute of a baseline.

    ``wanted`` has the accepted values by profile, the preferred one first; a missing profile leaves the attribute alone.
    ``mapped`` has them by the choice that the setting follows (SMT, NUMA clustering, turbo). A ``gate`` is a preset that
    locks others: ``needed`` is changed only where another attribute needs it, ``always`` must have one of its values
    in any case.
    """

    name: str
    topic: str
    reason: str
    cost: str
    source: str
    match: str = "exact"
    gate: str = ""
    follows: str = ""
    wanted: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    mapped: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    def found(self, attributes: Iterable[str]) -> list[str]:
        """Return the machine's names for this attribute."""
        if self.match == "glob":
            return sorted(name for name in attributes if fnmatchcase(name, self.name))
        return sorted(
            name for name in attributes if name == self.name or (self.match == "suffix" and bool(_suffix_of(name, self.name)))
        )


def _suffix_of(name: str, base: str) -> str:
    rest = name[len(base) :] if name.startswith(base) else ""
    return rest if _SUFFIX.fullmatch(rest) else ""


@dataclass(frozen=True)
class Baseline:
    """The attributes of one vendor and generation."""

    name: str
    title: str
    manufacturers: tuple[str, ...]
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Intent:
    """The inventory's request.

    ``smt`` is ``together``, ``single`` or ``keep``; ``numa`` ``keep`` or the number of NUMA nodes of a package; ``turbo``
    ``keep`` or ``off``. ``overrides`` win over the baseline; a value of None leaves the attribute alone.
    """

    profile: str = "latency"
    smt: str = "together"
    numa: str = "keep"
    turbo: str = "keep"
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def follow(self, what: str) -> str:
        return {"smt": self.smt, "numa": self.numa, "turbo": self.turbo}[what]


@dataclass(frozen=True)
class Request:
    """The wanted value of one attribute of one machine; without ``accepted`` values it keeps its value."""

    name: str
    accepted: tuple[Value, ...]
    reason: str = ""
    cost: str = ""
    source: str = ""
    topic: str = ""
    origin: str = "baseline"
    gate: str = ""
    meaning: str = ""
    base: str = ""  # the baseline's name where the machine's has a suffix
    unsupported: str = ""  # why no accepted value is possible

    def satisfied(self, value: Value) -> bool:
        return not self.accepted or any(same(value, accepted) for accepted in self.accepted)


@dataclass(frozen=True)
class Requests:
    """All requests for one machine, and the attributes that it does not have: ``missing`` are those whose values are wanted here.

    Many attributes of a baseline exist in one generation only; they are wanted where there are, unless a machine has none of all.
    """

    requests: tuple[Request, ...]
    absent: tuple[str, ...]
    missing: tuple[str, ...] = ()


def parse_baselines(documents: Sequence[Any]) -> list[Baseline]:
    """Return the baselines of the documents. Raises BiosError that names the baseline and the attribute."""
    found = [_baseline(document) for document in documents]
    twice = sorted({one.name for one in found if [other.name for other in found].count(one.name) > 1})
    if twice:
        raise BiosError(f"bios_baselines: these names are listed twice: {names(twice)}")
    return found


def _baseline(document: Any) -> Baseline:
    if not isinstance(document, Mapping) or not all(isinstance(document.get(key), str) for key in ("name", "title")):
        raise BiosError("bios_baselines: a baseline is a dictionary with name, title, manufacturers and attributes")
    where = f"bios_baselines: {document['name']}"
    manufacturers, attributes = document.get("manufacturers", []), document.get("attributes")
    if not isinstance(manufacturers, list) or not isinstance(attributes, list):
        raise BiosError(f"{where}: manufacturers and attributes are lists")
    settings = tuple(_setting(entry, where) for entry in attributes)
    return Baseline(document["name"], document["title"], tuple(str(one).lower() for one in manufacturers), settings)


def _setting(entry: Any, where: str) -> Setting:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise BiosError(f"{where}: an attribute is a dictionary with a name")
    where = f"{where}: {entry['name']}"
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise BiosError(f"{where}: unknown keys {names(unknown)}; known are {names(sorted(_KEYS))}")
    for key in ("reason", "cost", "source"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise BiosError(f"{where}: {key} is missing; every attribute needs a reason, its cost and a source")
    for key, allowed in (("topic", TOPICS), ("match", MATCHES), ("follows", FOLLOWS), ("gate", GATES)):
        if key in entry and entry[key] not in allowed:
            raise BiosError(f"{where}: {key} is {entry[key]!r}; choose one of {names(allowed)}")
    wanted = {profile: _values(entry[profile], where) for profile in PROFILES[:2] if entry.get(profile) is not None}
    mapped = {str(key): _values(value, where) for key, value in dict(entry.get("map") or {}).items()}
    if bool(entry.get("follows")) != bool(mapped) or bool(wanted) == bool(mapped):
        raise BiosError(f"{where}: give either values by profile (latency, balanced), or follows and map")
    return Setting(
        name=entry["name"],
        topic=str(entry.get("topic", "")),
        reason=entry["reason"],
        cost=entry["cost"],
        source=entry["source"],
        match=entry.get("match", "exact"),
        gate=entry.get("gate", ""),
        follows=entry.get("follows", ""),
        wanted=wanted,
        mapped=mapped,
        known={str(key): str(value) for key, value in dict(entry.get("known") or {}).items()},
    )


def _values(value: Any, where: str) -> tuple[Value, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(one, (str, int, bool)) for one in values):
        raise BiosError(f"{where}: a value is text, a number or true/false, or a list of them")
    return tuple(values)


def choose_baseline(baselines: Sequence[Baseline], name: str, manufacturer: str) -> Baseline:
    """Return the baseline of that name, or with ``auto`` the manufacturer's, or the generic one."""
    by_name = {baseline.name: baseline for baseline in baselines}
    if name != "auto":
        if name not in by_name:
            raise BiosError(f"bios_baseline: there is no baseline {name!r}; choose one of auto, {names(sorted(by_name))}")
        return by_name[name]
    maker = manufacturer.lower()
    for baseline in baselines:
        if any(word in maker for word in baseline.manufacturers):
            return baseline
    if GENERIC not in by_name:
        raise BiosError(f"bios_baseline: no baseline is for manufacturer {manufacturer!r}; name one of {names(sorted(by_name))}")
    return by_name[GENERIC]


def make_requests(baseline: Baseline, intent: Intent, current: Mapping[str, Value], registry: Registry | None) -> Requests:
    """Return the requests for this machine's attributes, in the baseline's order. Raises BiosError for a bad override."""
    requests: dict[str, Request] = {}
    absent: list[str] = []
    rest = dict(intent.overrides)
    for setting in baseline.settings:
        found = setting.found(current)
        if not found and intent.profile != "none" and (intent.profile in setting.wanted or setting.mapped):
            absent.append(setting.name)
        for name in found:
            key = name if name in rest else setting.name
            if key in rest:
                value = rest.pop(key) if setting.match == "exact" else rest[key]
                request = _override(setting, name, value, current, registry)
            else:
                request = _request(setting, name, intent, current, registry)
            if request is not None:
                requests[name] = request
        if setting.match != "exact":
            for name in [setting.name, *found]:
                rest.pop(name, None)
    missing = [] if requests or intent.profile == "none" else list(absent)
    for name, value in rest.items():
        if name not in current:
            absent.append(name)
            missing += [name] if value is not None else []
        elif value is not None:
            checked = check_value(registry.attributes.get(name) if registry else None, current[name], value, _where(name))
            requests[name] = Request(name, (checked,), "requested by the inventory", origin="override")
    return Requests(tuple(requests.values()), tuple(absent), tuple(missing))


def restore_requests(
    baseline: Baseline,
    overrides: Mapping[str, Any],
    former: Mapping[str, Any],
    current: Mapping[str, Value],
    registry: Registry | None,
) -> tuple[Requests, tuple[str, ...]]:
    """Return the requests that restore recorded values, and the attributes that are none of this collection's business.

    The record is a node's answer: only attributes that the baseline or the inventory's overrides name are set by it, and never to
    values that the registry does not have, or that take from guests what they need.
    """
    requests: list[Request] = []
    foreign, missing = [], []
    for name, value in former.items():
        setting = next((one for one in baseline.settings if one.found([name])), None)
        if setting is None and name not in overrides:
            foreign.append(name)
        elif name not in current:
            missing.append(name)
        else:
            requests.append(_former(setting, name, value, current, registry))
    return Requests(tuple(requests), tuple(missing), tuple(missing)), tuple(foreign)


def _former(setting: Setting | None, name: str, value: Any, current: Mapping[str, Value], registry: Registry | None) -> Request:
    request = Request(name, (), "its value before this collection changed it", origin="record")
    try:
        checked = check_value(registry.attributes.get(name) if registry else None, current[name], value, "the recorded value")
        kept = _override(setting, name, checked, current, registry) if setting else None
    except BiosError as error:
        return replace(request, unsupported=str(error))
    return replace(request, accepted=(checked,), topic=kept.topic if kept else "")


def _where(name: str) -> str:
    return f"bios_overrides: {name}"


def _override(setting: Setting, name: str, value: Any, current: Mapping[str, Value], registry: Registry | None) -> Request | None:
    if value is None:
        return None
    attribute = registry.attributes.get(name) if registry else None
    checked = check_value(attribute, current[name], value, _where(name))
    needed = set(_written({one: None for values in setting.wanted.values() for one in values}, attribute))
    if setting.topic == "virtualization" and checked not in needed:
        raise BiosError(
            f"{_where(name)} is {checked!r}, which removes what guests need ({setting.reason}); "
            f"this collection never does that: leave it out, or set {names(sorted(map(str, needed)))}"
        )
    return Request(
        name,
        (checked,),
        f"requested by the inventory; {setting.reason}",
        setting.cost,
        setting.source,
        setting.topic,
        "override",
        base=setting.name if name != setting.name else "",
    )


def _request(
    setting: Setting, name: str, intent: Intent, current: Mapping[str, Value], registry: Registry | None
) -> Request | None:
    if intent.profile == "none":
        return None
    if setting.follows:
        accepted = setting.mapped.get(intent.follow(setting.follows), ())
        reason = f"follows {setting.follows}: {intent.follow(setting.follows)}; {setting.reason}"
        if not accepted and intent.follow(setting.follows) not in ("keep", "together"):
            why = f"the baseline has no value for {setting.follows}: {intent.follow(setting.follows)}"
            return _made(setting, name, (), reason, current, why)
    elif intent.profile in setting.wanted:
        accepted, reason = setting.wanted[intent.profile], setting.reason
    else:
        return None
    attribute = registry.attributes.get(name) if registry else None
    allowed = _written(accepted, attribute)
    if accepted and not allowed and attribute:
        why = f"the registry has none of {names(map(as_text, accepted))}; it has {names(map(as_text, attribute.values))}"
        return _made(setting, name, (), reason, current, why)
    return _made(setting, name, allowed, reason, current, "")


def _written(values: Iterable[Value], attribute: Attribute | None) -> tuple[Value, ...]:
    """Return values as the machine writes them, without those that its registry does not have."""
    if attribute is None or attribute.type not in ("Enumeration", "Boolean", "Integer"):
        return tuple(values)
    known = [attribute.known(value) for value in values]
    return tuple(dict.fromkeys(value for value in known if value is not None))


def _made(
    setting: Setting, name: str, accepted: tuple[Value, ...], reason: str, current: Mapping[str, Value], unsupported: str
) -> Request:
    return Request(
        name,
        accepted,
        reason,
        setting.cost,
        setting.source,
        setting.topic,
        "baseline",
        setting.gate,
        setting.known.get(str(current.get(name)), ""),
        setting.name if name != setting.name else "",
        unsupported,
    )
