# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""tuned is refused or taken over, and given back as it was."""

from __future__ import annotations

import os

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._host.tuning_daemons import plan_tuned, restore_tuned, tuned_state
from unit.trees import fill, writable

WANTS = "/etc/systemd/system/multi-user.target.wants/tuned.service"
ENABLED = {WANTS: ("link", "/usr/lib/systemd/system/tuned.service")}
ACTIVE = {"/run/tuned/tuned.pid": "77\n", "/proc/77/comm": "tuned\n", "/etc/tuned/active_profile": "throughput-performance\n"}
PYTHON = {"/run/tuned/tuned.pid": "77\n", "/proc/77/comm": "python3\n", "/proc/77/cmdline": "python3\0/usr/sbin/tuned\0-l\0"}
STALE = {"/run/tuned/tuned.pid": "77\n", "/proc/77/comm": "bash\n"}


class Systemctl:
    """Does to the tree what systemctl does to the machine."""

    def __init__(self, root):
        self.root, self.commands = root, []

    def __call__(self, command):
        assert command[0] == "systemctl"
        self.commands.append(" ".join(command[1:]))
        if command[1] == "disable":
            for path in (WANTS, "/run/tuned/tuned.pid"):
                if os.path.lexists(f"{self.root}{path}"):
                    os.unlink(f"{self.root}{path}")
        if command[1] == "enable":
            fill(self.root, ENABLED)
        if command[1] == "start":
            fill(self.root, {"/run/tuned/tuned.pid": "77\n"})
        return 0, "", ""


@pytest.fixture(name="root")
def _root(tmp_path):
    return fill(tmp_path, {BOOT_ID: "b", "/var/lib/": None})


def run(root, planner):
    host = writable(root, "cpu_partition")
    with host.locked():
        planner(host)
        host.commit()
    return host


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({}, ""),
        (ENABLED, "enabled"),
        (ACTIVE, "active"),
        (PYTHON, "active"),
        (STALE, ""),
        ({"/run/tuned/tuned.pid": "x"}, ""),
        ({**ENABLED, **ACTIVE}, "enabled active"),
    ],
)
def test_what_tuned_is_set_to_do(root, files, state):
    assert tuned_state(writable(fill(root, files))) == state


def test_tuned_is_refused_with_its_profile_and_the_variable(root):
    fill(root, {**ENABLED, **ACTIVE})
    with pytest.raises(
        HostError,
        match=r"^tuned is enabled and active on this node \(profile: throughput-performance\) .* set cpu_partition_tuned: take_over",
    ):
        run(root, lambda host: plan_tuned(host, Systemctl(root), take_over=False))


def test_without_tuned_nothing_is_done(root):
    systemctl = Systemctl(root)
    assert run(root, lambda host: plan_tuned(host, systemctl, take_over=False)).changes == []
    assert systemctl.commands == []


@pytest.mark.parametrize(
    ("files", "back"),
    [(ENABLED, ["enable"]), (ACTIVE, ["start"]), ({**ENABLED, **ACTIVE}, ["enable", "start"])],
)
def test_tuned_is_taken_over_and_given_back_as_it_was(root, files, back):
    fill(root, files)
    state = tuned_state(writable(root))
    systemctl = Systemctl(root)
    assert run(root, lambda host: plan_tuned(host, systemctl, take_over=True)).results()["changed"]
    assert systemctl.commands == ["disable --now tuned.service"]
    assert run(root, lambda host: plan_tuned(host, systemctl, take_over=True)).changes == []
    run(root, lambda host: restore_tuned(host, systemctl))
    assert systemctl.commands[1:] == [f"{step} tuned.service" for step in back]
    assert tuned_state(writable(root)) == state
    assert run(root, lambda host: restore_tuned(host, systemctl)).changes == []


def test_tuned_that_the_admin_has_switched_on_himself_is_left(root):
    fill(root, ENABLED)
    systemctl = Systemctl(root)
    run(root, lambda host: plan_tuned(host, systemctl, take_over=True))
    fill(root, ENABLED)
    assert run(root, lambda host: restore_tuned(host, systemctl)).changes == []
    assert len(systemctl.commands) == 1


def test_a_failing_systemctl_is_told(root):
    fill(root, ENABLED)
    with pytest.raises(HostError, match=r"^systemctl disable --now tuned.service failed with exit code 1: Access denied$"):
        run(root, lambda host: plan_tuned(host, lambda _command: (1, "", "Access denied\n"), take_over=True))
