# SPDX-License-Identifier: GPL-3.0-or-later
"""The hardware watchdog: systemd serves it, and the machine resets when systemd no longer runs. Edge.

Lock-up detectors of the kernel are off on a real-time node (``nowatchdog``), since they interrupt isolated CPUs; a
watchdog in hardware does not (Documentation/core-api/real-time/kernel-configuration.rst).
"""

from __future__ import annotations

import re

from .._cpus.errors import RefusalError
from .._host.host import Host

WATCHDOG = "/etc/systemd/system.conf.d/90-realtime-kvm-watchdog.conf"
_DEVICES = "/sys/class/watchdog/watchdog[0-9]*"
#: Where systemd looks for its own configuration, the weakest first (systemd-system.conf(5)).
_CONFIGURATION = (
    "/usr/lib/systemd/system.conf",
    "/etc/systemd/system.conf",
    "/usr/lib/systemd/system.conf.d/*.conf",
    "/run/systemd/system.conf.d/*.conf",
    "/etc/systemd/system.conf.d/*.conf",
)
_SETTING = re.compile(r"^\s*RuntimeWatchdogSec\s*=\s*(\S+)", re.MULTILINE)
_OFF = ("0", "off", "infinity")
_TEXT = """\
# Written by realtime.kvm (module cpu_partition), which replaces this file as a whole.
[Manager]
RuntimeWatchdogSec={seconds}
"""


class WatchdogError(RefusalError):
    """A time is refused; the message names the variable."""


def check_seconds(seconds: int) -> int:
    """Return the time after which a node that hangs is reset; ``WatchdogError`` for one that no node could keep."""
    if seconds and not 10 <= seconds <= 600:
        raise WatchdogError(
            f"cpu_partition_hardware_watchdog_s: {seconds} is neither 0 (left alone) nor in 10-600; "
            "systemd serves the watchdog twice in that time"
        )
    return seconds


def plan_watchdog(host: Host, seconds: int) -> str:
    """Plan that systemd serves the hardware watchdog; return in words what the node has (0 seconds: left alone)."""
    device = _device(host)
    others = "" if not seconds or device is None else _other_user(host, device)
    if not seconds or device is None or others:
        host.restore_files(only=[WATCHDOG])
        return others or ("left alone" if not seconds else "no watchdog device")
    host.set_file(WATCHDOG, _TEXT.format(seconds=seconds).encode(), reason="a node that hangs is reset by its hardware watchdog")
    return f"{seconds} s, {host.value(f'{device}/identity') or device.rpartition('/')[2]}"


def _device(host: Host) -> str | None:
    """Return the first watchdog in hardware; the kernel's timer in software ends with the kernel that it watches."""
    found = (path for path in host.glob(_DEVICES) if host.value(f"{path}/identity") != "Software Watchdog")
    return next(found, None)


def _other_user(host: Host, device: str) -> str:
    """Return who else serves the watchdog."""
    for pattern in _CONFIGURATION:
        for path in host.glob(pattern):
            set_to = [value for value in _SETTING.findall(host.read(path) or "") if value not in _OFF]
            if path != WATCHDOG and set_to:
                return f"{set_to[-1]} by {path}"
    if host.value(f"{device}/state") == "active" and not host.exists(WATCHDOG):
        return "served by another program"
    return ""
