# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounds of an artefact."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.plugin_utils._artefact import (
    MOST,
    REST,
    bounded_findings,
    bounded_firmware,
    bounded_verdicts,
)

#: Nodes with names of these lengths; a name of DNS has up to 253 characters.
NAMES = [(1, 17), (100, 17), (1000, 17), (5000, 17), (3000, 253), (20_000, 60), (60_000, 17)]


def artefact(bound, value, nodes, length):
    """What AWX keeps of so many nodes with names of a length."""
    name = "0" * length
    entry = bound(value, nodes, name)
    return {f"{number:0{length}}": entry[name] for number in range(nodes)} if name in entry else entry


def finding(number, severity="error"):
    texts = dict.fromkeys(("expected", "actual", "remedy", "source"), "x" * 100)
    return {"severity": severity, "rule": "interrupt", "resource": f"IRQ {number}", **texts}


@pytest.mark.parametrize("each", [0, 1, 40])
@pytest.mark.parametrize(("nodes", "length"), NAMES)
def test_the_findings_of_all_nodes_stay_below_a_megabyte(nodes, length, each):
    findings = [finding(number) for number in range(each if nodes > 1 else each * 500)]
    found = artefact(bounded_findings, findings, nodes, length)
    assert len(json.dumps(found)) < MOST
    assert (REST in found) == (len(found) == 1 and nodes > 1)


def test_findings_that_fit_are_whole_and_others_are_in_short():
    findings = [finding(number) for number in range(10)]
    assert bounded_findings(findings, 20, "kvm1")["kvm1"] == findings
    short = bounded_findings(findings, 500, "kvm1")["kvm1"]
    assert [entry["resource"] for entry in short] == [entry["resource"] for entry in findings]
    assert {tuple(entry) for entry in short} == {("severity", "rule", "resource")}


@pytest.mark.parametrize(("severity", "worst"), [("error", "error"), ("warning", "warning")])
def test_what_is_left_out_is_counted_and_an_error_stays_one(severity, worst):
    findings = [finding(number, severity) for number in range(50)]
    *kept, last = bounded_findings(findings, 1000, "kvm1")["kvm1"]
    assert last == {"severity": worst, "rule": "more", "resource": f"{50 - len(kept)} more, see the job's output"}
    assert 0 < len(kept) < 50
    assert findings, "an empty list means that no rule is broken"


def verdict(number, result="pass", reasons=50):
    named = {"guest": f"guest-{number:04}", "tool": "cyclictest", "profile": "certify", "max_us": 12, "result": result}
    return {**named, "virtual": False, "reasons": ["x" * 2000] * reasons}


@pytest.mark.parametrize("each", [0, 1, 20])
@pytest.mark.parametrize(("nodes", "length"), NAMES)
def test_the_verdicts_of_all_nodes_stay_below_a_megabyte(nodes, length, each):
    verdicts = [verdict(number, reasons=1) for number in range(each if nodes > 1 else each * 500)]
    assert len(json.dumps(artefact(bounded_verdicts, verdicts, nodes, length))) < MOST


def test_verdicts_lose_their_reasons_first():
    verdicts = [verdict(number, "fail") for number in range(5)]
    assert bounded_verdicts(verdicts, 1, "kvm1")["kvm1"] == verdicts
    short = bounded_verdicts(verdicts, 100, "kvm1")["kvm1"]
    assert [entry["guest"] for entry in short] == [entry["guest"] for entry in verdicts]
    assert not any("reasons" in entry for entry in short)


@pytest.mark.parametrize(
    ("results", "worst"),
    [(["pass"] * 99, "pass"), ([*["pass"] * 98, "inconclusive"], "inconclusive"), ([*["pass"] * 98, "fail"], "fail")],
)
def test_the_verdicts_that_are_left_out_are_counted_and_the_worst_is_said(results, worst):
    *kept, last = bounded_verdicts([verdict(number, result) for number, result in enumerate(results)], 500, "kvm1")["kvm1"]
    assert last == {"result": worst, "reasons": [f"{99 - len(kept)} more, see the job's output"]}
    assert 0 < len(kept) < 99


def firmware(settings):
    texts = dict.fromkeys(("reason", "cost", "source", "note"), "x" * 150)
    differences = [
        {"attribute": f"Setting{number}", "current": "a", "wanted": "b", "state": "differs", **texts}
        for number in range(settings)
    ]
    known = {"system": {"model": "R760"}, "state": "differs", "reboots": 1, "absent": [], "foreign_pending": {}}
    return {**known, "differences": differences, "rollback": {f"Setting{number}": "a" for number in range(settings)}}


@pytest.mark.parametrize("settings", [0, 20])
@pytest.mark.parametrize(("nodes", "length"), NAMES)
def test_the_firmware_of_all_nodes_without_rollbacks_stays_below_a_megabyte(nodes, length, settings):
    summary = {**firmware(settings), "rollback": {}}
    assert len(json.dumps(artefact(bounded_firmware, summary, nodes, length))) < MOST


def test_a_node_without_room_has_an_entry_with_all_such_nodes_but_a_rollback_stays():
    assert bounded_findings([], 100_000, "kvm1") == bounded_findings([finding(1, "warning")], 100_000, "kvm1")
    assert set(bounded_verdicts([verdict(1)], 100_000, "kvm1")) == {REST}
    assert set(bounded_firmware({"error": "no answer"}, 100_000, "kvm1")) == {REST}
    assert set(bounded_firmware(firmware(1), 100_000, "kvm1")) == {"kvm1"}


def test_settings_that_differ_are_in_short_and_at_last_counted_but_the_rollback_stays():
    whole = firmware(20)
    assert bounded_firmware(whole, 10, "kvm1")["kvm1"] == whole
    short = bounded_firmware(whole, 200, "kvm1")["kvm1"]
    assert {tuple(one) for one in short["differences"]} == {("attribute", "current", "wanted", "state")}
    assert len(short["differences"]) == 20
    for nodes in (1000, 1_000_000):
        least = bounded_firmware(whole, nodes, "kvm1")["kvm1"]
        assert least["rollback"] == whole["rollback"], "it may be the only copy"
        assert least["more"] == "20 differences, see the job's output"
        assert least["state"] == "differs"
        assert "differences" not in least


def test_a_bmc_that_could_not_be_read_is_said_whole():
    assert bounded_firmware({"error": "no answer"}, 5000, "kvm1")["kvm1"] == {"error": "no answer"}
