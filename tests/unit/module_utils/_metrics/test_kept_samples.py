# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of what is kept on the node: also damaged, newer, and by a party that lies."""

from __future__ import annotations

import json

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import RefusalError
from ansible_collections.realtime.kvm.plugins.module_utils._host.paths import AUDIT_STATE, KEPT_LATENCY, RUNS
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.kept import OPTIONS
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.kept_samples import (
    audit_samples,
    latency_samples,
    run_samples,
)
from ansible_collections.realtime.kvm.plugins.module_utils._metrics.samples import Samples
from unit.hostile import VALUES, places, replaced
from unit.trees import fill
from unit.watched import found, look_at, samples_of


def finding(rule="interrupt", severity="error"):
    return {
        "rule": rule,
        "severity": severity,
        "resource": "r",
        "expected": "e",
        "actual": "a",
        "remedy": "run it",
        "source": "s",
    }


AUDIT = {
    "schema": 1,
    "release": "r1",
    "began": 100.0,
    "ended": 104.5,
    "findings": [finding(), finding(), finding("setting", "warning")],
    "remarks": [finding("interrupt-managed", "info")],
    "unchecked": [{"part": "libvirt", "reason": "off"}],
    "error": "",
}
RUN = {"schema": 1, "runs": {"site": 1700000000, "verify": 1700000060.5}}
LATENCY = {"schema": 1, "places": [{"guest": "", "tool": "oslat", "max_s": 0.0000125, "passed": True, "ended": 1700000000}]}
FILES = [(AUDIT_STATE, AUDIT, audit_samples), (RUNS, RUN, run_samples), (KEPT_LATENCY, LATENCY, latency_samples)]
SOURCES = pytest.mark.parametrize(("path", "document", "source"), FILES, ids=["audit", "runs", "latency"])


def kept(root, path, document):
    fill(root, {path: document if isinstance(document, str) else json.dumps(document)})
    return look_at(root)


def test_findings_by_rule_and_severity(tmp_path):
    out = samples_of(audit_samples, kept(tmp_path, AUDIT_STATE, AUDIT))
    assert out == {
        "audit_findings": {("interrupt", "error"): 2, ("interrupt-managed", "info"): 1, ("setting", "warning"): 1},
        "audit_severity_findings": {("error",): 2, ("warning",): 1, ("info",): 1},
        "audit_success": {(): 1},
        "audit_timestamp_seconds": {(): 104.5},
        "audit_duration_seconds": {(): 4.5},
    }


def test_a_node_that_could_not_audit_itself_shows_no_findings(tmp_path):
    out = samples_of(audit_samples, kept(tmp_path, AUDIT_STATE, {**AUDIT, "error": "it took more than 300 s"}))
    assert (out["audit_success"], out["audit_timestamp_seconds"]) == ({(): 0}, {(): 104.5})
    assert not out.keys() & {"audit_findings", "audit_severity_findings"}


def test_a_clock_that_was_set_back_during_the_audit_makes_no_negative_duration(tmp_path):
    assert samples_of(audit_samples, kept(tmp_path, AUDIT_STATE, {**AUDIT, "ended": 50}))["audit_duration_seconds"] == {(): 0}


def test_rules_are_bounded(tmp_path):
    many = {**AUDIT, "findings": [finding(f"rule-{number}") for number in range(1000)]}
    out = samples_of(audit_samples, kept(tmp_path, AUDIT_STATE, many))
    assert len(out["audit_findings"]) == 256
    assert out["audit_severity_findings"][("error",)] == 1000


def test_runs_and_verdicts(tmp_path):
    assert samples_of(run_samples, kept(tmp_path, RUNS, RUN)) == {
        "last_run_timestamp_seconds": {("site",): 1700000000, ("verify",): 1700000060.5}
    }
    places = [*LATENCY["places"], {"guest": "plc1", "tool": "cyclictest", "max_s": None, "passed": False, "ended": 5}]
    places.append({"guest": "host", "tool": "cyclictest", "max_s": 1, "passed": True, "ended": 6})
    places.append({"guest": "plc2", "tool": "cyclictest", "max_s": 1, "passed": None, "ended": 7})  # proves nothing
    out = samples_of(latency_samples, kept(tmp_path, KEPT_LATENCY, {"schema": 1, "places": places}))
    assert out == {
        "latency_max_seconds": {("host",): 0.0000125, ("guest host",): 1, ("plc2",): 1},
        "latency_passed": {("host",): 1, ("plc1",): 0, ("guest host",): 1},
        "latency_timestamp_seconds": {("host",): 1700000000, ("plc1",): 5, ("guest host",): 6, ("plc2",): 7},
    }


@pytest.mark.parametrize(
    ("options", "interval"),
    [
        ('{"audit": true, "audit_interval_s": 60}', {(): 60}),
        ('{"audit": false, "audit_interval_s": 60}', None),
        ("{", None),
        ("", None),
    ],
)
def test_the_interval_of_audits_is_told_where_they_are_made(tmp_path, options, interval):
    fill(tmp_path, {OPTIONS: options})
    out = samples_of(audit_samples, kept(tmp_path, AUDIT_STATE, AUDIT))
    assert out.get("audit_interval_seconds") == interval


@SOURCES
def test_nothing_is_kept(tmp_path, path, document, source):
    del path, document
    assert samples_of(source, look_at(tmp_path)) == {}


@SOURCES
@pytest.mark.parametrize("text", ["", "{", "[]", "\0", '{"schema": true}', '{"schema": 1}'])
def test_a_damaged_file_is_named(tmp_path, path, document, source, text):
    del document
    out = Samples()
    with pytest.raises(RefusalError, match=f"{path} cannot be read"):
        source(kept(tmp_path, path, text), out)
    assert found(out) == {}


@SOURCES
def test_a_file_of_a_newer_release_is_named(tmp_path, path, document, source):
    with pytest.raises(RefusalError, match=r"newer release \(schema 2, this release knows 1\)"):
        source(kept(tmp_path, path, {**document, "schema": 2}), Samples())


@SOURCES
def test_any_value_in_any_place_is_shown_or_refused(tmp_path, path, document, source):
    for place in places(document):
        for value in VALUES:
            out, reason = Samples(), path
            try:
                source(kept(tmp_path, path, replaced(document, place, value)), out)
            except RefusalError as error:
                reason = str(error)
            assert path in reason
            assert all(sign.isprintable() or sign == "\n" for sign in out.text() + out.open_metrics())
