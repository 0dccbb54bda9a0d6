# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of rules: complete, well-formed, and what the code finds is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit import guest_rules, node_rules
from ansible_collections.realtime.kvm.plugins.module_utils._audit import rules as _audit_rules
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rule import SEVERITIES
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES

SOURCES = Path(_audit_rules.__file__).parents[1]

#: The nineteen known conflicts of real-time hosts, by number, and the rules that report them.
CONFLICTS = {
    1: ("boot-cpu-isolated", "numa-housekeeping", "housekeeping-overlap", "topology-changed"),
    2: ("smt-split", "smt-sibling"),
    3: ("smt-split",),
    4: ("pmd-pin", "rxq-placement", "pmd-remote", "switch"),
    5: ("emulator-pin", "slice-limit"),
    6: ("vcpu-priority", "kthread"),
    7: ("cpuset-root", "isolation"),
    8: ("nohz-mismatch",),
    9: ("idle-poll", "argument-redundant"),
    10: ("argument-redundant",),
    11: ("hugepages",),
    12: ("vhost-user-memory",),
    13: ("nova-sets", "vcpu-overlap"),
    14: ("irqbalance",),
    15: ("fair-server", "setting"),
    16: ("rt-group-sched",),
    17: ("lockdown",),
    18: ("tuned", "tuned-cores"),
    19: ("interrupt-managed",),
}


def used():
    """Rule ids in the code: of findings that are made, and of rules that changes are given."""
    files = [*sorted(SOURCES.rglob("*.py")), *sorted((SOURCES.parent / "plugin_utils" / "_cloud").glob("*.py"))]
    text = "".join(path.read_text() for path in files if path.name not in ("rules.py", "node_rules.py", "guest_rules.py"))
    made = re.findall(r'\bFinding\(\s*"([\w-]+)"', text)
    given = re.findall(r'change_finding\([^()]*?,\s*"[\w-]+",\s*"([\w-]+)"', text)
    chosen = re.findall(
        r'"(boot-service|boot-service-old|options|host-file|guest-thread|vhost-thread|guest-state|guest-definition|kthread|cpuset|hugepages|setting'
        r'|cache-mount|cache-group|cache-mask|memory-bandwidth|device-driver|device-functions|device-settings)"',
        text,
    )
    return {*made, *given, *chosen}


def test_every_rule_is_in_the_table_once():
    tables = (
        node_rules.KEPT,
        node_rules.SETS,
        node_rules.KERNEL,
        node_rules.RUNNING,
        guest_rules.INSIDE,
        guest_rules.GUESTS,
        guest_rules.INSTANCES,
    )
    listed = [rule for table in tables for rule in table]
    assert len({rule.id for rule in listed}) == len(listed)
    assert all(RULES[rule.id] is rule for rule in listed)


def test_every_rule_is_used_and_every_finding_has_its_rule():
    assert used() == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_is_well_formed(rule):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.id)
    assert rule.severity in SEVERITIES
    assert re.fullmatch(r"\w.*[^.]\.", rule.meaning)
    assert ". " not in rule.meaning
    assert rule.source
    if rule.source.startswith("docs/"):
        assert (SOURCES.parents[1] / rule.source).is_file(), rule.source


@pytest.mark.parametrize("number", CONFLICTS)
def test_every_known_conflict_has_a_rule(number):
    assert CONFLICTS[number]
    assert set(CONFLICTS[number]) <= set(RULES)


def test_there_are_no_gaps():
    assert list(CONFLICTS) == list(range(1, 20))


def test_what_cannot_be_repaired_is_no_error():
    assert {RULES[name].severity for name in ("interrupt-managed", "argument-redundant", "argument-duplicate")} == {"info"}
