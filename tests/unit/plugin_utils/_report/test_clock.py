# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The line about a node's clock: what it follows, and what is wrong with it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.answers import differs
from ansible_collections.realtime.kvm.plugins.plugin_utils._report.clock import FORM, clock_text

CLOCK = {
    "source": "chrony",
    "services": {"chrony.service": "0-1"},
    "stamping": "software",
    "synchronised": True,
    "reference": "10.0.0.1",
    "offset_us": -2.508,
    "limit_us": 1000.0,
    "why": "",
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "chrony: follows 10.0.0.1, -2.508 µs off; software time stamps; chrony.service on CPUs 0-1"),
        (
            {"limit_us": 1.0},
            "chrony: follows 10.0.0.1, -2.508 µs off, above the limit of 1 µs; software time stamps; chrony.service on CPUs 0-1",
        ),
        (
            {"limit_us": 0, "offset_us": None},
            "chrony: follows 10.0.0.1, of unknown offset; software time stamps; chrony.service on CPUs 0-1",
        ),
        (
            {"synchronised": False, "why": "it does not run", "services": {}},
            "chrony: not synchronised: it does not run; software time stamps; no service runs",
        ),
        ({"reference": "a\x1b[2J"}, "chrony: follows a\\x1b[2J, -2.508 µs off; software time stamps; chrony.service on CPUs 0-1"),
    ],
)
def test_the_line(change, text):
    clock = {**CLOCK, **change}
    assert differs(clock, FORM) == ""
    assert clock_text(clock) == text


def test_a_node_without_a_time_service_has_none():
    assert clock_text({}) == ""
