# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes, the limit of what they may disturb, and the Planner that makes them in their order."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.change import (
    Change,
    DisruptionError,
    Planner,
    beyond,
    check_limit,
    results_of,
    worse,
    worst_disruption,
)


@pytest.mark.parametrize(
    ("classes", "worst"),
    [([], "none"), (["none", "stall"], "stall"), (["reboot", "guest"], "reboot"), (["guest", "none"], "guest")],
)
def test_the_disruption_is_the_worst_of_all(classes, worst):
    assert worst_disruption(Change("x", None, "y", name) for name in classes) == worst


def test_the_worse_of_two_classes():
    assert [worse(one, other) for one, other in (("none", "stall"), ("reboot", "guest"), ("guest", "guest"))] == [
        "stall",
        "reboot",
        "guest",
    ]


# -- results ---------------------------------------------------------------------------------------


def test_results_show_each_change_as_it_would_be_read():
    text = results_of([Change("/etc/x", None, "new\n", "stall", "why"), Change("domain a: state", "running", None, "guest")])
    assert text == {
        "changed": True,
        "disruption": "guest",
        "changes": [
            {"resource": "/etc/x", "before": None, "after": "new\n", "disruption": "stall", "reason": "why"},
            {"resource": "domain a: state", "before": "running", "after": None, "disruption": "guest", "reason": ""},
        ],
        "diff": [
            {"before_header": "/etc/x", "after_header": "/etc/x [stall]", "before": "", "after": "new\n"},
            {"before_header": "domain a: state", "after_header": "domain a: state [guest]", "before": "running\n", "after": ""},
        ],
    }
    assert results_of([]) == {"changed": False, "disruption": "none", "changes": [], "diff": []}


# -- the Planner -----------------------------------------------------------------------------------

FIRST, SECOND, THIRD = (Change(name, "1", "2") for name in ("first", "second", "third"))


@pytest.fixture(name="made")
def _made():
    return []


def planned(made, *, check_mode=False, fail_at=None):
    """A plan of three changes, with a step that changes nothing between the second and the third."""

    def make(name):
        if name == fail_at:
            raise HostError(f"{name} failed")
        made.append(name)

    planner = Planner(check_mode=check_mode)
    planner.follow_up(FIRST, lambda: make("first"))
    planner.follow_up(SECOND, lambda: make("second"))
    planner.perform(lambda: make("between"))
    planner.follow_up(THIRD, lambda: make("third"))
    return planner


def test_steps_are_made_in_the_order_in_which_they_were_planned(made):
    planner = planned(made)
    assert (made, planner.committed) == ([], False), "planning alone makes nothing"
    planner.commit()
    assert made == ["first", "second", "between", "third"]
    assert planner.changes == [FIRST, SECOND, THIRD]
    assert planner.committed


def test_what_is_made_is_not_made_again(made):
    planner = planned(made)
    planner.commit()
    planner.commit()
    assert made == ["first", "second", "between", "third"]


def test_what_is_planned_after_a_commit_is_made_by_the_next(made):
    planner = planned(made)
    planner.commit()
    later = Change("later", None, "x")
    planner.follow_up(later, lambda: made.append("later"))
    planner.commit()
    assert made[-2:] == ["third", "later"]
    assert planner.changes == [FIRST, SECOND, THIRD, later]


def test_check_mode_makes_nothing_and_shows_the_same_changes(made):
    planner = planned(made, check_mode=True)
    planner.commit()
    assert (made, planner.committed) == ([], False)
    assert planner.changes == [FIRST, SECOND, THIRD]
    assert planner.results()["changed"] is True


@pytest.mark.parametrize(
    ("fail_at", "kept"),
    [("first", []), ("second", [FIRST]), ("between", [FIRST, SECOND]), ("third", [FIRST, SECOND])],
)
def test_after_a_failure_the_changes_are_those_that_were_made(made, fail_at, kept):
    planner = planned(made, fail_at=fail_at)
    with pytest.raises(HostError, match=rf"^{fail_at} failed$"):
        planner.commit()
    assert planner.changes == kept
    assert planner.committed, "what was made before counts"
    assert fail_at not in made
    planner.commit()
    assert fail_at not in made, "what is left of a failed plan is not made later"


def test_a_change_that_its_own_step_takes_out_is_not_missed_after_a_failure(made):
    planner = Planner()

    def refused():
        planner.changes.remove(FIRST)
        raise HostError("no")

    planner.follow_up(FIRST, refused)
    planner.follow_up(SECOND, lambda: made.append("second"))
    with pytest.raises(HostError, match=r"^no$"):
        planner.commit()
    assert (planner.changes, made) == ([], [])


def test_a_step_that_changes_nothing_is_performed_but_not_reported(made):
    planner = Planner()
    planner.perform(lambda: made.append("step"))
    planner.commit()
    assert made == ["step"]
    assert planner.results() == {"changed": False, "changes": [], "disruption": "none", "diff": []}


def test_a_plan_without_steps_commits_nothing():
    planner = Planner()
    with planner.locked():
        planner.commit()
    assert not planner.committed


# -- the limit -------------------------------------------------------------------------------------

CHANGES = [
    {"resource": "x", "disruption": "none"},
    {"resource": "y", "disruption": "stall"},
    {"resource": "z", "disruption": "guest"},
]
PLAN = [Change(change["resource"], None, "x", change["disruption"]) for change in CHANGES]


@pytest.mark.parametrize(
    ("limit", "found"),
    [("none", ["y (stall)", "z (guest)"]), ("stall", ["z (guest)"]), ("guest", []), ("reboot", [])],
)
def test_what_is_beyond_the_limit(limit, found):
    assert beyond(CHANGES, limit) == found


def test_what_is_beyond_the_limit_is_named_within_bounds_and_printable():
    named = beyond([{"resource": "\x1b]0;x\x07" + "y" * (1 << 20), "disruption": "reboot"}] * 5000, "none")
    assert len(named) == 101
    assert named[0].startswith(r"\x1b]0;x\x07yyy")
    assert len(named[0]) == 200
    assert named[-1] == "and 4900 more"


def test_the_refusal_names_limit_changes_and_what_would_help():
    with pytest.raises(DisruptionError) as error:
        check_limit(PLAN, "none")
    assert str(error.value) == (
        "max_disruption: the limit is none, but the plan needs more: y (stall); z (guest). Nothing was changed. Allow it for a maintenance window "
        "(realtime_max_disruption: guest), or change the variables that cause it"
    )
    assert error.value.results == {"changes": [asdict(change) for change in PLAN], "disruption": "guest"}


def test_without_a_limit_everything_goes():
    check_limit(PLAN, None)
    check_limit([], "none")
