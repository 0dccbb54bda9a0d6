# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever a registry locks: no stage writes what is locked when its turn comes, and what is not blocked is reached."""

from __future__ import annotations

import itertools
from dataclasses import replace

from ansible_collections.realtime.kvm.plugins.module_utils._firmware.baseline import Request, Requests
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.plan import MAX_STAGES, make_plan
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.registry import (
    Attribute,
    Choice,
    Condition,
    Dependency,
    Registry,
)
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.spelling import as_shown, translated
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = [f"A{number}" for number in range(6)]
VALUES = ("x", "y", "z")


@st.composite
def machines(draw):
    """A registry with locks and maps at random, current and pending values, and requests."""
    choices = tuple(Choice(value, f"Text of {value}") for value in VALUES)
    names = {value: value for value in VALUES}
    attributes = {
        name: Attribute(name, "Enumeration", choices, VALUES, names, read_only=draw(st.integers(0, 9)) == 0) for name in NAMES
    }
    dependencies = []
    for _number in range(draw(st.integers(0, 8))):
        source, target = draw(st.permutations(NAMES))[:2]
        prop = draw(st.sampled_from(["ReadOnly", "ReadOnly", "GrayOut", "CurrentValue"]))
        condition = Condition(source, draw(st.sampled_from(["EQU", "NEQ"])), draw(st.sampled_from(VALUES)))
        value = draw(st.sampled_from(VALUES)) if prop == "CurrentValue" else True
        dependencies.append(Dependency(target, prop, value, (condition,)))
    current = {name: draw(st.sampled_from(VALUES)) for name in NAMES}
    wanted = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    requests = [
        Request(name, (draw(st.sampled_from(VALUES)),), gate=draw(st.sampled_from(["", "", "", "needed", "always"])))
        for name in wanted
    ]
    pending = {
        name: value
        for name in NAMES
        if draw(st.integers(0, 5)) == 0 and (value := draw(st.sampled_from(VALUES))) != current[name]
    }
    return Registry("made", attributes, tuple(dependencies)), current, pending, Requests(tuple(requests), ())


@settings(deadline=None, max_examples=300)
@given(machines(), st.booleans())
def test_plans_can_be_carried_out_and_reach_what_they_promise(machine, overwrite):
    registry, current, pending, requests = machine
    plan = make_plan(requests, current, pending, registry, overwrite=overwrite)
    assert plan.reboots <= MAX_STAGES
    values = dict(current)
    for stage in plan.stages:
        assert stage
        for name, value in stage.items():
            taken_back = pending.get(name) is not None and value == current[name]
            assert taken_back or registry.read_only(name, values) is None
        values = registry.simulate(values, stage)
    for item in plan.items:
        if item.state in ("ok", "differs", "staged", "comes") and item.request.gate != "needed":
            assert item.request.satisfied(values[item.request.name]), item
        if item.state == "blocked":
            assert item.note
    # attributes that no request names are not written
    assert set(itertools.chain.from_iterable(plan.stages)) <= {request.name for request in requests.requests}


@settings(deadline=None, max_examples=300)
@given(machines())
def test_when_all_is_done_nothing_is_left(machine):
    registry, current, _pending, requests = machine
    plan = make_plan(requests, current, {}, registry)
    values = dict(current)
    for stage in plan.stages:
        values = registry.simulate(values, stage)
    again = make_plan(requests, values, {}, registry)
    done = {item.request.name for item in plan.items if item.state != "blocked"}
    assert not ({name for stage in again.stages for name in stage} & done) or plan.of_state("blocked")


@settings(deadline=None, max_examples=200)
@given(machines())
def test_a_run_that_ends_between_stages_goes_on_with_the_next(machine):
    """Planned again after each reboot, as the role does, it comes to the same end."""
    registry, current, _pending, requests = machine
    whole = make_plan(requests, current, {}, registry)
    values = dict(current)
    for _stage in whole.stages:
        plan = make_plan(requests, values, {}, registry)
        values = registry.simulate(values, plan.stages[0]) if plan.stages else values
    final = make_plan(requests, values, {}, registry)
    reached = {item.request.name for item in whole.items if item.state != "blocked" and item.request.gate != "needed"}
    missing = {item.request.name for item in final.items if item.state not in ("ok", "blocked") and item.request.gate != "needed"}
    if not whole.of_state("blocked"):
        assert not (reached & missing), (whole.stages, final.stages)


@settings(deadline=None, max_examples=200)
@given(machines())
def test_a_machine_that_shows_texts_for_people_is_planned_as_one_that_shows_names(machine):
    registry, current, pending, requests = machine
    shown = as_shown(registry, texts(current))
    asked = [
        replace(one, accepted=tuple(shown.attributes[one.name].known(value) for value in one.accepted))
        for one in requests.requests
    ]
    plan = make_plan(requests, current, pending, registry)
    other = make_plan(Requests(tuple(asked), ()), texts(current), translated(shown, pending), shown)
    assert list(other.stages) == [texts(stage) for stage in plan.stages]
    assert [(item.state, item.stage) for item in other.items] == [(item.state, item.stage) for item in plan.items]


def texts(values):
    return {name: f"Text of {value}" for name, value in values.items()}


@given(machines())
def test_the_settings_of_another_user_are_left_alone(machine):
    registry, current, pending, requests = machine
    plan = make_plan(requests, current, pending, registry)
    for request in requests.requests:
        if request.name in pending and not request.satisfied(pending[request.name]):
            assert request.name not in plan.writes
            assert request.name in [item.request.name for item in plan.of_state("conflict")]
