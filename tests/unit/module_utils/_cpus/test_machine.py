# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine's release and flags mean to plans."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.machine import Machine


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.12.1+deb13-rt-amd64", (6, 12)),
        ("6.1.0-50-rt-amd64", (6, 1)),
        ("5.14.0-503.el9.x86_64+rt", (5, 14)),
        ("6.13-rc1", (6, 13)),
        ("10.0", (10, 0)),
        ("7", (0, 0)),
        ("six.one", (0, 0)),
        ("6.rc1", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_versions(release, version):
    assert Machine(kernel_release=release).kernel_version == version


@pytest.mark.parametrize(
    ("flags", "invariant"),
    [
        ({"constant_tsc", "nonstop_tsc", "vmx"}, True),
        ({"constant_tsc"}, False),
        ({"nonstop_tsc"}, False),
        (set(), False),
    ],
)
def test_the_time_stamp_counter_is_invariant_with_both_flags(flags, invariant):
    assert Machine(cpu_flags=frozenset(flags)).tsc_invariant is invariant
