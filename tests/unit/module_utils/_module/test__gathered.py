# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an audit gathers: each fault once, and a part that fails does not end it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._audit.findings import Finding
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._module._dry_runs import Found
from ansible_collections.realtime.kvm.plugins.module_utils._module._gathered import Gathered

ONE = Finding("setting", "/proc/sys/x", "1", "0", "set it")


def fail(error):
    raise error


def seen(gathered):
    return [(finding.rule, finding.resource) for finding in gathered.findings]


def test_findings_of_a_part_are_gathered():
    gathered = Gathered()
    assert gathered.add("x", lambda: iter([ONE]))
    assert gathered.findings == [ONE]
    assert gathered.has("kernel", "setting")
    assert not gathered.has("kernel")


@pytest.mark.parametrize(
    ("error", "reason"), [(HostError("no right"), "no right"), (KeyError("y"), "it holds something unexpected (KeyError: 'y')")]
)
def test_a_part_that_cannot_be_read_is_a_finding_and_does_not_end_the_audit(error, reason):
    gathered = Gathered()
    assert not gathered.add("x", lambda: fail(error))
    assert gathered.read("y", lambda: fail(error), 7) == 7
    assert gathered.attempt("z", lambda: Found([ONE])) == Found([ONE])
    assert [(item.rule, item.resource, item.actual) for item in gathered.findings[:2]] == [
        ("unchecked", "x", reason),
        ("unchecked", "y", reason),
    ]
    assert gathered.findings[2:] == [ONE]


def test_a_damaged_file_explains_why_a_part_cannot_be_read():
    gathered = Gathered()
    gathered.damaged("/etc/x", HostError("/etc/x is no JSON"), "restore it")
    gathered.add("x", lambda: fail(HostError("/etc/x is no JSON")))
    assert gathered.damaged_files() == ("/etc/x",)
    assert seen(gathered) == [("file-damaged", "/etc/x")]
    assert [item["part"] for item in gathered.parts.missing] == ["x"]


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ([], [("refused", "guests")]),
        ([ONE], [("setting", "/proc/sys/x"), ("refused", "guests")]),
        ([Finding("vcpu-pin", "domain a: vcpu0", "", "", "")], [("vcpu-pin", "domain a: vcpu0")]),
    ],
)
def test_a_refusal_is_a_finding_unless_another_explains_it(other, found):
    gathered = Gathered()
    assert gathered.attempt("guests", lambda: fail(HostError("too few CPUs"))) is None
    assert gathered.attempt("the switch", lambda: fail(HostError("too few CPUs"))) is None  # the same, once
    gathered.add("later", lambda: other)
    gathered.refused()
    assert seen(gathered) == found
    assert gathered.parts.missing == [{"part": "guests", "state": "broken", "reason": "too few CPUs"}]


def test_a_module_that_meets_something_unexpected_is_not_checked():
    gathered = Gathered()
    assert gathered.attempt("guests", lambda: fail(ValueError("odd"))) is None
    assert seen(gathered) == [("unchecked", "guests")]
    assert gathered.refusals == {}
