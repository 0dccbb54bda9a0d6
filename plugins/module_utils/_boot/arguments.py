# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel command line as a list of tokens, and how planned tokens are merged into it.

Pure. A *token* is ``key=value`` or ``key``; the kernel reads ``-`` and ``_`` in a key as the same
character and the value may be quoted (Documentation/admin-guide/kernel-parameters.rst).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._cpus.cmdline import canonical, key_of, values_by_key
from .._cpus.errors import RefusalError
from .._host.change import Change
from .compared import Comparison, compare

#: Characters that a planned token may hold: they need no quotes in GRUB's shell-like files and in grubby.
_SAFE = re.compile(r"[A-Za-z0-9_.,:=/+@%^*-]+")


class KernelArgumentError(RefusalError):
    """An argument is malformed or contradicts another; the message holds both."""


@dataclass(frozen=True)
class Argument:
    """One argument of the plan and its reason."""

    token: str
    reason: str = ""
    disturbs: str = ""
    source: str = ""

    @property
    def key(self) -> str:
        return key_of(self.token)


@dataclass(frozen=True)
class Conflict:
    """A foreign token that contradicts the plan."""

    foreign: str
    wanted: str
    where: str

    def __str__(self) -> str:
        return f"{self.where} has {self.foreign}, the plan needs {self.wanted}"


def parse_arguments(tokens: Iterable[str], variable: str = "rt_kernel_arguments") -> list[str]:
    """Check tokens typed by the operator and return them; ``KernelArgumentError`` names a malformed one and its place in ``variable``."""
    checked = []
    for number, token in enumerate(tokens):
        where = f"{variable}[{number}]: "
        if not isinstance(token, str):
            raise KernelArgumentError(f"{where}kernel argument {token!r} is not text; quote it in YAML")
        if not _SAFE.fullmatch(token) or token.startswith(("=", "-")):
            raise KernelArgumentError(
                f"{where}kernel argument {token!r}: one token of letters, digits and _.,:=/+@%^*- is accepted "
                "(one list entry per argument)"
            )
        if not re.search("[A-Za-z]", token.split("=", 1)[0]):
            raise KernelArgumentError(
                f"{where}kernel argument {token!r} has no name (the kernel passes it to init); "
                "write the arguments as a YAML list, since text is split at its commas"
            )
        checked.append(token)
    return checked


def combine(*groups: Sequence[Argument]) -> list[Argument]:
    """Join argument lists; a later one may repeat an earlier one, not contradict it."""
    combined: list[Argument] = []
    by_key: dict[str, Argument] = {}
    for argument in (argument for group in groups for argument in group):
        known = by_key.get(argument.key)
        if known is None or is_list_key(argument.key):
            by_key[argument.key] = argument
            combined.append(argument)
        elif known.token != argument.token:
            raise KernelArgumentError(
                f"kernel argument {argument.token} contradicts {known.token} of the plan ({known.reason}); "
                "remove it, or change the variable that the plan is made from"
            )
    return combined


def is_list_key(key: str) -> bool:
    """Keys that a command line may hold several times, with a different meaning each time."""
    return key in ("console", "hugepages", "hugepagesz", "earlycon", "modprobe.blacklist", "module_blacklist")


def merge(current: Sequence[str], wanted: Sequence[str], drop: Iterable[str] = ()) -> list[str]:
    """Return ``current`` with every wanted token in it exactly once.

    A wanted token replaces the first occurrence of its key; later ones are removed, whoever added them. New keys
    come last, in the order of ``wanted``. Keys in ``drop`` (from earlier runs) are removed. All other tokens stay in
    place, repeats included. Keys that may repeat with a different meaning (console, hugepages) keep the tokens of
    other users beside the wanted ones.
    """
    ours: dict[str, list[str]] = {}
    for token in wanted:
        key = key_of(token)
        if not is_list_key(key) and token not in ours.setdefault(key, []):
            ours[key].append(token)
    dropped = {key_of(token) for token in drop if not is_list_key(key_of(token))} - set(ours)
    result: list[str] = []
    placed: set[str] = set()
    for token in _without_blocks(current, wanted, drop):
        key = key_of(token)
        if key in ours:
            if key not in placed:
                result += ours[key]
                placed.add(key)
        elif key not in dropped:
            result.append(token)
    for key, tokens in ours.items():
        if key not in placed:
            result += tokens
    for block in _blocks(wanted):
        family = family_of(key_of(block[0]))
        if not _holds([token for token in result if family_of(key_of(token)) == family], block):
            result += block
    return result


def family_of(key: str) -> str:
    """Return the name of a key's list: hugepagesz= gives the size that the next hugepages= counts, so both are one list."""
    return "hugepages" if key == "hugepagesz" else key


def page_groups(tokens: Sequence[str]) -> list[list[str]]:
    """Return each hugepagesz= with the hugepages= that count its pages; counts before any size are of the default size."""
    return [[tokens[place] for place in group] for group in _page_places(tokens)]


def _page_places(tokens: Sequence[str]) -> list[list[int]]:
    groups: list[list[int]] = []
    for place, token in enumerate(tokens):
        key = key_of(token)
        if key == "hugepagesz" or (key == "hugepages" and not groups):
            groups.append([place])
        elif key == "hugepages":
            groups[-1].append(place)
    return groups


def _blocks(wanted: Iterable[str]) -> list[list[str]]:
    """Group the tokens of keys that may repeat by what must stay together: a page size with its counts, all of another key."""
    tokens = [token for token in wanted if is_list_key(key_of(token))]
    others = [found for key, found in values_by_key(tokens).items() if family_of(key) != "hugepages"]
    return others + page_groups(tokens)


def _holds(tokens: Sequence[str], block: Sequence[str]) -> bool:
    return any(list(tokens[start : start + len(block)]) == list(block) for start in range(len(tokens)))


def _without_blocks(current: Sequence[str], wanted: Sequence[str], drop: Iterable[str]) -> list[str]:
    """Remove the tokens of an earlier run from keys that may repeat: the last ones, since a run appends its tokens.

    A page size is removed with its count: the kernel ignores a size that is given twice, and the count that follows it.
    """
    result = list(current)
    rest = Counter(token for token in drop if is_list_key(key_of(token)))
    ours, keep = frozenset(rest), page_groups(wanted)
    for places in reversed(_page_places(result)):
        group = [result[place] for place in places]
        if len(group) > 1 and ours.issuperset(group) and group not in keep:
            for place in reversed(places):
                del result[place]
            rest.subtract(group)
    for token in rest.elements():
        if token not in wanted and token in result:
            del result[len(result) - 1 - result[::-1].index(token)]
    return result


def _pages_by_size(tokens: Sequence[str]) -> dict[str, list[str]]:
    """Return the tokens of ``page_groups``, repeats once, by page size in bytes; '' is the unnamed default size."""
    default = [token for token in tokens if key_of(token) == "default_hugepagesz"][-1:]
    found: dict[str, list[str]] = {}
    for group in page_groups(tokens):
        sized = group if key_of(group[0]) == "hugepagesz" else [*default, *group]
        size = re.fullmatch(r"(?:default_)?hugepagesz=(\d+)([kmg]?)", canonical(sized[0]).lower())
        name = str(int(size[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[size[2]]) if size else ""
        found.setdefault(name, []).extend(token for token in sized if token not in found.get(name, []))
    return found


def _count_conflicts(foreign: Sequence[str], wanted: Sequence[str], where: str) -> list[Conflict]:
    """Return where both lists count pages of one size: the kernel uses only one of two different counts."""

    def counts(group: Iterable[str]) -> set[str]:
        return {canonical(token) for token in group if key_of(token) == "hugepages"}

    plan = _pages_by_size(wanted)
    return [
        Conflict(" ".join(group), " ".join(plan[size]), where)
        for size, group in _pages_by_size(foreign).items()
        if size in plan and counts(group) != counts(plan[size])
    ]


def find_conflicts(foreign: Mapping[str, Sequence[str]], wanted: Sequence[str]) -> list[Conflict]:
    """Return the foreign tokens that contradict the plan.

    ``foreign`` maps a place (a file, an option) to the tokens of other users found there.
    """
    plan = values_by_key(wanted)
    conflicts = []
    for where, tokens in foreign.items():
        conflicts += _count_conflicts(tokens, wanted, where)
        for key, found in values_by_key(tokens).items():
            if key in plan and not is_list_key(key):
                same = {canonical(token) for token in plan[key]}
                conflicts += [Conflict(token, " ".join(plan[key]), where) for token in found if canonical(token) not in same]
            if key == "idle" and "idle=poll" in found and key not in plan:
                conflicts.append(
                    Conflict("idle=poll", "per-CPU power management (idle=poll spins on every thread of every core)", where)
                )
            if key == "kthread_cpus":
                conflicts.append(
                    Conflict(found[0], "no kthread_cpus= (no mainline kernel knows it; use irqaffinity= and isolcpus=)", where)
                )
            if key == "nosmt" and "isolcpus" in plan:
                conflicts.append(
                    Conflict(found[0], "the threads that are online now (the partition was planned with them)", where)
                )
    return conflicts


def awaited_boot(result: Mapping[str, Any]) -> Change | None:
    """Return the change that the next boot makes, from a result of kernel_arguments: another kernel or other arguments."""
    if not result.get("reboot_required"):
        return None
    running, following = result["running"]["release"], result["following"].get("release", "?")
    wanted = result.get("arguments", True) and not result["running"]["matches"]  # undo has no arguments
    after = "the real-time kernel" if wanted and running == following else following
    return Change("running kernel and arguments", running or "as captured", after or "with the planned arguments", "reboot")


def nearest(running: Sequence[str], lines: Sequence[Sequence[str]]) -> Comparison:
    """Compare with the most similar of the command lines by which an entry may boot."""
    return min((compare(running, line) for line in lines), key=lambda found: found.size, default=Comparison())


def split_comparison(found: Comparison, ours: Iterable[str]) -> tuple[Comparison, Comparison]:
    """Return the differences that this collection answers for, and those of other users.

    ``ours`` are tokens that it plans or has written. A key that may repeat is ours only with the same value.
    """
    tokens = {canonical(token) for token in ours}
    keys = {key_of(token) for token in tokens if not is_list_key(key_of(token))}

    def is_ours(token: str) -> bool:
        return token in tokens or key_of(token) in keys

    def part(own: bool) -> Comparison:
        return Comparison(
            tuple(token for token in found.missing if is_ours(token) is own),
            tuple(token for token in found.unexpected if is_ours(token) is own),
        )

    return part(True), part(False)
