# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine writes its values is found from its current ones, and every other spelling is translated."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.registry import check_value, parse_registry
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.spelling import as_shown, translated
from unit.hostile import VALUES


def registry(*entries, dependencies=()):
    return parse_registry({"Id": "r", "RegistryEntries": {"Attributes": list(entries), "Dependencies": list(dependencies)}})


def choices(name, *pairs, kind="Enumeration"):
    values = [{"ValueName": value, **({} if text is None else {"ValueDisplayName": text})} for value, text in pairs]
    return {"AttributeName": name, "Type": kind, "Value": values}


SWITCH = choices("A", ("0", "Enable"), ("1", "Disable"))


@pytest.mark.parametrize(
    ("entry", "current", "values"),
    [
        (SWITCH, "Enable", ("Enable", "Disable")),
        (SWITCH, "0", ("0", "1")),
        (SWITCH, 0, (0, 1)),
        (SWITCH, None, ("0", "1")),
        (SWITCH, "something else", ("0", "1")),
        (choices("A", (0, "Enable"), (1, "Disable")), "Enable", ("Enable", "Disable")),
        (choices("A", (0, "Enable"), (1, "Disable")), "1", ("0", "1")),
        (choices("A", (0, None), (1, None)), 1, (0, 1)),
        (choices("A", ("true", "On"), ("false", "Off")), True, (True, False)),
        (choices("A", ("On", None), ("Off", None), kind="enumeration"), "On", ("On", "Off")),
        (choices("A", ("7", "7"), ("8", "8")), "8", ("7", "8")),
        ({"AttributeName": "A", "Type": "Boolean"}, True, (True, False)),
        ({"AttributeName": "A", "Type": "Boolean"}, "True", ("True", "False")),
        ({"AttributeName": "A", "Type": "Boolean"}, "false", ("true", "false")),
        ({"AttributeName": "A", "Type": "Boolean"}, 1, (1, 0)),
    ],
)
def test_values_are_written_as_the_current_one(entry, current, values):
    attribute = as_shown(registry(entry), {"A": current}).attributes["A"]
    assert attribute.values == values
    assert [type(one) for one in attribute.values] == [type(one) for one in values]
    for one in values:
        assert attribute.known(one) == one, "its own spelling is known"


@pytest.mark.parametrize("value", ["Disable", "1", 1])
def test_every_spelling_of_a_value_is_translated(value):
    shown = as_shown(registry(SWITCH), {"A": "Enable"})
    assert translated(shown, {"A": value, "B": 3}) == {"A": "Disable", "B": 3}
    assert check_value(shown.attributes["A"], "Enable", value, "it") == "Disable"
    assert translated(None, {"A": 1}) == {"A": 1}


def test_where_a_text_is_a_name_and_another_ones_display_the_machines_way_decides():
    """1 is the name of one value and the text of the other."""
    twisted = choices("A", ("0", "1"), ("1", "0"))
    alone = as_shown(registry(twisted), {"A": "1"}).attributes["A"]
    assert alone.values == ("0", "1"), "as DSP0268 has it"
    among = as_shown(registry(twisted, choices("B", ("0", "Off"), ("1", "On"))), {"A": "1", "B": "On"}).attributes["A"]
    assert among.values == ("1", "0")
    assert among.known("1") == "1"


@pytest.mark.parametrize("value", ["Enable", "0"])
def test_dependencies_speak_as_the_machine_does(value):
    condition = {"MapFromAttribute": "A", "MapFromProperty": "CurrentValue", "MapFromCondition": "EQU", "MapFromValue": value}
    body = {"MapFrom": [condition], "MapToAttribute": "B", "MapToProperty": "CurrentValue", "MapToValue": 1}
    rules = registry(SWITCH, {**SWITCH, "AttributeName": "B"}, dependencies=[{"Type": "Map", "Dependency": body}])
    shown = as_shown(rules, {"A": "Disable", "B": "Enable"})
    assert shown.simulate({"A": "Disable", "B": "Enable"}, {"A": "Enable"}) == {"A": "Enable", "B": "Disable"}


def test_numbers_as_text_are_compared_as_numbers():
    condition = {"MapFromAttribute": "A", "MapFromProperty": "CurrentValue", "MapFromCondition": ">", "MapFromValue": 9}
    body = {"MapFrom": [condition], "MapToAttribute": "B", "MapToProperty": "ReadOnly", "MapToValue": True}
    number = {"AttributeName": "A", "Type": "Integer", "LowerBound": 0, "UpperBound": 100}
    shown = as_shown(registry(number, SWITCH | {"AttributeName": "B"}, dependencies=[{"Dependency": body}]), {"A": "10"})
    assert shown.attributes["A"].known(20) == "20"
    assert shown.read_only("B", {"A": "10", "B": "Enable"})
    assert not shown.read_only("B", {"A": "9", "B": "Enable"})


def test_a_registry_with_values_of_any_form_is_read():
    for value in VALUES:
        entry = {"AttributeName": "A", "Type": value, "Value": [{"ValueName": value, "ValueDisplayName": value}, value]}
        shown = as_shown(registry(entry), {"A": "x"})
        shown.attributes["A"].known(value)
        shown.attributes["A"].known("x")
