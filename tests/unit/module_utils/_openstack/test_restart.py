# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart of a service: when it is due, what counts as done, and what a run does about one that did not work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._openstack import restart as module
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.kinds import NOVA
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.restart import plan_restart, read_back, start_of
from ansible_collections.realtime.kvm.plugins.module_utils._openstack.service import find_service
from unit.clouds import Node
from unit.trees import fill, writable


def found(node):
    return find_service(writable(node.root, NOVA.role), node.systemd, NOVA)


@pytest.fixture(name="running")
def _running(tmp_path, monkeypatch):
    node = Node(tmp_path, monkeypatch)
    node.systemd.start("nova-compute.service", "--config-file=/etc/nova/nova.conf")
    return node


def wait(node, seconds=0.2):
    host, service = writable(node.root, "nova_compute"), found(node)
    started = start_of(host, service.pid)
    node.systemd(["systemctl", "try-restart", "nova-compute.service"])
    return read_back(host, node.systemd, service, started, seconds)


def test_a_new_process_that_stays_up(running):
    assert wait(running) == {"active": True, "restarted": True}


@pytest.mark.parametrize(
    ("fault", "said"),
    [("dies", "it does not run"), ("deaf", "it still is the process of before")],
    ids=["dies", "stays as it was"],
)
def test_a_restart_that_does_not_work_is_told(running, fault, said):
    setattr(running.systemd, fault, True)
    with pytest.raises(
        HostError, match=f"nova-compute.service was restarted, but {said} within .* see journalctl -u nova-compute.service"
    ):
        wait(running)


def test_a_process_that_does_not_read_our_file_is_told(running):
    fill(running.root, {"/etc/nova/realtime-kvm.conf": ""})
    with pytest.raises(HostError, match="its process was not told to read /etc/nova/realtime-kvm"):
        wait(running)


def test_a_process_that_ends_soon_after_does_not_count(running, monkeypatch):
    monkeypatch.setattr(module, "SETTLE_S", 0.05)
    shown = running.systemd

    def ends(command):
        if command[1] == "show" and shown.calls:
            ends.looks += 1
            if ends.looks == 3:
                shown.pids.clear()
        return shown(command)

    ends.looks = 0
    host, service = writable(running.root, "nova_compute"), found(running)
    ends(["systemctl", "try-restart", "nova-compute.service"])
    with pytest.raises(HostError, match="it does not run"):
        read_back(host, ends, replace(service), start_of(host, service.pid), 0.3)


def due(node):
    """What a run would do about a service whose files do not change."""
    host, service = writable(node.root, "nova_compute", check_mode=True), found(node)
    return plan_restart(host, node.systemd, service, "stall"), [(change.before, change.disruption) for change in host.changes]


def test_a_process_that_was_not_told_to_read_our_file_is_started_again(running):
    assert due(running) == (False, [])
    fill(running.root, {"/etc/nova/realtime-kvm.conf": ""})
    assert due(running) == (True, [("was not told to read /etc/nova/realtime-kvm.conf", "stall")])
    running.systemd.start("nova-compute.service", "--config-file=/etc/nova/realtime-kvm.conf")
    assert due(running) == (False, [])
    running.systemd.pids.clear()
    assert due(running) == (False, [])
