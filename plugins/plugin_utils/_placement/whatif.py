# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would be: with more hosts like one, and how many more guests like one. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import plain
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import unknown_keys

from .model import Host, PlacementError, Wish
from .placing import Placed
from .values import read_domains

WHAT_IF = "realtime_place_what_if"
_HOSTS = ("like", "count", "domains")
MOST = 100_000


def more_hosts(hosts: Sequence[Host], asked: Any) -> list[Host]:
    """Return the hosts, and empty copies of some of them: ``asked`` is a list of ``{like, count, domains}``."""
    found = list(hosts)
    by_name = {host.name: host for host in hosts}
    for number, item in enumerate(_list(asked, "hosts")):
        where = f"{WHAT_IF}.hosts[{number}]"
        if not isinstance(item, Mapping):
            raise PlacementError(f"{where} is no mapping with like and count")
        if unknown := [str(key) for key in item if key not in _HOSTS]:
            raise PlacementError(f"{where}: {unknown_keys(unknown, _HOSTS)}")
        like = by_name.get(str(item.get("like")))
        if like is None:
            raise PlacementError(f"{where}: like {plain(str(item.get('like')), 60)!r} is no host that takes part in this run")
        count = _count(item.get("count", 1), where, 10_000)
        domains = read_domains(item.get("domains"), f"{where}: domains") or like.domains
        taken = {host.name for host in found}
        names = (f"{like.name}+{copy}" for copy in range(1, len(found) + count + 1))
        for name in [name for name in names if name not in taken][:count]:
            empty = replace(like, name=name, existing=(), polling={}, refusal="", drained=False)
            found.append(replace(empty, domains=domains))
    return found


def more_guests(placed: Placed, wishes: Mapping[str, Wish], asked: Any) -> dict[str, dict[str, int]]:
    """Return how many more guests like each of those named fit, by host; ``asked`` is a list of names. Nothing stays changed.

    A copy has the guest's size, networks, devices and hosts, and no rule. Each kind is counted alone.
    """
    found: dict[str, dict[str, int]] = {}
    fleet = placed.fleet
    for name in _list(asked, "guests"):
        wish = wishes.get(str(name))
        if wish is None:
            raise PlacementError(f"{WHAT_IF}.guests: {plain(str(name), 60)!r} is no guest of this run")
        fleet.begin()
        counts: dict[str, int] = {}
        for number in range(MOST):
            copy = replace(wish, guest=replace(wish.guest, name=f"{wish.name}/{number}", adopt=False), home="", fixed=False)
            if not fleet.seat(copy):
                break
            host = fleet.at[copy.name].host.name
            counts[host] = counts.get(host, 0) + 1
        fleet.rollback()
        found[wish.name] = dict(sorted(counts.items()))
    return found


def _list(value: Any, key: str) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise PlacementError(f"{WHAT_IF}.{key} is no list")
    return value


def _count(value: Any, where: str, most: int) -> int:
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise PlacementError(f"{where}: count {value!r} is no number in 1-{most}")
    return number
