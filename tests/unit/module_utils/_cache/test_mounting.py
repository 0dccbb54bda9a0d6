# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that mount resctrl, and their failures."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cache import mounting
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError


@pytest.fixture(name="ran")
def _ran(monkeypatch):
    ran = []

    def run(command, **_options):
        ran.append(" ".join(command))
        if "gone" in command[-1]:
            raise FileNotFoundError(2, "No such file or directory", command[0])
        return subprocess.CompletedProcess(command, 32 if "busy" in command[-1] else 0, "", "target is busy\n")

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_commands(ran):
    mounting.mount("", frozenset())
    mounting.mount("/root", frozenset({"L2", "L3"}))
    mounting.unmount("")
    assert ran == [
        "mount -t resctrl resctrl /sys/fs/resctrl",
        "mount -t resctrl -o cdp,cdpl2 resctrl /root/sys/fs/resctrl",
        "umount /sys/fs/resctrl",
    ]


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(("root", "told"), [("/busy", "failed with exit code 32: target is busy"), ("/gone", "No such file")])
def test_a_failure_is_told(root, told):
    with pytest.raises(HostError, match=told):
        mounting.unmount(root)
