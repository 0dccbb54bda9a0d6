# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry's rules: which value an attribute may take, and when."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.registry import BiosError, parse_registry, same


def registry(*sources, prop="ReadOnly", value=True, **flags):
    body = {"MapFrom": list(sources), "MapToAttribute": "T", "MapToProperty": prop, "MapToValue": value}
    attributes = [{"AttributeName": name, "Type": "Enumeration"} for name in ("A", "B", "C")]
    attributes.append({"AttributeName": "T", "Type": "Enumeration", **flags})
    return parse_registry(
        {"Id": "r", "RegistryEntries": {"Attributes": attributes, "Dependencies": [{"Type": "Map", "Dependency": body}]}}
    )


def source(name, operator, value, terms=None):
    return {
        "MapFromAttribute": name,
        "MapFromProperty": "CurrentValue",
        "MapFromCondition": operator,
        "MapFromValue": value,
        **({"MapTerms": terms} if terms else {}),
    }


@pytest.mark.parametrize(
    ("sources", "locked"),
    [
        ([source("A", "EQU", 1)], True),
        ([source("A", "EQU", 2)], False),
        ([source("A", "NEQ", 2)], True),
        ([source("A", "GTR", 0)], True),
        ([source("A", "GEQ", 1)], True),
        ([source("A", "LSS", 1)], False),
        ([source("A", "LEQ", 1)], True),
        ([source("A", "HUH", 1)], False),
        ([source("nowhere", "NEQ", 1)], False),
        # without terms: any (Dell)
        ([source("A", "EQU", 2), source("B", "EQU", 1)], True),
        # the term at the first condition (Lenovo, HPE), or at the second
        ([source("A", "EQU", 2, "AND"), source("B", "EQU", 1)], False),
        ([source("A", "EQU", 2), source("B", "EQU", 1, "AND")], False),
        ([source("A", "EQU", 2, "OR"), source("B", "EQU", 1)], True),
        # left to right
        ([source("A", "EQU", 1), source("B", "EQU", 1, "OR"), source("C", "EQU", 2, "AND")], False),
        ([source("A", "EQU", 2), source("B", "EQU", 1, "AND"), source("C", "EQU", 1, "OR")], True),
    ],
)
def test_conditions(sources, locked):
    assert bool(registry(*sources).read_only("T", {"A": 1, "B": 1, "C": 1, "T": "x"})) is locked


def test_a_lock_is_told_in_words():
    rule = registry(source("A", "NEQ", "Custom"))
    assert rule.read_only("T", {"A": "Eco", "T": "x"}) == "A is not Custom (it is Eco)"


def test_the_registry_of_a_machine_holds_the_property_of_its_moment():
    """iDRAC writes ReadOnly: true while the profile locks the attribute."""
    rule = registry(source("A", "NEQ", "Custom"), ReadOnly=True)
    assert rule.read_only("T", {"A": "Eco"})
    assert rule.read_only("T", {"A": "Custom"}) is None
    alone = registry(source("A", "NEQ", "Custom"), prop="Hidden", ReadOnly=True)
    assert alone.read_only("T", {"A": "Custom"}) == "the registry has ReadOnly"


@pytest.mark.parametrize(
    ("one", "other", "equal"), [(True, "true", True), (False, "False", True), (1, True, False), (1, 1, True), ("1", 1, False)]
)
def test_values_as_bmcs_mean_them(one, other, equal):
    assert same(one, other) is equal


def test_only_what_changes_has_effects():
    """A machine whose values contradict a rule is not changed by a plan about something else."""
    rule = registry(source("A", "EQU", 1), prop="CurrentValue", value="forced")
    assert rule.simulate({"A": 1, "B": 1, "T": "own"}, {"B": 2})["T"] == "own"
    assert rule.simulate({"A": 2, "B": 1, "T": "own"}, {"A": 1})["T"] == "forced"


@pytest.mark.parametrize("document", [{}, {"RegistryEntries": []}, {"RegistryEntries": {"Attributes": {}}}])
def test_no_registry(document):
    with pytest.raises(BiosError, match=r"has no RegistryEntries\.Attributes"):
        parse_registry(document)
