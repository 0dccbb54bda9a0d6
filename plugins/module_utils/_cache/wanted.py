# SPDX-License-Identifier: GPL-3.0-or-later
"""The groups that a partition wants: their CPUs, and their portions of each cache. Pure.

Two groups, ``realtime`` and ``dataplane``; the kernel's default group keeps the rest: housekeeping and shared CPUs. An idle thread is in the group of its
core: nothing runs there that needs portions, and a limit of it would hold for its core on some processors. A value is planned only where the group has
CPUs on the cache: elsewhere nothing of it runs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._cpus.answers import counted
from .._cpus.cpulist import format_cpulist
from .._cpus.partition import ISOLATED_SETS, Partition
from .masks import CacheError, Room, bits, divide, halves, is_row, longest_row
from .schemata import Cache, Info

#: What the groups are called, so that no other program's is taken for one.
PREFIX = "realtime-kvm-"
#: The default group, in plans.
REST = ""
#: The default group, among an operator's masks: where it is named, portions that nobody has are left to libvirt's ``<cachetune>``.
REST_KEY = "rest"
#: The variable of each level.
VARIABLES = {"L3": "cpu_partition_cache", "L2": "cpu_partition_cache_l2"}
_OPTIONS = {"L3": "cache", "L2": "cache_l2"}
BANDWIDTH = "cpu_partition_memory_bandwidth"
CODE_DATA = "cpu_partition_cache_code_data"

#: CPUs by domain, by level.
Domains = Mapping[str, Mapping[int, frozenset[int]]]


@dataclass(frozen=True)
class Group:
    """A group: its CPUs, its lines of schemata for caches on which it has CPUs, and those for all others, which it may fill whole."""

    cpus: frozenset[int]
    lines: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    whole: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def all_lines(self) -> dict[str, dict[int, int]]:
        """Return the lines as they are written."""
        names = dict.fromkeys([*self.lines, *self.whole])
        return {name: {**self.whole.get(name, {}), **self.lines.get(name, {})} for name in names}


@dataclass(frozen=True)
class Wanted:
    """The groups by name, ``REST`` among them, and remarks: where the machine gives less than was asked."""

    groups: Mapping[str, Group]
    remarks: tuple[str, ...] = ()


def group_name(of: str) -> str:
    """Return the group of a CPU set."""
    return f"{PREFIX}{of}"


def asked_levels(options: Mapping[str, Any]) -> list[str]:
    """Return the levels that are to be divided."""
    return [level for level, option in _OPTIONS.items() if options[option]]


def isolated_sets(partition: Partition, online: frozenset[int], cores: Iterable[frozenset[int]]) -> dict[str, frozenset[int]]:
    """Return the CPUs that get a group, by set: with those of ``cores``' threads that are idle beside them."""
    sets = {name: partition.sets[name] & online for name in ISOLATED_SETS}
    for core in cores:
        owner = next((name for name in ISOLATED_SETS if partition.sets[name] & online & core), None)
        if owner:
            sets[owner] |= partition.idle & online & core
    return {name: sets[name] for name in sorted(sets, reverse=True) if sets[name]}


def plan_groups(
    partition: Partition,
    online: frozenset[int],
    domains: Domains,
    info: Info,
    options: Mapping[str, Any],
    vendor: str = "",
    cores: Collection[frozenset[int]] = (),
) -> Wanted:
    """Return the groups; ``CacheError`` for what this machine cannot do."""
    sets = isolated_sets(partition, online, cores)
    rest = online - frozenset().union(*sets.values())
    lines: dict[str, dict[str, dict[int, int]]] = {name: {} for name in (*sets, REST)}
    remarks = []
    for level in asked_levels(options):
        for cache in info.of_level(level):
            remarks += _divide_level(cache, domains.get(level, {}), sets, rest, options, lines)
    _limit_bandwidth(info, domains, options["memory_bandwidth"], lines[REST], vendor)
    whole = {
        cache.name: {domain: longest_row(cache.full & ~cache.taken(domain)) for domain in domains.get(cache.level, {})}
        for cache in info.caches.values()
    }
    if info.bandwidth and vendor == "GenuineIntel":  # others do not tell the most
        whole["MB"] = dict.fromkeys(domains.get("MB", {}), 100)
    wanted = {group_name(name): Group(cpus, lines[name], whole) for name, cpus in sets.items()}
    wanted[REST] = Group(rest, lines[REST])
    useful = any(group.lines for group in wanted.values())
    return Wanted(wanted if useful else {}, tuple(dict.fromkeys(remarks)))


def _divide_level(
    cache: Cache,
    domains: Mapping[int, frozenset[int]],
    sets: Mapping[str, frozenset[int]],
    rest: frozenset[int],
    options: Mapping[str, Any],
    lines: dict[str, dict[str, dict[int, int]]],
) -> list[str]:
    """Add the lines of one cache; return remarks."""
    remarks = []
    given = options[_OPTIONS[cache.level]]
    for domain, cpus in sorted(domains.items()):
        here = {name: len(own & cpus) for name, own in sets.items() if own & cpus}
        room = Room(longest_row(cache.full & ~cache.taken(domain)), cache.hardware(domain), cache.least)
        others = len(rest & cpus)
        if not here:
            continue
        if isinstance(given, Mapping):
            masks, left = _given(cache, domain, room, given, here, rest=bool(others))
        else:
            masks, left = _own(cache, domain, room, here, others)
        touched = [name for name, mask in masks.items() if mask & room.shared]
        if touched and others:
            remarks.append(
                f"{VARIABLES[cache.level]}: devices fill portions {room.shared:x} of {cache.level} {domain} as well, also some of {' and '.join(touched)}"
            )
        for name, mask in masks.items():
            code, data = halves(mask, cache.least) if options["cache_code_data"] else (mask, mask)
            lines[name].setdefault(cache.name, {})[domain] = (
                code if cache.name.endswith("CODE") else data if cache.name.endswith("DATA") else mask
            )
        if others:
            lines[REST].setdefault(cache.name, {})[domain] = left
    return remarks


def _own(cache: Cache, domain: int, room: Room, here: Mapping[str, int], others: int) -> tuple[dict[str, int], int]:
    found = divide(room, here, others)
    if found is None:
        owners = [*here, *(["the rest"] if others else [])]
        raise CacheError(
            f"{VARIABLES[cache.level]}: {cache.level} {domain} has {counted(bits(room.mask), 'portion')} to divide, but {', '.join(owners)} need {cache.least} "
            f"each; set {VARIABLES[cache.level]}: false, or give its CPUs fewer sets"
        )
    return found


def _given(
    cache: Cache, domain: int, room: Room, given: Mapping[str, Any], here: Mapping[str, int], *, rest: bool
) -> tuple[dict[str, int], int]:
    """Return the operator's masks, checked as the kernel does."""
    masks: dict[str, int] = {}
    for name in here:
        if name not in given:
            raise CacheError(
                f"{VARIABLES[cache.level]}: {name} has CPUs on {cache.level} {domain}, but no mask; name masks of {' and '.join(here)}, or set it to true"
            )
        masks[name] = _checked(cache, domain, room, name, parse_given(VARIABLES[cache.level], name, given[name]))
    if rest and REST_KEY in given:
        masks[REST_KEY] = _checked(cache, domain, room, REST_KEY, parse_given(VARIABLES[cache.level], REST_KEY, given[REST_KEY]))
    names = list(masks)
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            if masks[name] & masks[other]:
                raise CacheError(
                    f"{VARIABLES[cache.level]}: {name} {masks[name]:x} and {other} {masks[other]:x} share portions; choose others"
                )
    if REST_KEY in masks:
        return {name: masks[name] for name in here}, masks[REST_KEY]
    left = longest_row(room.mask & ~sum(masks.values()))
    if rest and bits(left) < cache.least:
        raise CacheError(
            f"{VARIABLES[cache.level]}: the masks leave {counted(bits(left), 'portion')} in a row of {cache.level} {domain} (all: {room.mask:x}) to "
            f"the other CPUs, which need {cache.least}; use fewer"
        )
    return masks, left


def parse_given(variable: str, name: str, value: Any) -> int:
    """Return an operator's mask; ``CacheError`` for anything but a hexadecimal number as text."""
    if not isinstance(value, str) or not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", value):
        raise CacheError(
            f'{variable}.{name}: {str(value)[:40]!r} is no mask; quote hexadecimal digits ("0f"), a bit for each portion'
        )
    mask = int(value, 16)
    if mask <= 0:
        raise CacheError(f"{variable}.{name}: the mask names no portion")
    return mask


def _checked(cache: Cache, domain: int, room: Room, name: str, mask: int) -> int:
    where = f"{VARIABLES[cache.level]}.{name}: {mask:x}"
    if mask & ~cache.full:
        raise CacheError(f"{where} is beyond {cache.full:x}, the portions of {cache.name} on this machine")
    if mask & cache.taken(domain):
        raise CacheError(
            f"{where} has portions of {cache.name} {domain} that another group has for itself ({cache.taken(domain):x}); choose others"
        )
    if not is_row(mask) and not cache.sparse:
        raise CacheError(
            f"{where} has a hole, and this machine takes only portions in a row; use {longest_row(mask):x}, or another row"
        )
    lowest = bits(mask & ~(mask + (mask & -mask)))  # the row that the kernel counts (resctrl, cbm_validate)
    if lowest < cache.least:
        raise CacheError(f"{where} has {counted(lowest, 'portion')} in a row, and {cache.name} takes no less than {cache.least}")
    return mask


def _limit_bandwidth(info: Info, domains: Domains, limit: int, lines: dict[str, dict[int, int]], vendor: str) -> None:
    """Add the limit of the rest."""
    if not limit or info.bandwidth is None:
        return
    least, step = info.bandwidth
    if vendor != "AuthenticAMD" and (limit > 100 or limit < least or limit % step):
        below = max(least, min(100, limit - limit % step))
        raise CacheError(f"{BANDWIDTH}: this machine takes {least} to 100 percent in steps of {step}, not {limit}; use {below}")
    if limit < least:
        raise CacheError(f"{BANDWIDTH}: this machine takes no limit below {least}, in units of 1/8 GB/s; {limit} is too little")
    lines["MB"] = dict.fromkeys(domains.get("MB", {}), limit)


def describe_groups(wanted: Wanted) -> list[list[str]]:
    """Return the rows of a table for people: group, CPUs, cache, and portions by domain."""
    rows = []
    for name, group in wanted.groups.items():
        for resource, values in group.lines.items() or [("-", {})]:
            shown = (
                f"{domain}: {value if resource == 'MB' else f'{value:x} ({bits(value)})'}"
                for domain, value in sorted(values.items())
            )
            rows.append([name or "rest", format_cpulist(group.cpus), resource, ", ".join(shown) or "as it is"])
    return rows
