# Copyright: (c) 2026, realtime.kvm contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hardware watchdog is taken only where nobody else has it."""

from __future__ import annotations

import pytest
from ansible_collections.realtime.kvm.plugins.module_utils._boot.verdict import WATCHDOG
from ansible_collections.realtime.kvm.plugins.module_utils._boot.watchdog import watchdog_settings
from unit.trees import fill, writable

DEVICE = "/sys/class/watchdog/watchdog0"
FREE = {f"{DEVICE}/nowayout": "0\n", f"{DEVICE}/state": "inactive\n"}
HELD = {**FREE, f"{DEVICE}/state": "active\n"}
CHOSEN = "[Manager]\nRuntimeWatchdogSec=20\n"


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ({}, False),
        (FREE, True),
        ({f"{DEVICE}/nowayout": "0\n"}, True),
        ({f"{DEVICE}/nowayout": "1\n"}, False),
        (HELD, False),  # watchdog(8), sbd, sanlock, or systemd itself
        ({**HELD, WATCHDOG: CHOSEN}, True),  # systemd, for a trial before this one
        ({**FREE, WATCHDOG: CHOSEN}, True),
        ({**FREE, "/etc/systemd/system.conf": "#RuntimeWatchdogSec=off\n"}, True),
        ({**FREE, "/etc/systemd/system.conf": CHOSEN}, False),
        ({**FREE, "/etc/systemd/system.conf.d/a.conf": CHOSEN}, False),
        ({**FREE, "/run/systemd/system.conf.d/a.conf": CHOSEN}, False),
        ({**FREE, "/usr/lib/systemd/system.conf": CHOSEN}, False),
        ({**FREE, "/usr/lib/systemd/system.conf.d/50-vendor.conf": CHOSEN}, False),
        ({**FREE, "/usr/local/lib/systemd/system.conf.d/a.conf": CHOSEN}, False),
        ({**FREE, "/proc/cmdline": "ro systemd.watchdog_sec=30\n"}, False),
    ],
)
def test_whose_watchdog_it_is(tmp_path, files, taken):
    fill(tmp_path, files)
    assert watchdog_settings(writable(tmp_path)) == ("[Manager]\nRuntimeWatchdogSec=60\n" if taken else "")
