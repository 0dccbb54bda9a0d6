# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of one machine's firmware: states, stages between reboots, presets, values that others have staged."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.baseline import Request, Requests
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.plan import MAX_STAGES, STATES, make_plan
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.registry import Attribute, Condition, Dependency, Registry

CURRENT = {"Profile": "Eco", "CStates": "On", "Turbo": "On", "Smt": "On"}


def registry(*dependencies, **flags):
    attributes = {name: Attribute(name, "Enumeration", values=("On", "Off"), **flags.get(name, {})) for name in CURRENT}
    return Registry("r", attributes, dependencies)


def rule(target, source, operator, value, prop="ReadOnly", to=True):
    return Dependency(target, prop, to, (Condition(source, operator, value),))


#: As iDRAC has it: only the profile Custom leaves the idle states to be set.
LOCKED = registry(rule("CStates", "Profile", "NEQ", "Custom"))
OFF = Request("CStates", ("Off",))
CUSTOM = Request("Profile", ("Custom",), gate="needed")


def planned(*requests, current=None, pending=None, rules=None, **options):
    return make_plan(Requests(requests, ()), CURRENT if current is None else current, pending or {}, rules, **options)


def states(plan):
    return {item.request.name: (item.state, item.stage) for item in plan.items}


@pytest.mark.parametrize(
    ("asked", "pending", "state", "wanted"),
    [
        (Request("CStates", ("On",)), {}, ("ok", 0), "On"),
        (Request("CStates", ("Auto", "On")), {}, ("ok", 0), "On"),  # any accepted value will do
        (Request("CStates", ()), {}, ("kept", 0), "On"),
        (OFF, {}, ("differs", 1), "Off"),
        (Request("CStates", ("Off", "Auto")), {}, ("differs", 1), "Off"),  # the preferred one
        (OFF, {"CStates": "Off"}, ("staged", 1), "Off"),
        (OFF, {"CStates": "Auto"}, ("conflict", 0), "Off"),
        (Request("CStates", ("Off",), unsupported="no such value"), {}, ("unsupported", 0), "On"),
    ],
)
def test_the_state_of_an_attribute(asked, pending, state, wanted):
    plan = planned(asked, pending=pending, rules=registry())
    assert states(plan) == {"CStates": state}
    assert plan.items[0].wanted == wanted
    assert state[0] in STATES


def test_what_waits_already_is_not_written_again():
    plan = planned(OFF, Request("Turbo", ("Off",)), pending={"CStates": "Off"}, rules=registry())
    assert (plan.writes, plan.waiting, plan.reboots) == ({"Turbo": "Off"}, {"CStates": "Off"}, 1)


def test_a_machine_as_wanted_needs_no_reboot():
    plan = planned(Request("CStates", ("On",)), rules=registry())
    assert (plan.stages, plan.writes, plan.reboots) == ((), {}, 0)


@pytest.mark.parametrize(
    ("profile", "stages"),
    [("Eco", ({"Profile": "Custom"}, {"CStates": "Off"})), ("Custom", ({"CStates": "Off"},))],
)
def test_a_preset_comes_first_where_it_locks_another_attribute(profile, stages):
    assert planned(OFF, CUSTOM, current={**CURRENT, "Profile": profile}, rules=LOCKED).stages == stages


def test_a_preset_that_nothing_needs_stays():
    plan = planned(Request("Turbo", ("Off",)), CUSTOM, rules=LOCKED)
    assert plan.stages == ({"Turbo": "Off"},)
    assert plan.of_state("ok")[0].request.name == "Profile"


def test_what_a_preset_brings_along_is_not_written():
    rules = registry(rule("CStates", "Profile", "EQU", "Max", "CurrentValue", "Off"), rule("CStates", "Profile", "NEQ", "Custom"))
    plan = planned(OFF, Request("Profile", ("Max",), gate="always"), rules=rules)
    assert plan.stages == ({"Profile": "Max"},)
    assert states(plan) == {"CStates": ("comes", 1), "Profile": ("differs", 1)}


def test_a_lock_without_a_preset_is_told_with_its_reason():
    (item,) = planned(OFF, rules=LOCKED).items
    assert (item.state, item.note) == ("blocked", "locked: Profile is not Custom (it is Eco)")


def test_two_requests_of_which_each_undoes_the_other_end_in_words():
    rules = registry(
        rule("CStates", "Turbo", "EQU", "Off", "CurrentValue", "On"), rule("Turbo", "CStates", "EQU", "Off", "CurrentValue", "On")
    )
    plan = planned(OFF, Request("Turbo", ("Off",)), rules=rules)
    assert plan.reboots <= MAX_STAGES
    (blocked,) = plan.of_state("blocked")
    assert blocked.note == "another attribute of the plan would reset it"


def test_without_a_registry_presets_come_a_reboot_before_the_rest():
    assert planned(OFF, Request("Profile", ("Custom",), gate="always")).stages == ({"Profile": "Custom"}, {"CStates": "Off"})
    assert planned(OFF).stages == ({"CStates": "Off"},)


def test_values_that_others_have_staged_are_kept_or_taken_back():
    stays = Request("Turbo", ("On",))
    kept = planned(stays, pending={"Turbo": "Off", "Smt": "Off"}, rules=registry())
    assert (states(kept), kept.writes) == ({"Turbo": ("conflict", 0)}, {})
    assert kept.foreign == {"Turbo": "Off", "Smt": "Off"}
    ours = planned(stays, pending={"Turbo": "Off"}, rules=registry(), overwrite=True)
    assert ours.writes == {"Turbo": "On"}


def test_a_preset_that_another_has_staged_is_a_conflict():
    plan = planned(OFF, CUSTOM, pending={"Profile": "Max"}, rules=LOCKED)
    assert states(plan) == {"CStates": ("blocked", 0), "Profile": ("conflict", 0)}
    assert planned(OFF, CUSTOM, pending={"Profile": "Max"}, rules=LOCKED, overwrite=True).reboots == 2


# -- the machine in a word, and lockdown -----------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "options", "state"),
    [
        ([Request("CStates", ("On",))], {}, "compliant"),
        ([], {}, "compliant"),
        ([OFF], {}, "differs"),
        ([OFF, Request("Turbo", (), unsupported="x")], {}, "differs"),
        ([Request("CStates", ("On",)), Request("Turbo", (), unsupported="x")], {}, "unsupported"),
        ([Request("CStates", ("On",)), OFF], {"lockdown": "locked"}, "locked"),
        ([Request("CStates", ("On",))], {"lockdown": "locked"}, "compliant"),
    ],
)
def test_the_state_of_a_machine(requests, options, state):
    assert planned(*requests, rules=registry(), **options).state == state


def test_a_wanted_attribute_that_does_not_exist_is_unsupported():
    plan = make_plan(Requests((Request("CStates", ("On",)),), ("Gone",), ("Gone",)), CURRENT, {}, registry())
    assert (plan.state, plan.missing) == ("unsupported", ("Gone",))


def test_in_lockdown_nothing_is_planned_and_what_waits_does_not_count():
    smt = Request("Smt", ("On",))
    plan = planned(CUSTOM, OFF, smt, pending={"CStates": "Off", "Turbo": "Off"}, rules=LOCKED, lockdown="it is locked")
    assert states(plan) == {"Profile": ("ok", 0), "CStates": ("blocked", 0), "Smt": ("ok", 0)}
    assert (plan.stages, plan.writes, plan.reboots, plan.lockdown) == ((), {}, 0, "it is locked")
    assert plan.foreign == {"Turbo": "Off"}, "the values of another user are shown"
