# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether systemd may use the hardware watchdog for a boot on trial. Edge, read-only.

Source: Documentation/ABI/testing/sysfs-class-watchdog.
"""

from __future__ import annotations

import re

from .._host.host import Host
from .._host.watchdogs import find_watchdog, set_by_others
from .verdict import WATCHDOG

#: Seconds after which a node that hangs in the trial is reset.
_TIME_S = 60


def watchdog_settings(host: Host) -> str:
    """Return systemd's settings for the trial; an empty text where the watchdog may not be taken.

    It must be a device in hardware that can be stopped again and that no other program holds, and neither administrator nor
    vendor must have chosen a time.
    """
    device = find_watchdog(host, WATCHDOG)
    seconds = device.fitting(_TIME_S) if device else 0
    if not device or not seconds or host.value(f"{device.path}/nowayout") != "0":
        return ""
    # a trial before this one may be the reason why systemd holds it
    if host.value(f"{device.path}/state") == "active" and not host.exists(WATCHDOG):
        return ""
    if re.search(r"(^|\s)systemd\.watchdog", host.value("/proc/cmdline") or ""):
        return ""
    return "" if set_by_others(host, "RuntimeWatchdogSec", WATCHDOG) else device.settings(seconds)
