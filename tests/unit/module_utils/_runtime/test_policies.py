# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies: each choice of each variable has one, and what a node had before is shown only where it differs."""

from __future__ import annotations

import yaml
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.partition import SMT_MODES
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.cpu_settings import THROTTLING_CHOICES
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.policies import (
    NX,
    POLICIES,
    SMT,
    THROTTLING,
    WATCHDOG,
    chosen,
)
from unit.documents import code_of, table, text_of

CHOICES = {THROTTLING: set(THROTTLING_CHOICES), SMT: set(SMT_MODES), WATCHDOG: {"60", "0"}, NX: {"keep", "off", "never"}}


def test_every_choice_has_its_policy():
    assert {variable: {policy.value for policy in POLICIES if policy.variable == variable} for variable in CHOICES} == CHOICES
    assert all(policy.protects and policy.costs and policy.otherwise for policy in POLICIES)


def test_the_page_shows_them_the_default_first():
    rows = table("docs/policies.md", ["Variable", "Value", "Protects", "Costs", "Choose another"])
    documented = [(code_of(variable), code_of(value), *rest) for variable, value, *rest in rows]
    assert documented == [(item.variable, item.value, item.protects, item.costs, item.otherwise) for item in POLICIES]
    first = {}
    for item in POLICIES:
        first.setdefault(item.variable, item.value)
    defaults = {
        name: str(value)
        for role in ("cpu_partition", "kvm_host")
        for name, value in yaml.safe_load(text_of(f"roles/{role}/defaults/main.yml")).items()
    }
    assert first == {name: defaults[name] for name in first}


def test_what_was_there_before_is_shown_where_it_differs():
    found = chosen({SMT: "single", THROTTLING: "budget", WATCHDOG: 120}, {SMT: "together", THROTTLING: "budget"})
    assert [(item["variable"], item["value"], item["before"]) for item in found] == [
        (SMT, "single", "together"),
        (THROTTLING, "budget", ""),
        (WATCHDOG, "120", ""),
    ]
    assert all(item["protects"] and item["costs"] for item in found)
