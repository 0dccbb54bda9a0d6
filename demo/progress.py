# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows the steps of a long run to a person: what is done now, for how long already, and how many minutes are left."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TextIO

#: The widest line, unless text that comes from elsewhere is wider.
WIDTH = 100
#: Seconds between two lines about the same step where the output is no terminal.
REMINDER_S = 60
#: From this expected length on, a step says something about the speed of the machine.
_MEASURED_S = 10
_SLOWEST, _FASTEST = 8.0, 0.2


@dataclass(frozen=True)
class Step:
    """A part of the run: its name in the program, its title for people, and how many seconds it takes on an idle machine.

    One that waits for the network says nothing about the speed of the machine (``telling``).
    """

    name: str
    title: str
    seconds: float
    telling: bool = True


def duration(seconds: float) -> str:
    """Return a length of time as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


class Progress:
    """The steps of one run, in their order. One that is never begun is passed over; ``extra`` are steps that nobody expects, in the same order."""

    def __init__(
        self,
        steps: Sequence[Step],
        out: TextIO = sys.stdout,
        clock: Callable[[], float] = time.monotonic,
        pace: float = 1.0,
        extra: Sequence[Step] = (),
    ) -> None:
        self.steps = list(steps)
        self._extra = {step.name: step for step in extra}
        self.out = out
        self.clock = clock
        self.terminal = out.isatty()
        self._assumed = min(max(pace, _FASTEST), _SLOWEST)
        self._current = -1
        self._began = self._reminded = self._started = clock()
        self._taken = self._expected = 0.0
        self._line = False

    @property
    def pace(self) -> float:
        """How much longer this machine takes than an idle one; what was assumed counts like a minute of work."""
        measured = (self._assumed * 60 + self._taken) / (60 + self._expected)
        return min(max(measured, _FASTEST), _SLOWEST)

    @property
    def total(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self._started

    def _expect(self, step: Step) -> float:
        return step.seconds * (self.pace if step.telling else 1.0)

    def at(self, name: str) -> bool:
        """Whether a step is the current one."""
        return self._current >= 0 and self.steps[self._current].name == name

    def left(self) -> float:
        """How many seconds are probably left."""
        later = sum(map(self._expect, self.steps[self._current + 1 :]))
        if self._current < 0:
            return later
        expected = self._expect(self.steps[self._current])
        spent = self.clock() - self._began
        return later + max(expected - spent, min(expected, 30.0) / 3)

    def begin(self, name: str) -> None:
        """Begin a step and end the one before. One that is over already, or unknown, is not begun."""
        number = next((number for number, step in enumerate(self.steps) if step.name == name), -1)
        if number < 0 and name in self._extra:
            number = self._current + 1
            self.steps.insert(number, self._extra.pop(name))
        if number <= self._current:
            return
        self.end()
        self._current, self._began, self._reminded = number, self.clock(), self.clock()
        step = self.steps[number]
        expected = self._expect(step)
        about = f" (about {duration(expected)})" if expected >= _MEASURED_S else ""
        rest = f", then about {duration(self.left() - expected)} more" if about and self.left() - expected >= 45 else ""
        self.say([f"== {number + 1}/{len(self.steps)}  {step.title}{about[:-1] + rest + ')' if about else ''}"])

    def end(self, note: str = "") -> None:
        """End the current step."""
        if self._current < 0 or self._began < 0:
            return
        spent, step = self.clock() - self._began, self.steps[self._current]
        if step.telling and step.seconds >= _MEASURED_S:
            self._taken += spent
            self._expected += step.seconds
        self._began = -1.0
        if note or spent >= 2:
            self.say([f"   {note or 'done'} after {duration(spent)}" if spent >= 2 else f"   {note}"])

    def tick(self) -> None:
        """Show the time; called about once a second."""
        if self._current < 0 or self._began < 0:
            return
        spent = self.clock() - self._began
        text = f"   {duration(spent)} so far, about {duration(self.left())} left in all"
        if self.terminal:
            self.out.write("\r" + text[: shutil.get_terminal_size().columns - 1].ljust(60))
            self.out.flush()
            self._line = True
        elif self.clock() - self._reminded >= REMINDER_S:
            self._reminded = self.clock()
            self.say([text])

    def say(self, lines: Iterable[str]) -> None:
        """Print lines, in place of the line that shows the time."""
        if self._line:
            self.out.write("\r" + " " * 60 + "\r")
            self._line = False
        for line in lines:
            self.out.write(line.rstrip() + "\n")
        self.out.flush()
