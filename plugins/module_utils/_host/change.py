# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes, how much they disturb, and the planner that collects them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from .._cpus.answers import plain, printed
from .._cpus.errors import RefusalError

#: Disruption classes, least first: nothing noticeable, a brief stall, restart of a real-time guest, reboot.
DISRUPTIONS = ("none", "stall", "guest", "reboot")
#: Bounds of a message about changes: changes that it names, and characters of a name.
_NAMED, _MOST_WORDS = 100, 200


@dataclass(frozen=True)
class Change:
    """One difference between the present and the wanted state."""

    resource: str
    before: str | None  # None: does not exist
    after: str | None
    disruption: str = "none"
    reason: str = ""


def shown(content: bytes | None) -> str | None:
    """Return a file's content as a change has it."""
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"binary, {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


def worst_disruption(changes: Iterable[Change]) -> str:
    """Return the highest disruption class among the changes."""
    return max((change.disruption for change in changes), key=DISRUPTIONS.index, default="none")


class DisruptionError(RefusalError):
    """A plan disturbs more than the limit allows; ``results`` is the plan."""

    def __init__(self, message: str, results: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.results = results


def worse(one: str, other: str) -> str:
    """Return the higher of two disruption classes."""
    return max(one, other, key=DISRUPTIONS.index)


def beyond(changes: Iterable[Mapping[str, Any]], limit: str) -> list[str]:
    """Return the changes above ``limit`` for a message, each with its class; they may be another machine's answer."""
    if limit not in DISRUPTIONS:
        raise ValueError(f"realtime_max_disruption: {limit!r} is not a disruption class; choose one of {', '.join(DISRUPTIONS)}")
    allowed = DISRUPTIONS[: DISRUPTIONS.index(limit) + 1]
    above = [change for change in changes if change["disruption"] not in allowed]
    more = [f"and {len(above) - _NAMED} more"] if len(above) > _NAMED else []
    return [plain(f"{change['resource']} ({change['disruption']})", _MOST_WORDS) for change in above[:_NAMED]] + more


def check_limit(changes: Iterable[Change], limit: str | None) -> None:
    """Refuse a plan that disturbs more than ``limit``; None allows everything."""
    planned = [asdict(change) for change in changes]
    too_much = beyond(planned, limit) if limit else []
    if not too_much:
        return
    worst = max((str(change["disruption"]) for change in planned), key=DISRUPTIONS.index)
    raise DisruptionError(
        f"max_disruption: the limit is {limit}, but the plan needs more: {'; '.join(too_much)}. Nothing was changed. "
        f"Allow it for a maintenance window (realtime_max_disruption: {worst}), or change the variables that cause it",
        {"changes": planned, "disruption": worst},
    )


def check_late(planner: Planner, limit: str | None) -> None:
    """Refuse what was planned while the node was read back, if it disturbs more than ``limit``; the changes before it stay made."""
    late = [step.change for step in planner.waiting if step.change]
    too_much = beyond([asdict(change) for change in late], limit) if limit else []
    if too_much:
        planner.drop_waiting()
        raise DisruptionError(
            f"max_disruption: another program has changed the node meanwhile, and to set it again needs more than the limit {limit}: "
            f"{'; '.join(too_much)}. The changes before were made. "
            f"Run it again in a maintenance window (realtime_max_disruption: {worst_disruption(late)})",
            {},
        )


def results_of(changes: Iterable[Change]) -> dict[str, Any]:
    """Return the keys that every module's result has."""
    listed = list(changes)
    return {
        "changed": bool(listed),
        "changes": [asdict(change) for change in listed],
        "disruption": worst_disruption(listed),
        "diff": [
            {
                "before_header": plain(change.resource),
                "after_header": f"{plain(change.resource)} [{change.disruption}]",
                "before": _lines(change.before),
                "after": _lines(change.after),
            }
            for change in listed
        ],
    }


def _lines(text: str | None) -> str:
    return "" if text is None else printed(text if text.endswith("\n") else text + "\n")


@dataclass(frozen=True)
class Step:
    """What to do and, for a ``Host``, what becomes of the journal entry."""

    change: Change | None
    make: Callable[[], object]
    resource: str = ""
    entry: dict[str, Any] | None = None
    forget: bool = False


class Planner:
    """Collects planned changes in order; outside check mode, ``commit`` makes them."""

    def __init__(self, *, check_mode: bool = False) -> None:
        self.dry = check_mode
        self.changes: list[Change] = []
        self.notes: list[str] = []  #: shown as warnings
        self.not_counted: list[str] = []  #: what ``changes`` lacks, with the reason
        self.committed = False
        self._steps: list[Step] = []

    def follow_up(self, change: Change, make: Callable[[], object]) -> None:
        """Plan a change without an original (a generated file, a daemon's restart)."""
        self.take(Step(change, make, change.resource))

    def perform(self, make: Callable[[], object]) -> None:
        """Plan a step that changes nothing by itself."""
        self.take(Step(None, make))

    def take(self, step: Step) -> None:
        """Plan a step, and its change if it makes one."""
        if step.change is not None:
            self.changes.append(step.change)
        self._steps.append(step)

    @property
    def waiting(self) -> list[Step]:
        """The steps that are planned and not made."""
        return list(self._steps)

    def drop_waiting(self) -> None:
        """Drop the steps that are not made, and their changes."""
        for step in self._steps:
            if step.change in self.changes:
                self.changes.remove(step.change)
        self._steps = []

    def commit(self) -> None:
        """Make the changes, unless in check mode; after a failure, ``changes`` holds those made."""
        steps, self._steps = self._steps, []
        if not self.dry and self._begin(steps):
            self.committed = True
            done = 0
            try:
                for step in steps:
                    step.make()
                    done += 1
            except BaseException:
                for left in steps[done:]:
                    if left.change in self.changes:
                        self.changes.remove(left.change)
                raise
            self._end(steps)

    def _begin(self, steps: list[Step]) -> bool:
        """Prepare for the steps; return whether to take them."""
        return bool(steps)

    def _end(self, steps: list[Step]) -> None:
        """Finish after the last step."""

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let only one run at a time make changes."""
        yield

    def results(self) -> dict[str, Any]:
        """Return the keys that every module's result has."""
        found = results_of(self.changes)
        return {**found, "not_counted": self.not_counted} if self.not_counted else found
