# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to a node with each call stays small: a module brings only what it uses."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench" / "payload.py"


@cache
def sizes():
    """Bytes sent by module; by a process of its own, since Ansible's loaders are set up once per process."""
    lines = subprocess.run([sys.executable, str(BENCH)], check=True, capture_output=True, text=True).stdout.splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines[1:]}


@pytest.mark.parametrize(("module", "limit"), [("cpu_power", 1.4), ("irq_affinity", 1.55)])
def test_small_modules_are_hardly_larger_than_a_ping(module, limit):
    assert sizes()[module] / sizes()["ansible.builtin.ping"] <= limit


@pytest.mark.parametrize(("module", "limit"), [("rt_domain", 560_000), ("rt_audit", 868_000), ("rt_plan", 1_170_000)])
def test_large_modules_keep_their_limit(module, limit):
    assert sizes()[module] <= limit
