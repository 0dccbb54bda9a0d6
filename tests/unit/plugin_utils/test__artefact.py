# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds of an artefact."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._artefact import MOST, bounded_findings


def finding(number, severity="error"):
    texts = dict.fromkeys(("expected", "actual", "remedy", "source"), "x" * 100)
    return {"severity": severity, "rule": "interrupt", "resource": f"IRQ {number}", **texts}


@pytest.mark.parametrize(("nodes", "each"), [(1, 10), (1, 20_000), (100, 40), (1000, 40), (5000, 40), (1000, 0)])
def test_the_findings_of_all_nodes_stay_below_a_megabyte(nodes, each):
    bounded = bounded_findings([finding(number) for number in range(each)], nodes)
    assert len(json.dumps({f"kvm{number:05}.example.com": bounded for number in range(nodes)})) < MOST


def test_findings_that_fit_are_whole_and_others_are_in_short():
    findings = [finding(number) for number in range(10)]
    assert bounded_findings(findings, 20) == findings
    short = bounded_findings(findings, 500)
    assert [entry["resource"] for entry in short] == [entry["resource"] for entry in findings]
    assert {tuple(entry) for entry in short} == {("severity", "rule", "resource")}


@pytest.mark.parametrize(("severity", "worst"), [("error", "error"), ("warning", "warning")])
def test_what_is_left_out_is_counted_and_an_error_stays_one(severity, worst):
    findings = [finding(number, severity) for number in range(50)]
    *kept, last = bounded_findings(findings, 1000)
    assert last == {"severity": worst, "rule": "more", "resource": f"{50 - len(kept)} more, see the job's output"}
    assert 0 < len(kept) < 50
    assert findings, "an empty list means that no rule is broken"
