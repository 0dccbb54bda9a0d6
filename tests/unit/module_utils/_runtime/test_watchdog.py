# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hardware watchdog: armed where there is one that nothing else serves, and given back."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._runtime.watchdog import (
    WATCHDOG,
    WatchdogError,
    check_seconds,
    plan_watchdog,
)
from unit.trees import fill, snapshot, writable

DEVICE = "/sys/class/watchdog/watchdog0"
HARDWARE = {f"{DEVICE}/identity": "i6300ESB timer\n", f"{DEVICE}/state": "inactive\n"}
STATE = {"/var/lib/": None}


def made(root, seconds):
    host = writable(root, "cpu_partition")
    with host.locked():
        words = plan_watchdog(host, seconds)
        host.commit()
    return words, [change.resource for change in host.changes]


def test_a_device_is_served_from_now_on_and_again_by_a_second_run(tmp_path):
    root = fill(tmp_path, {**STATE, **HARDWARE})
    assert made(root, 60) == ("60 s, i6300ESB timer", [WATCHDOG])
    assert "\n[Manager]\nRuntimeWatchdogSec=60\n" in Path(f"{root}{WATCHDOG}").read_text()
    fill(root, {f"{DEVICE}/state": "active\n"})  # systemd holds it now
    assert made(root, 60) == ("60 s, i6300ESB timer", [])
    assert made(root, 30) == ("30 s, i6300ESB timer", [WATCHDOG])


def test_zero_leaves_it_alone_and_gives_it_back(tmp_path):
    root = fill(tmp_path, {**STATE, **HARDWARE, "/run/": None})
    before = snapshot(root)
    made(root, 60)
    assert made(root, 0) == ("left alone", [WATCHDOG])
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no watchdog device"),
        ({f"{DEVICE}/identity": "Software Watchdog\n"}, "no watchdog device"),
        ({**HARDWARE, f"{DEVICE}/state": "active\n"}, "served by another program"),
        ({**HARDWARE, "/etc/systemd/system.conf": "[Manager]\nRuntimeWatchdogSec=20s\n"}, "20s by /etc/systemd/system.conf"),
        (
            {**HARDWARE, "/usr/lib/systemd/system.conf.d/10-vendor.conf": "[Manager]\n RuntimeWatchdogSec = 3min\n"},
            "3min by /usr/lib/systemd/system.conf.d/10-vendor.conf",
        ),
    ],
)
def test_nothing_is_written_where_there_is_none_or_it_has_another_user(tmp_path, files, words):
    assert made(fill(tmp_path, {**STATE, **files}), 60) == (words, [])


@pytest.mark.parametrize(
    "line", ["#RuntimeWatchdogSec=0", "RuntimeWatchdogSec=0", "RuntimeWatchdogSec=off", "RebootWatchdogSec=10min"]
)
def test_a_file_that_names_no_time_is_no_other_user(tmp_path, line):
    root = fill(tmp_path, {**STATE, **HARDWARE, "/etc/systemd/system.conf": f"[Manager]\n{line}\n"})
    assert made(root, 60)[1] == [WATCHDOG]


def test_the_second_device_serves_where_the_first_is_the_kernels_own_timer(tmp_path):
    files = {f"{DEVICE}/identity": "Software Watchdog\n", "/sys/class/watchdog/watchdog1/identity": "iTCO_wdt\n"}
    root = fill(tmp_path, {**STATE, **files})
    assert made(root, 60)[0] == "60 s, iTCO_wdt"
    assert "\nWatchdogDevice=/dev/watchdog1\n" in Path(f"{root}{WATCHDOG}").read_text(), "systemd would open /dev/watchdog0"
    assert made(root, 60)[1] == []


@pytest.mark.parametrize(
    ("limits", "words", "written"),
    [
        ({"max_timeout": "15\n"}, "15 s (not 60: the device keeps at most 15 s), i6300ESB timer", "RuntimeWatchdogSec=15\n"),
        ({"min_timeout": "90\n"}, "90 s (not 60: the device keeps at least 90 s), i6300ESB timer", "RuntimeWatchdogSec=90\n"),
        ({"max_timeout": "8\n"}, "none: i6300ESB timer keeps at most 8 s, too short to be served", None),
    ],
)
def test_a_time_that_the_device_does_not_take_is_said_and_not_asked_for(tmp_path, limits, words, written):
    """systemd would get EINVAL and run without any watchdog."""
    root = fill(tmp_path, {**STATE, **HARDWARE, **{f"{DEVICE}/{name}": text for name, text in limits.items()}})
    assert made(root, 60) == (words, [WATCHDOG] if written else [])
    assert written is None or written in Path(f"{root}{WATCHDOG}").read_text()


def test_a_device_that_the_administrator_names_must_be_hardware(tmp_path):
    admin = "/etc/systemd/system.conf"
    root = fill(tmp_path, {**STATE, **HARDWARE, admin: "[Manager]\nWatchdogDevice=/dev/watchdog1\n"})
    assert made(root, 60) == (f"no watchdog in hardware at /dev/watchdog1, which {admin} names", [])


def test_which_times_a_node_can_keep():
    assert [check_seconds(seconds) for seconds in (0, 10, 600)] == [0, 10, 600]
    for seconds in (-1, 1, 9, 601):
        with pytest.raises(WatchdogError, match=rf"^cpu_partition_hardware_watchdog_s: {seconds} is neither 0"):
            check_seconds(seconds)
