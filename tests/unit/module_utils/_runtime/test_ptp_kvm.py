# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's clock in a guest: loaded once, there after each boot, unloaded where it was not there before."""

from __future__ import annotations

import shutil
from functools import partial

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._cpus.errors import HostError
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import BOOT_ID
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.ptp_kvm import (
    FILE,
    RESOURCE,
    find_clock,
    keep_clock,
    plan_clock,
    undo_clock,
)
from unit.trees import fill, snapshot, writable

CLOCK = "/sys/class/ptp/ptp1/clock_name"


class Guest:
    """A guest's kernel: modprobe makes and removes the clock."""

    def __init__(self, root, offers=True):
        self.root, self.offers, self.commands, self.used = root, offers, [], False
        fill(
            root,
            {
                BOOT_ID: "a\n",
                "/var/lib/": None,
                "/etc/": None,
                "/sys/class/ptp/ptp0/clock_name": "e1000e\n",
                "/sys/module/": None,
            },
        )

    def __call__(self, command):
        self.commands.append(command)
        if command[1] == "-r":
            if self.used:
                return 1, "", "Module ptp_kvm is in use."
            shutil.rmtree(f"{self.root}/sys/class/ptp/ptp1")
            shutil.rmtree(f"{self.root}/sys/module/ptp_kvm")
            return 0, "", ""
        if not self.offers:
            return 1, "", "could not insert 'ptp_kvm': Operation not supported"
        fill(self.root, {CLOCK: "KVM virtual PTP\n", "/sys/module/ptp_kvm/": None})
        return 0, "", ""

    def run(self, planner):
        self.host = host = writable(self.root, "guest_os")
        with host.locked():
            planner(host, self)
            host.commit()
            if planner is not undo_clock:
                keep_clock(host)
                host.commit()
        return [change.resource for change in host.changes]


def test_the_clock_is_loaded_once_and_undo_takes_it_back(tmp_path):
    guest = Guest(tmp_path)
    before = snapshot(tmp_path)
    assert guest.run(plan_clock) == [RESOURCE, FILE]
    assert find_clock(writable(tmp_path, "guest_os")) == "/dev/ptp1"
    assert guest.run(plan_clock) == []
    fill(tmp_path, {BOOT_ID: "b\n"})  # systemd has loaded it again
    assert guest.run(plan_clock) == []
    assert sorted(guest.run(undo_clock)) == [FILE, RESOURCE]
    assert guest.run(undo_clock) == []
    fill(tmp_path, {BOOT_ID: "a\n"})
    assert snapshot(tmp_path) == before


def test_a_clock_that_was_there_stays(tmp_path):
    guest = Guest(tmp_path)
    guest(["modprobe", "ptp_kvm"])
    assert guest.run(plan_clock) == [FILE]
    assert guest.run(undo_clock) == [FILE]
    assert guest.commands == [["modprobe", "ptp_kvm"]]


def test_a_node_without_the_clock_is_named_and_the_next_run_tries_again(tmp_path):
    guest = Guest(tmp_path, offers=False)
    for _run in range(2):
        with pytest.raises(
            HostError,
            match=r"gave no clock \(could not insert .*the node must have the clock source tsc.*guest_os_ptp_kvm: false",
        ):
            guest.run(plan_clock)
    assert not (tmp_path / FILE[1:]).exists(), "systemd's unit would fail at each boot"
    assert guest.run(undo_clock) == []


def test_a_clock_that_is_not_asked_for_stops_nobody_and_leaves_nothing(tmp_path):
    guest = Guest(tmp_path, offers=False)
    before = snapshot(tmp_path)
    for _run in range(2):
        assert guest.run(partial(plan_clock, required=False)) == []
        assert "the guest does without, and each run tries again" in guest.host.notes[0]
    assert snapshot(tmp_path) == before
    guest.offers = True
    assert guest.run(partial(plan_clock, required=False)) == [RESOURCE, FILE]
    assert sorted(guest.run(undo_clock)) == [FILE, RESOURCE]


def test_a_clock_in_use_is_not_unloaded(tmp_path):
    guest = Guest(tmp_path)
    guest.run(plan_clock)
    guest.used = True
    with pytest.raises(HostError, match=r"cannot be unloaded \(Module ptp_kvm is in use.*stop the program that uses /dev/ptp1"):
        guest.run(undo_clock)
    guest.used = False
    assert sorted(guest.run(undo_clock)) == [FILE, RESOURCE]


def test_programs_that_lose_the_clock_are_named(tmp_path):
    """The kernel unloads the driver of a device that is open: the program reads errors from then on."""
    guest = Guest(tmp_path)
    guest.run(plan_clock)
    held = ("link", "/dev/ptp1")
    fill(
        tmp_path,
        {"/proc/77/comm": "chronyd\n", "/proc/77/fd/5": held, "/proc/78/fd/0": ("link", "/dev/null"), "/proc/79/fd/1": held},
    )
    guest.run(undo_clock)
    assert [note.partition(" use ")[0] for note in guest.host.notes] == ["? (process 79), chronyd (process 77)"]


def test_a_link_in_the_place_of_the_file_comes_back(tmp_path):
    guest = Guest(tmp_path)
    fill(tmp_path, {FILE: ("link", "/dev/null")})
    before = snapshot(tmp_path)
    guest.run(plan_clock)
    guest.run(undo_clock)
    assert snapshot(tmp_path) == before


def test_a_run_that_is_killed_while_it_loads_is_run_again_or_taken_back(tmp_path):
    guest = Guest(tmp_path)
    before = snapshot(tmp_path)

    def killed(host, _runner):
        def die(_command):
            raise KeyboardInterrupt

        plan_clock(host, die)

    for finish in (plan_clock, undo_clock):
        with pytest.raises(KeyboardInterrupt):
            guest.run(killed)
        guest.run(finish)
        guest.run(undo_clock)
        assert snapshot(tmp_path) == before
