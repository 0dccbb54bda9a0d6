# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns isolated CPUs, by the cgroups that libvirt makes; poll-mode threads are in test_cgroups.py."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.holders import ROOT
from ansible_collections.realtime.kvm.plugins.module_utils._isolation.users import helpers_in_the_way, read_users
from unit.trees import fill, plan, writable

PARTITION = plan()  # housekeeping 0, realtime 1-3
SCOPE = f"{ROOT}/machine.slice/machine-qemu\\x2d1\\x2dinstance\\x2d0000001a.scope/libvirt"


def running(tmp_path, **cpus):
    """A guest's cgroups, each with a thread."""
    files = {
        f"{SCOPE}/{name}/{file}": text
        for name, own in cpus.items()
        for file, text in (("cpuset.cpus", own), ("cgroup.threads", "7\n"))
    }
    return writable(fill(tmp_path, files))


@pytest.mark.parametrize(
    ("cpus", "users", "moved"),
    [
        ({"vcpu0": "2", "emulator": "0"}, {"vcpu0": True}, {}),
        ({"vcpu0": "2", "emulator": "3", "iothread1": "3"}, {"vcpu0": True, "emulator": False, "iothread1": False}, {}),
        ({"vcpu0": "2", "vcpu1": "3", "emulator": "2-3"}, {"vcpu0": True, "vcpu1": True}, {"emulator": {0}}),
        ({"vcpu0": "2", "emulator": "0,2"}, {"vcpu0": True}, {"emulator": {0}}),
        ({"vcpu0": "0", "emulator": "0-3"}, {}, {}),
        ({"vcpu0": "0-3", "emulator": "1-2"}, {"emulator": False}, {}),
    ],
)
def test_an_emulator_owns_cpus_apart_from_its_vcpus_and_makes_way_on_theirs(tmp_path, cpus, users, moved):
    host = running(tmp_path, **cpus)
    assert {user.owner.split()[1]: user.alone for user in read_users(host, PARTITION)} == users
    assert {user.owner.split()[1]: rest for user, rest in helpers_in_the_way(host, PARTITION)} == moved
