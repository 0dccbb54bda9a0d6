# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a long run: in order, each once, with the minutes that are left."""

from __future__ import annotations

import io

import pytest
from ansible_collections.realtime.kvm.demo.progress import Progress, Step, duration

STEPS = [Step("build", "Builds", 60), Step("quick", "A look", 5), Step("boot", "Boots", 120), Step("end", "Ends", 30)]


class Out(io.StringIO):
    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Run:
    """A run of the steps under a clock that the test sets."""

    def __init__(self, *, terminal: bool = False, pace: float = 1.0) -> None:
        self.now = 1000.0
        self.out = Out(terminal=terminal)
        self.progress = Progress(STEPS, out=self.out, clock=lambda: self.now, pace=pace)

    def after(self, seconds: float) -> Progress:
        self.now += seconds
        return self.progress

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "1 s"), (4.4, "4 s"), (89, "89 s"), (90, "2 min"), (149, "2 min"), (3000, "50 min")]
)
def test_a_duration_is_said_as_a_person_says_it(seconds, text):
    assert duration(seconds) == text


def test_each_step_says_how_long_it_and_the_rest_will_take():
    run = Run()
    assert run.progress.left() == 215
    run.progress.begin("build")
    run.after(60).begin("quick")
    run.after(1).begin("boot")
    run.after(120).begin("end")
    run.after(30).end()
    assert run.lines == [
        "== 1/4  Builds (about 60 s, then about 3 min more)",
        "   done after 60 s",
        "== 2/4  A look",
        "== 3/4  Boots (about 2 min)",
        "   done after 2 min",
        "== 4/4  Ends (about 30 s)",
        "   done after 30 s",
    ]
    assert (run.progress.total, run.progress.pace) == (211, 1.0)


def test_a_slow_machine_is_noticed_within_bounds():
    run = Run()
    run.progress.begin("build")
    run.after(240).begin("quick")
    assert run.progress.pace == (60 + 240) / 120
    assert run.progress.left() == pytest.approx(155 * 2.5, abs=5)
    assert Run(pace=1000).progress.pace == 8
    assert Run(pace=0).progress.pace == 0.2


def test_a_step_that_waits_for_the_network_does_not_tell_the_speed():
    run = Run()
    run.progress.steps[0] = Step("build", "Builds", 60, telling=False)
    run.progress.begin("build")
    run.after(600).begin("quick")
    assert run.progress.pace == 1.0


def test_what_is_left_never_ends_before_the_step_does():
    run = Run()
    run.progress.begin("end")
    assert run.progress.left() == 30
    assert run.after(300).left() == 10


def test_a_step_that_is_over_or_unknown_is_not_begun():
    run = Run()
    run.progress.begin("boot")
    for name in ("build", "boot", "no step", ""):
        run.progress.begin(name)
    assert run.lines == ["== 3/4  Boots (about 2 min)"]
    assert run.progress.at("boot")


def test_a_step_that_nobody_expected_comes_once_and_where_it_is():
    run = Run()
    run.progress = Progress(STEPS, out=run.out, clock=lambda: run.now, extra=[Step("reboot", "Reboots", 100)])
    for name in ("build", "boot", "reboot", "reboot", "end"):
        run.progress.begin(name)
    assert [line.split(" (")[0] for line in run.lines] == ["== 1/4  Builds", "== 3/4  Boots", "== 4/5  Reboots", "== 5/5  Ends"]


def test_a_log_gets_a_line_a_minute():
    run = Run()
    run.progress.tick()
    run.progress.begin("boot")
    for _second in range(90):
        run.after(1).tick()
    assert run.lines[1:] == ["   60 s so far, about 90 s left in all".replace("90 s", "2 min")]


def test_a_terminal_gets_one_line_that_is_written_again():
    run = Run(terminal=True)
    run.progress.begin("boot")
    for _second in range(90):
        run.after(1).tick()
    run.progress.end("ready")
    text = run.out.getvalue()
    assert text.count("\n") == 2
    assert "\r   45 s so far, about 2 min left in all" in text
    assert text.endswith("\r   ready after 2 min\n")


def test_a_note_replaces_the_word():
    run = Run()
    run.progress.begin("quick")
    run.progress.end("no (reason)")
    run.progress.end("again")
    assert run.lines[1:] == ["   no (reason)"]
