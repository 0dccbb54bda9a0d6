# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package manager at work is seen by its lock, as apt, dpkg and rpm take it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host import package_locks
from ansible_collections.realtime.kvm.plugins.module_utils._host.package_locks import package_manager_at_work
from unit.trees import fill, writable

LOCK = "import fcntl, sys; f = open(sys.argv[1], 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"


@pytest.mark.parametrize("path", ["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock"])
def test_a_lock_that_is_held_is_waited_for(tmp_path, path, monkeypatch):
    host = writable(fill(tmp_path, {path: ""}))
    assert package_manager_at_work(host) == ""
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, host.path(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        fill(tmp_path, {f"/proc/{process.pid}/comm": "dpkg\n"})
        assert package_manager_at_work(host) == f"process {process.pid} (dpkg) holds {path}"
        monkeypatch.setattr(package_locks.time, "sleep", lambda _seconds: (process.stdin.close(), process.wait()))
        assert package_manager_at_work(host, 60) == ""


def test_a_node_without_such_files_is_at_rest(tmp_path):
    assert package_manager_at_work(writable(tmp_path), 60) == ""
