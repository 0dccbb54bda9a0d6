# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs in a network namespace of their own, with interfaces that are pairs of cables (veth)."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import pytest

_NAMESPACE = ["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs none /sys && exec "$@"', "sh"]


@cache
def _allowed():
    try:
        made = subprocess.run([*_NAMESPACE, "ip", "link", "add", "v0", "type", "veth"], check=False, capture_output=True)
    except OSError:
        return False
    return made.returncode == 0


def command_of(script, *arguments):
    """The command that runs a Python script in a namespace of its own; skips the test where that is not allowed."""
    if not _allowed():
        pytest.skip("needs root, unshare(1), ip(8) and a kernel with veth")
    return [*_NAMESPACE, sys.executable, "-I", "-S", "-c", script, *map(str, arguments)]


def run(script, *arguments):
    """Run a script to its end; return its lines."""
    ran = subprocess.run(command_of(script, *arguments), check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.splitlines()
