# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which watchdog is served, for how long, and that systemd is told the same one."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._host.host import Host
from ansible_collections.realtime.kvm.plugins.module_utils._host.watchdogs import find_watchdog, set_by_others
from unit.trees import fill

BASE = "/sys/class/watchdog/watchdog"
OURS = "/etc/systemd/system.conf.d/90-ours.conf"
ADMIN = "/etc/systemd/system.conf.d/10-admin.conf"
SOFT, HARD = {f"{BASE}0/identity": "Software Watchdog\n"}, {f"{BASE}1/identity": "iTCO_wdt\n"}


def settings(root, files, seconds=60):
    device = find_watchdog(Host(str(fill(root, files))), OURS)
    return (device.identity, device.settings(seconds).splitlines()[1:]) if device else None


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        (SOFT, None),
        ({f"{BASE}0/identity": "i6300ESB timer\n"}, ("i6300ESB timer", ["RuntimeWatchdogSec=60"])),
        ({f"{BASE}0/state": "inactive\n"}, ("watchdog0", ["RuntimeWatchdogSec=60"])),
        ({**SOFT, **HARD}, ("iTCO_wdt", ["RuntimeWatchdogSec=60", "WatchdogDevice=/dev/watchdog1"])),
        ({**SOFT, **HARD, OURS: "[Manager]\nWatchdogDevice=/dev/watchdog7\n"}, ("iTCO_wdt", ["RuntimeWatchdogSec=60", "WatchdogDevice=/dev/watchdog1"])),
        # what the administrator chose is served, and ours does not set it again
        ({**SOFT, **HARD, ADMIN: "[Manager]\nWatchdogDevice=/dev/watchdog1\n"}, ("iTCO_wdt", ["RuntimeWatchdogSec=60"])),
        ({**SOFT, **HARD, "/dev/wd-board": ("link", "watchdog1"), ADMIN: "WatchdogDevice=/dev/wd-board\n"}, ("iTCO_wdt", ["RuntimeWatchdogSec=60"])),
        ({**SOFT, **HARD, ADMIN: "[Manager]\nWatchdogDevice=/dev/watchdog\n"}, None),
        ({**HARD, ADMIN: "[Manager]\nWatchdogDevice=/dev/watchdog3\n"}, None),
    ],
)  # fmt: skip
def test_systemd_is_told_the_device_that_is_named(tmp_path, files, found):
    assert settings(tmp_path, files) == found


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({}, 60),
        ({"max": 0}, 60),  # the driver has no limit of its own: the kernel serves the hardware in between
        ({"max": 600}, 60),
        ({"max": 15}, 15),
        ({"max": 9}, 0),
        ({"min": 90, "max": 120}, 90),
        ({"max": "much"}, 60),
    ],
)
def test_the_time_is_one_that_the_device_takes(tmp_path, limits, seconds):
    fill(tmp_path, {f"{BASE}0/{bound}_timeout": f"{value}\n" for bound, value in {"min": 1, **limits}.items()})
    assert find_watchdog(Host(str(tmp_path)), OURS).fitting(60) == seconds


def test_the_strongest_file_of_systemds_configuration_counts(tmp_path):
    host = Host(str(tmp_path))
    assert set_by_others(host, "RuntimeWatchdogSec", OURS) is None
    fill(tmp_path, {"/usr/lib/systemd/system.conf": "[Manager]\nRuntimeWatchdogSec=3min\n", OURS: "RuntimeWatchdogSec=60\n"})
    assert set_by_others(host, "RuntimeWatchdogSec", OURS) == ("3min", "/usr/lib/systemd/system.conf")
    fill(tmp_path, {ADMIN: "#RuntimeWatchdogSec=1\nRuntimeWatchdogSec=\n RuntimeWatchdogSec = off\n"})
    assert set_by_others(host, "RuntimeWatchdogSec", OURS) == ("off", ADMIN)
