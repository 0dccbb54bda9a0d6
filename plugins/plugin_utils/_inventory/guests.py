# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guests and networks of a host, read by the code that the modules run on the node; each guest says what is wrong with it. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import unknown_keys
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest import IMAGE_FOLDER, Guest
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_disks import check_shared_disks
from ansible_collections.realtime.kvm.plugins.module_utils._guests.guest_list import KEYS, clashes, parse_guests
from ansible_collections.realtime.kvm.plugins.module_utils._guests.network import Network, parse_networks
from ansible_collections.realtime.kvm.plugins.module_utils._module._converted import converted
from ansible_collections.realtime.kvm.plugins.module_utils._module._specs import GUESTS

from .._seeds import seed_faults
from .variables import in_few_words


@dataclass(frozen=True)
class Later:
    """A value that the controller does not know yet, such as a template of a fact; the module on the node checks it."""

    raw: Any
    wrong: str = ""  # why nobody will ever know it


@dataclass(frozen=True)
class HostGuests:
    """What a host's lists hold, as far as it is known, and what is wrong with it."""

    guests: Sequence[Guest]
    refusals: Sequence[str]
    known: bool = True  # whether the controller knows all of them


def read_host(networks: Any, guests: Any, *, site: str, priority_limit: int, image_folder: str = IMAGE_FOLDER) -> HostGuests:
    """Return a host's guests; ``networks`` and ``guests`` are the variables' values, in which ``Later`` may stand for a list or an item."""
    known, refusals = _networks(networks)
    if isinstance(guests, Later):
        return HostGuests((), [*refusals, *([f"realtime_guests: {guests.wrong}"] if guests.wrong else [])], known=False)
    if wrong := _no_list("realtime_guests", guests):
        return HostGuests((), [*refusals, wrong])
    if known is None:
        return HostGuests((), [*refusals, *filter(None, map(_unknown_keys, guests, itertools.count()))], known=False)
    refusals += seed_faults([item for item in guests if not isinstance(item, Later)])
    rules = _Rules(known, site, priority_limit, image_folder)
    try:
        if not any(isinstance(item, Later) for item in guests):
            return HostGuests(rules.parse(guests), refusals)
    except RefusalError:
        pass  # one of them, or two together: find out which
    return _one_by_one(guests, rules, refusals)


@dataclass(frozen=True)
class _Rules:
    """What the host's guests are read with."""

    networks: Mapping[str, Network]
    site: str
    limit: int
    image_folder: str

    def parse(self, items: Sequence[Any]) -> list[Guest]:
        return parse_guests(items, self.networks, site=self.site, priority_limit=self.limit, image_folder=self.image_folder)


def _one_by_one(items: Sequence[Any], rules: _Rules, refusals: Sequence[str]) -> HostGuests:
    sound: list[Any] = []
    wrong: list[str] = []
    known = not any(isinstance(item, Later) for item in items)
    for number, item in enumerate(items):
        if isinstance(item, Later):
            wrong += filter(None, [_unknown_keys(item, number), item.wrong and f"{_where(item.raw, number)}: {item.wrong}"])
            continue
        fine, reason = _read(native(item), rules)
        if reason:
            wrong.append(reason.replace("realtime_guests[0]", f"realtime_guests[{number}]", 1))
        else:
            sound.append(fine)
    try:
        return HostGuests(rules.parse(sound), [*refusals, *wrong], known)
    except RefusalError:
        found = [guest for item in sound for guest in rules.parse([item])]
        return HostGuests(found, [*refusals, *wrong, *clashes(found, rules.site), *_shared_disks(found)], known)


def _shared_disks(guests: Sequence[Guest]) -> Iterator[str]:
    """Yield a refusal for each guest whose disks those before it do not allow."""
    fine: list[Guest] = []
    for guest in guests:
        wrong = _shared_disk([*fine, guest])
        if wrong:
            yield wrong
        else:
            fine.append(guest)


def _shared_disk(guests: Sequence[Guest]) -> str:
    try:
        check_shared_disks(guests)
    except RefusalError as error:
        return str(error)
    return ""


def _read(item: Any, rules: _Rules) -> tuple[Any, str]:
    """Return a guest as the module gets it, numbers and booleans that are given as text converted, and what is wrong with it."""
    try:
        rules.parse([item])
    except RefusalError as error:
        if not isinstance(item, Mapping):
            return None, str(error)
        item = converted(item, GUESTS["guests"]["options"])
        try:
            rules.parse([item])
        except RefusalError as second:
            return None, str(second)
        errors = ArgumentSpecValidator(GUESTS["guests"]["options"]).validate(item).error_messages
        return (None, f"{_where(item, 0)} {in_few_words('', errors[0])}") if errors else (item, "")
    return item, ""


def _networks(value: Any) -> tuple[Mapping[str, Network] | None, list[str]]:
    """Return the networks by name, None where they are not known or not sound, and what is wrong with them."""
    if isinstance(value, Later):
        value = [value]
    if wrong := _no_list("realtime_networks", value):
        return None, [wrong]
    if later := [item for item in value if isinstance(item, Later)]:
        return None, [f"realtime_networks: {item.wrong}" for item in later if item.wrong]
    try:
        return parse_networks(value), []
    except RefusalError:
        pass
    sound: list[Any] = []
    refusals: list[str] = []
    for number, item in enumerate(value):
        fine, reason = _read_network(native(item))
        if reason:
            refusals.append(reason.replace("realtime_networks[0]", f"realtime_networks[{number}]", 1))
        else:
            sound.append(fine)
    try:
        return (parse_networks(sound), []) if not refusals else (None, refusals)
    except RefusalError as error:
        return None, [*refusals, str(error)]


def _read_network(item: Any) -> tuple[Any, str]:
    item = converted(item, GUESTS["networks"]["options"])
    try:
        parse_networks([item])
    except RefusalError as error:
        return None, str(error)
    return item, ""


def _no_list(name: str, value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return ""
    shown = "empty" if value is None or value == "" else "no list"
    return f"{name} is {shown}; give a list, [] for none, or leave it out"


def _where(item: Any, number: int) -> str:
    name = item.get("name") if isinstance(item, Mapping) else None
    return f"realtime_guests: {name}" if isinstance(name, str) else f"realtime_guests[{number}]"


def _unknown_keys(item: Any, number: int) -> str:
    """Return what is wrong with the keys of a guest whose values are not known."""
    item = item.raw if isinstance(item, Later) else item
    unknown = [key for key in item if key not in KEYS] if isinstance(item, Mapping) else []
    return f"{_where(item, number)}: {unknown_keys(unknown, KEYS)}" if unknown else ""


def native(value: Any) -> Any:
    """Return a value without the tags that Ansible gives every value, which have types of their own in messages."""
    if isinstance(value, Mapping):
        return {native(key): native(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [native(item) for item in value]
    kind = next((kind for kind in (str, int, float) if isinstance(value, kind)), None)
    return value if kind is None or isinstance(value, bool) else kind(value)
