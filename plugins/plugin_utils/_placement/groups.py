# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who of a rule's guests is where: what the rules between guests allow while guests are placed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .model import HOST, Host, Rule


@dataclass(frozen=True)
class Lost:
    """Guests of hosts that take no part: they stay there, and rules count them."""

    guests: Mapping[str, str] = field(default_factory=dict)  # with their hosts
    domains: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # these hosts' fault domains, by kind


class Groups:
    """The rules, with the number of placed guests of each by fault domain."""

    def __init__(self, rules: Sequence[Rule], hosts: Iterable[Host], lost: Lost | None = None) -> None:
        self.rules = tuple(rules)
        self._of: dict[str, list[int]] = {}
        for number, rule in enumerate(self.rules):
            for name in sorted(rule.guests):
                self._of.setdefault(name, []).append(number)
        self._domains: list[Mapping[str, str | None]] = []
        kinds: dict[str, dict[str, str | None]] = {}
        hosts = list(hosts)
        for rule in self.rules:
            if rule.by not in kinds:
                kinds[rule.by] = {host.name: host.domain(rule.by) for host in hosts}
                for name in (lost or Lost()).guests.values():
                    kinds[rule.by][name] = name if rule.by == HOST else (lost or Lost()).domains.get(name, {}).get(rule.by)
            self._domains.append(kinds[rule.by])
        self._counts: list[dict[str, int]] = [{} for _rule in self.rules]
        for guest, host in (lost or Lost()).guests.items():
            self.enter(guest, host)

    def of(self, name: str) -> list[Rule]:
        """Return the rules of a guest."""
        return [self.rules[number] for number in self._of.get(name, ())]

    def bound(self, name: str) -> bool:
        """Whether a guest is in any rule."""
        return name in self._of

    def domain(self, rule: Rule, host: str) -> str | None:
        """Return the fault domain of a host that a rule looks at."""
        return self._domains[self.rules.index(rule)].get(host)

    def breaks(self, name: str, host: str) -> list[Rule]:
        """Return the rules, wishes included, that a guest would break on a host."""
        return [self.rules[number] for number in self._of.get(name, ()) if not self._keeps(number, host)]

    def allows(self, name: str, host: str) -> bool:
        """Whether no required rule keeps a guest from a host."""
        return all(not self.rules[number].required or self._keeps(number, host) for number in self._of.get(name, ()))

    def penalty(self, name: str, host: str) -> int:
        """Return how many wishes a guest would break on a host."""
        return sum(not self.rules[number].required and not self._keeps(number, host) for number in self._of.get(name, ()))

    def _keeps(self, number: int, host: str) -> bool:
        rule, counts = self.rules[number], self._counts[number]
        domain = self._domains[number].get(host)
        if domain is None:
            return False
        if rule.apart:
            return counts.get(domain, 0) < rule.most
        return not counts or domain in counts

    def enter(self, name: str, host: str) -> None:
        """Count a guest that is placed."""
        for number in self._of.get(name, ()):
            domain = self._domains[number].get(host)
            if domain is not None:
                self._counts[number][domain] = self._counts[number].get(domain, 0) + 1

    def leave(self, name: str, host: str) -> None:
        """No longer count a guest that leaves."""
        for number in self._of.get(name, ()):
            domain, counts = self._domains[number].get(host), self._counts[number]
            if domain is not None:
                counts[domain] -= 1
                if not counts[domain]:
                    del counts[domain]

    def broken(self, name: str) -> bool:
        """Whether a required rule of a guest is not kept as guests are placed now."""
        return any(self.rules[number].required and self.excess(number) for number in self._of.get(name, ()))

    def excess(self, number: int) -> dict[str, int]:
        """Return the fault domains in which a rule is not kept, with its guests there."""
        rule, counts = self.rules[number], self._counts[number]
        if rule.apart:
            return {domain: count for domain, count in counts.items() if count > rule.most}
        return dict(counts) if len(counts) > 1 else {}

    def members(self, number: int) -> Mapping[str, int]:
        """Return the placed guests of a rule, by fault domain."""
        return self._counts[number]
