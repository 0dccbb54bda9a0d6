# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether systemd may use the hardware watchdog for a boot on trial. Edge, read-only.

Sources: systemd-system.conf(5), where the files lie and that a later one wins; Documentation/ABI/testing/sysfs-class-watchdog.
"""

from __future__ import annotations

import re

from .._host.host import Host
from .verdict import WATCHDOG

_DEVICE = "/sys/class/watchdog/watchdog0"
_PLACES = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd")


def may_take_watchdog(host: Host) -> bool:
    """Whether the device can be stopped again, no other program holds it, and neither administrator nor vendor has chosen a time."""
    if host.value(f"{_DEVICE}/nowayout") != "0":
        return False
    # a trial before this one may be the reason why systemd holds it
    if host.value(f"{_DEVICE}/state") == "active" and not host.exists(WATCHDOG):
        return False
    if re.search(r"(^|\s)systemd\.watchdog", host.value("/proc/cmdline") or ""):
        return False
    paths = [path for place in _PLACES for path in (f"{place}/system.conf", *host.glob(f"{place}/system.conf.d/*.conf"))]
    texts = [host.read(path) or "" for path in paths if path != WATCHDOG]
    return not any(re.search(r"^\s*RuntimeWatchdogSec\s*=", text, re.MULTILINE) for text in texts)
