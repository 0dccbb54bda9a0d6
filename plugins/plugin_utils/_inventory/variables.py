# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and values of a host's variables. Pure."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.counts import parse_counts
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import PartitionError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import closest

from .known import BATCHES, COUNTS, EMPTY_IS_DEFAULT, INTERNAL_ROLES, Known

#: A prefix that is misspelt itself: the whole name must be nearly the same, since names of other programs are checked too.
_NEARLY = 0.9
#: A class of Python in a message of Ansible's; those of tagged values hold the name of the type.
_CLASS = re.compile(r"<class '(?:\w+\.)*_?(?:AnsibleTagged)?(\w+)'>")


_ENDLESS = "holds a number that is infinite or none (.inf, .nan); give another"


class Names:
    """Finds variables that look like one of this collection and are none. What it has said of a name it says of it again."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._names = known.names
        self._said: dict[str, str] = {}

    def unknown(self, names: Iterable[str], silenced: Callable[[], Iterable[str]] = tuple) -> Iterator[str]:
        """Yield what is wrong with each name; ``silenced`` returns names, or shell patterns, of variables of other programs."""
        for name in names:
            if name in self._names:
                continue
            said = self._said.get(name)
            if said is None:
                said = self._said[name] = self._say(name)
            if said and not any(fnmatch.fnmatchcase(name, pattern) for pattern in silenced()):
                yield said

    def _say(self, name: str) -> str:
        prefix = next((prefix for prefix in self._known.prefixes if name.startswith(prefix)), "")
        if not prefix:
            near = "" if self._borrows(name) else closest(name, self._public, cutoff=_NEARLY)
            return f"unknown variable {name}, did you mean {near}?" if near else ""
        own = {known[len(prefix) :]: known for known in self._given if known.startswith(prefix)}
        rest = name[len(prefix) :]
        near = closest(rest, own)
        meant = [own[near]] if near else [known for known in self._public if known.endswith(f"_{rest}") and rest]
        if meant:
            return f"unknown variable {name}, did you mean {' or '.join(meant)}?"
        return f"unknown variable {name}; those that begin with {prefix} are {', '.join(own.values())}"

    def _borrows(self, name: str) -> bool:
        """Whether it is made of one of our names, as my_cpu_partition_smt is."""
        return any(f"_{prefix}" in name for prefix in self._known.prefixes)

    @cached_property
    def _given(self) -> list[str]:
        """What somebody may give: not the results of roles that others take."""
        return sorted(self._known.options.keys() - self._known.others)

    @cached_property
    def _public(self) -> list[str]:
        internal = tuple(f"{role}_" for role in INTERNAL_ROLES)
        return [name for name in self._given if not name.startswith(internal)]


class Values:
    """Checks values by the roles' argument specs, with Ansible's own validator. Hosts mostly share their values: each is looked at once."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        self._options = options
        self._said: dict[Any, str] = {}
        self._kept: list[Any] = []  # as long as these live, no other value has their identity

    def wrong(self, given: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the value of each variable; all of them have an option."""
        for name, value in given.items():
            key = (name, type(value), value if isinstance(value, (str, int, float)) else id(value))
            said = self._said.get(key)
            if said is None:
                self._kept.append(value)
                said = self._said[key] = self._say(name, value)
            if said:
                yield said

    def _say(self, name: str, value: Any) -> str:
        if name in EMPTY_IS_DEFAULT and (value is None or value == ""):
            return ""
        if name in COUNTS:
            return _count(name, value)
        if name in BATCHES:
            return _batches(name, value)
        option = self._options[name]
        if name in EMPTY_IS_DEFAULT and "choices" in option:  # the empty one is not worth a word
            option = {**option, "choices": [choice for choice in option["choices"] if choice]}
        try:
            errors = ArgumentSpecValidator({name: option}).validate({name: value}).error_messages
        except OverflowError:
            return f"{name} {_ENDLESS}"
        if not errors and _endless(value):
            return f"{name} {_ENDLESS}"
        if errors and option.get("no_log"):
            return f"{name} is not of type {option.get('type', 'str')}"  # the reason may quote it
        return f"{name} {in_few_words(name, errors[0])}" if errors else ""


def _endless(value: Any) -> bool:
    if isinstance(value, (dict, list, tuple)):
        return any(map(_endless, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not math.isfinite(value)


def _count(name: str, value: Any) -> str:
    try:
        parse_counts(name, value)
    except PartitionError as error:
        return str(error)
    return ""


def _batches(name: str, value: Any) -> str:
    given = value if isinstance(value, (list, tuple)) else [value]
    sizes = [size.strip() for item in given for size in str(item).split(",")]
    wrong = [repr(size) for size in sizes if not re.fullmatch(r"0{0,5}[1-9][0-9]{0,5}%?", size)]
    known = "a number of nodes from 1 to 999999 nor a share from 1% on; give 1, 25% or 1,25%, for example, or leave it out"
    return f"{name}: {', '.join(wrong)} is neither {known}" if wrong else ""


def in_few_words(name: str, error: str) -> str:
    """Return a message of Ansible's validator as what follows the name of the option."""
    text = re.sub(rf"^(argument '{re.escape(name)}'|value of {re.escape(name)}) ", "", error)
    text = _CLASS.sub(lambda found: found[1].lower(), text)
    text = text.replace(" and we were unable to convert to ", ", which cannot be converted to ")
    return text if text != error and not error.startswith("Elements") else f"is refused: {text}"
