# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry's rules, and the baselines as data."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.baseline import (
    Intent,
    choose_baseline,
    make_wishes,
    parse_baselines,
)
from ansible_collections.realtime.kvm.plugins.module_utils._firmware.registry import BiosError, parse_registry, same
from bmc.captures import baselines

ROOT = Path(__file__).resolve().parents[4]


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
    assert alone.read_only("T", {"A": "Custom"}) == "the registry says ReadOnly"


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


def test_the_baselines_are_well_formed_and_documented():
    known = parse_baselines(baselines())
    assert known[-1].name == "generic", "the last resort comes last"
    page = (ROOT / "docs/bios.md").read_text()
    assert [one.name for one in known if f"`{one.name}`" not in page] == []
    for one in known:
        for setting in one.settings:
            assert setting.topic, setting.name
            if setting.topic == "virtualization":
                assert not {value for values in setting.wanted.values() for value in values} & {"Disabled", "Disable"}
            # the strict profile has all that the balanced one has
            assert set(setting.wanted) in (set(), {"latency"}, {"latency", "balanced"}), setting.name


@pytest.mark.parametrize(
    ("maker", "name"),
    [
        ("Dell Inc.", "dell_idrac9"),
        ("HPE", "hpe_ilo5_ilo6"),
        ("Lenovo", "lenovo_xcc"),
        ("Supermicro", "supermicro"),
        ("", "generic"),
    ],
)
def test_manufacturers(maker, name):
    assert choose_baseline(parse_baselines(baselines()), "auto", maker).name == name


GOOD = {"name": "A", "latency": "x", "reason": "r", "cost": "c", "source": "s"}


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**GOOD, "cost": ""}, "A: cost is missing; every attribute says why"),
        ({**GOOD, "lateny": "x"}, "A: unknown keys lateny"),
        ({**GOOD, "topic": "speed"}, "A: topic is 'speed'; it can be profile"),
        ({**GOOD, "gate": True}, "A: gate is True; it can be needed, always"),
        ({**GOOD, "follows": "smt"}, "A: give either values by profile"),
        ({**GOOD, "latency": None}, "A: give either values by profile"),
        ({**GOOD, "latency": [1.5]}, "A: a value is text, a number or true/false"),
        ("A", "an attribute is a dictionary with a name"),
    ],
)
def test_bad_baselines_of_the_operator(entry, words):
    with pytest.raises(BiosError, match=f"bios_baselines: own.*{words}"):
        parse_baselines([{"name": "own", "title": "own", "manufacturers": [], "attributes": [entry]}])


def test_smt_and_clusters_follow_the_inventory():
    dell = parse_baselines(baselines())[0]
    current = {"LogicalProc": "Enabled", "SubNumaCluster": "Disabled", "ProcTurboMode": "Enabled"}
    for intent, wanted in (
        (Intent(), {"LogicalProc": ("Enabled",), "SubNumaCluster": (), "ProcTurboMode": ()}),
        (Intent(smt="single"), {"LogicalProc": ("Disabled",), "SubNumaCluster": (), "ProcTurboMode": ()}),
        (
            Intent(smt="keep", numa="2", turbo="off"),
            {"LogicalProc": (), "SubNumaCluster": ("2-Way",), "ProcTurboMode": ("Disabled",)},
        ),
    ):
        wishes = make_wishes(dell, intent, current, None).wishes
        assert {wish.name: wish.accepted for wish in wishes} == wanted
