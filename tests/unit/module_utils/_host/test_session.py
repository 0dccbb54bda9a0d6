# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH session by which Ansible came."""

from __future__ import annotations

import os

from ansible_collections.realtime.kvm.plugins.module_utils._host.session import Session, ssh_session
from unit.trees import fill, writable


def test_the_session_is_that_of_a_parent(tmp_path):
    fill(
        tmp_path,
        {
            f"/proc/{os.getpid()}/environ": "A=1\0SUDO_USER=x\0",
            f"/proc/{os.getpid()}/stat": f"{os.getpid()} (a) b) S 77 0\n",
            "/proc/77/environ": "A=1\0SSH_CONNECTION=10.0.2.2 5001 10.0.2.15 22\0",
        },
    )
    assert ssh_session(writable(tmp_path)) == Session(client="10.0.2.2", server="10.0.2.15", port=22)
    fill(tmp_path, {"/proc/77/environ": "SSH_CONNECTION=nonsense\0", "/proc/77/stat": "77 (b) S 0 0\n"})
    assert ssh_session(writable(tmp_path)) is None


def test_the_parents_are_followed_to_an_end(tmp_path):
    fill(tmp_path, {"/proc/5/stat": "5 (a) S 6 0\n", "/proc/6/stat": "6 (b) S 5 0\n"})  # a circle
    assert ssh_session(writable(tmp_path), 5) is None
    fill(tmp_path, {"/proc/7/stat": "7"})
    assert ssh_session(writable(tmp_path), 7) is None
