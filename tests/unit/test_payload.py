# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to a node with each call stays small: a module brings only what it uses."""

from __future__ import annotations

import pytest
from bench.payload import payload


@pytest.mark.parametrize(("module", "limit"), [("cpu_power", 1.2), ("irq_affinity", 1.3)])
def test_small_modules_are_hardly_larger_than_a_ping(module, limit):
    ping, _files, _lines = payload("ansible.builtin.ping")
    sent, _files, _lines = payload(f"realtime.kvm.{module}")
    assert sent / ping <= limit


@pytest.mark.parametrize(("module", "limit"), [("rt_domain", 300_000), ("rt_audit", 500_000)])
def test_large_modules_keep_their_limit(module, limit):
    sent, _files, _lines = payload(f"realtime.kvm.{module}")
    assert sent <= limit
