# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/audit.md lists the rules, and the keys of a finding."""

from __future__ import annotations

import re

from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import Finding
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rule import SEVERITIES
from ansible_collections.realtime.kvm.plugins.module_utils._audit.rules import RULES
from unit.documents import code_of, table


def test_documented_rules_are_those_of_the_code():
    rows = table("docs/audit.md", ["Rule", "Severity", "What must hold", "Repaired by", "Source"])
    documented = [(code_of(rule), severity, meaning, source, repair) for rule, severity, meaning, repair, source in rows]
    assert documented == [(rule.id, rule.severity, rule.meaning, rule.source, rule.repair) for rule in RULES.values()]


def test_documented_keys_of_a_finding_are_those_of_the_code():
    rows = table("docs/audit.md", ["Key", "Meaning"])
    documented = [key for row in rows for key in re.findall(r"`(\w+)`", row[0])]
    assert documented == list(Finding("setting", "", "", "", "").to_dict())
    assert re.findall(r"`(\w+)`:", rows[0][1]) == list(SEVERITIES)
