# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit gathers, part by part: findings, parts that cannot be read, and the refusals of modules in check mode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._audit.findings import Finding, damage_finding
from .._cpus.errors import UNEXPECTED, RefusalError
from ._dry_runs import Found
from ._parts import Parts

_READ_AGAIN = 'correct what "actual" names, then run verify again'
#: Rules that explain why a module refuses to plan: repair these first.
_EXPLAINS = (
    "boot-cpu-isolated", "emulator-pin", "file-damaged", "guest-live", "guest-thread", "libvirt-missing", "numa-housekeeping", "pmd-pin",
    "slice-limit", "smt-split", "topology-changed", "vcpu-overlap", "vcpu-pin",
)  # fmt: skip


class Gathered:
    """Gathers findings: a part that cannot be read does not stop the others."""

    def __init__(self) -> None:
        self.parts = Parts()
        self.findings: list[Finding] = []
        self.refusals: dict[str, str] = {}  # message to the part that was not compared

    def add(self, name: str, look: Callable[[], Iterable[Finding]]) -> bool:
        """Check one part; a failure becomes a finding. Return whether it succeeded."""
        before = len(self.parts.missing)
        self.findings += self.parts.read(name, lambda: list(look()), [])
        return self._went_well(before)

    def read(self, name: str, read: Callable[[], Any], default: Any) -> Any:
        """Read one part; a failure becomes a finding."""
        before = len(self.parts.missing)
        value = self.parts.read(name, read, default)
        self._went_well(before)
        return value

    def damaged(self, path: str, error: Exception, remedy: str) -> None:
        """Note a file of the roles that cannot be read."""
        self.findings.append(damage_finding(path, str(error), remedy))

    def damaged_files(self) -> tuple[str, ...]:
        """Return the files of the roles that cannot be read."""
        return tuple(finding.resource for finding in self.findings if finding.rule == "file-damaged")

    def attempt(self, name: str, look: Callable[[], Found]) -> Found | None:
        """Run a module in check mode; a refusal becomes a finding, unless another one explains it."""
        try:
            outcome = look()
        except RefusalError as error:
            self.refusals.setdefault(str(error), name)
            return None
        except UNEXPECTED as error:
            self._unexpected(name, error)
            return None
        self.findings += outcome.findings
        return outcome

    def has(self, *rules: str) -> bool:
        """Whether one of these rules has a finding."""
        return any(finding.rule in rules for finding in self.findings)

    def refused(self) -> None:
        """Report the refusals, once all findings that may explain them have been made."""
        explained = self.has(*_EXPLAINS)
        for message, name in self.refusals.items():
            self.parts.broken(name, message)
            if not explained:
                remedy = 'change the variable that "actual" names, then run the site playbook'
                self.findings.append(Finding("refused", name, "what the inventory requests", message, remedy))

    def _unexpected(self, name: str, error: Exception) -> None:
        before = len(self.parts.missing)
        self.parts.broken(name, f"it holds something unexpected ({type(error).__name__}: {error})")
        self._went_well(before)

    def _went_well(self, before: int) -> bool:
        for item in self.parts.missing[before:]:
            if not item["reason"].startswith(self.damaged_files()):
                self.findings.append(Finding("unchecked", item["part"], "can be read", item["reason"], _READ_AGAIN))
        return len(self.parts.missing) == before
