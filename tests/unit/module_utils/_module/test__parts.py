# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports whose parts may fail: the others go on, and what is missing is said."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._module._parts import UNEXPECTED, Parts, check_interval


def fail(error):
    raise error


def test_a_part_that_can_be_read_is_what_it_is():
    parts = Parts()
    assert parts.read("x", lambda: {"a": 1}, None) == {"a": 1}
    assert parts.missing == []


def test_a_part_that_is_refused_gives_its_reason():
    parts = Parts()
    assert parts.read("x", lambda: fail(HostError("no right")), []) == []
    assert parts.missing == [{"part": "x", "state": "broken", "reason": "no right"}]


@pytest.mark.parametrize("error", UNEXPECTED)
def test_a_part_that_holds_something_unexpected_does_not_end_the_report(error):
    parts = Parts()
    assert parts.read("x", lambda: fail(error("odd")), "default") == "default"
    ((missing),) = parts.missing
    assert (missing["part"], missing["state"]) == ("x", "broken")
    assert error.__name__ in missing["reason"]


def test_other_errors_are_bugs():
    with pytest.raises(ZeroDivisionError):
        Parts().read("x", lambda: 1 // 0, None)


def test_what_is_absent_is_not_broken():
    parts = Parts()
    parts.absent("switch", "it is not installed")
    parts.broken("guests", "why")
    assert [(one["part"], one["state"]) for one in parts.missing] == [("switch", "absent"), ("guests", "broken")]


@pytest.mark.parametrize(("interval", "fine"), [(0, True), (60.0, True), (-0.1, False), (60.5, False), (float("nan"), False)])
def test_a_machine_is_watched_for_a_minute_at_most(interval, fine):
    if fine:
        check_interval(interval)
    else:
        with pytest.raises(HostError, match=r"interval: .* is not in 0-60 seconds"):
            check_interval(interval)
