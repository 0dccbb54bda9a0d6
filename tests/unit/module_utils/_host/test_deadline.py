# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls without a time-out of their own end in their time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from functools import partial

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.deadline import LateError, Watch, within


def test_a_call_in_time_returns_and_raises_as_it_does_alone():
    assert within(30, lambda: 7) == 7
    assert within(30, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        within(30, lambda: 1 // 0)
    with pytest.raises(SystemExit):
        within(30, partial(sys.exit, 3))


def test_a_late_call_is_given_up():
    hold = threading.Event()
    started = time.monotonic()
    with pytest.raises(LateError, match=r"has not ended within 0\.2 s"):
        within(0.2, hold.wait)
    assert time.monotonic() - started < 10
    hold.set()


def test_a_late_call_keeps_no_process_alive():
    hold = threading.Event()
    with pytest.raises(LateError):
        within(0.1, hold.wait)
    assert all(thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    hold.set()


@pytest.mark.parametrize(("command", "late"), [(["sleep", "60"], True), (["true"], False)])
def test_a_program_is_killed_once_its_time_is_over(command, late):
    watch = Watch(0.5 if late else 60)
    started = time.monotonic()
    with watch, subprocess.Popen(command) as process:
        watch.follow(process)
        process.wait()
    assert watch.late is late
    assert time.monotonic() - started < 30
