# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was meant by a misspelt key."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.suggest import closest, unknown_keys

KEYS = ("name", "memory_mib", "vcpus", "realtime_vcpus")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("realtime_vcpu", "realtime_vcpus"),
        ("VCPUs", "vcpus"),
        ("memory-mib", "memory_mib"),
        ("memory_mb", "memory_mib"),
        ("colour", ""),
        ("", ""),
        ("realtime_vcpus" + "s" * 80, ""),
    ],
)
def test_closest(name, meant):
    assert closest(name, KEYS) == meant


def test_a_stricter_bound_leaves_more_out():
    assert closest("realtime_cpu", KEYS) == "realtime_vcpus"
    assert closest("realtime_cpu", KEYS, cutoff=0.95) == ""


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["realtime_vcpu"], "unknown key realtime_vcpu, did you mean realtime_vcpus?"),
        (["colour"], "unknown key colour; known are name, memory_mib, vcpus, realtime_vcpus"),
        (
            ["size", 5, "vcpu"],
            "unknown key vcpu, did you mean vcpus? unknown key 5, size; known are name, memory_mib, vcpus, realtime_vcpus",
        ),
        (["na\x1bme"], "unknown key na\\x1bme, did you mean name?"),
    ],
)
def test_unknown_keys(names, said):
    assert unknown_keys(names, KEYS) == said
